"""Business model text-classification: one label for each text, by a linear head on a sentence encoder."""

from modelwright_trainer.text_classification import run

__all__ = ["run"]
