"""A linear map on sentence embeddings, by each method: what classification, scoring and similarity have in common."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from .base_model import BaseModel
from .dataset import Row, folds_of
from .embed import embed, embed_fresh
from .finetune import FinetuneSettings, finetune
from .head import HeadSettings, RowLoss, default_epochs, out_of_fold, train_head
from .learning import zero_linear
from .packed import Packed, PackedEncoder, sentences
from .session import Options, Session
from .share import Share, dropout

HEAD_RATE, HEAD_BATCH = 0.05, 128
FULL_EPOCHS, FULL_RATE, LORA_RATE, FULL_BATCH, LORA_RANK = 3, 2e-4, 1e-3, 32, 8
#: Elements of unit embeddings are small: a head that learns beside its encoder needs room.
HEAD_SCALE = 20.0
DROPOUT = 0.1
FOLDS = 3
#: Beyond this many rows a tenth of them calibrates as well as all.
MOST_CROSSED_ROWS = 20_000
#: A fine-tuning is too long to repeat for each fold: it sets one row in so many aside, if there are enough.
SET_ASIDE, LEAST_TO_SET_ASIDE = 20, 400


@dataclass(frozen=True)
class SentenceModel:
    #: None: serving uses the base model's
    encoder: PackedEncoder | None
    weight: torch.Tensor
    bias: torch.Tensor
    steps: int
    #: Rows that calibrate, and what a model that has not seen them says of them: f32 [rows, outputs].
    calibration_rows: list[int]
    calibration: np.ndarray
    embed: Callable[[list[list[int]]], np.ndarray]

    def answer(self, tokens: list[list[int]]) -> np.ndarray:
        """f32 [texts, outputs]"""
        if not tokens:
            return np.zeros((0, len(self.bias)), np.float32)
        return self.embed(tokens) @ self.weight.numpy().T + self.bias.numpy()


def train_sentences(
    session: Session, base: BaseModel, options: Options, rows: list[Row], tokens: list[list[int]], outputs: int, weights: torch.Tensor, loss_of: RowLoss, kind: Callable[[Row], str], others: list[list[int]]
) -> SentenceModel:
    """`loss_of` gets outputs and row numbers; `kind` spreads the rows over the folds; `others` are texts that will be asked about later."""
    if options.method == "head":
        return _train_head(session, base, options, rows, tokens, outputs, weights, loss_of, kind, others)
    return _finetune(session, base, options, rows, tokens, outputs, weights, loss_of, kind)


def _train_head(session, base, options, rows, tokens, outputs, weights, loss_of, kind, others) -> SentenceModel:  # type: ignore[no-untyped-def]
    spec, job, progress = session.spec, session.job, session.progress
    # All at once: texts of one length are embedded together.
    embedded = embed(spec, base, tokens + others, job, progress)
    features = torch.from_numpy(embedded[: len(tokens)].copy())
    settings = head_settings(session, options, len(rows))
    if len(rows) > MOST_CROSSED_ROWS:
        folds = [0 if fold == 0 else -1 for fold in folds_of(rows, 10, kind)]
    else:
        folds = folds_of(rows, FOLDS, kind)
    said = out_of_fold(features, outputs, weights, loss_of, settings, folds, job, progress).numpy()
    chosen = [i for i, fold in enumerate(folds) if fold >= 0]
    head, steps = train_head(features, outputs, weights, loss_of, settings, job, progress)
    return SentenceModel(
        None, head.weight.detach(), head.bias.detach(), steps, chosen, said[chosen], lambda asked: embed(spec, base, asked, job, progress)
    )


def head_settings(session: Session, options: Options, rows: int) -> HeadSettings:
    spec, batch = session.spec, options.integer("batchSize", HEAD_BATCH)
    return HeadSettings(
        epochs=options.integer("epochs", default_epochs(rows, batch)),
        rate=options.number("learningRate", HEAD_RATE) / spec.learning_rate_divisor,
        batch=batch,
        parts=spec.batch_divisor,
        seed=spec.seed,
    )


def finetune_settings(options: Options, epochs: int = FULL_EPOCHS) -> FinetuneSettings:
    return FinetuneSettings(
        epochs=options.integer("epochs", epochs),
        rate=options.number("learningRate", LORA_RATE if options.method == "lora" else FULL_RATE),
        batch=options.integer("batchSize", FULL_BATCH),
    )


def lora_rank(options: Options) -> int:
    return options.integer("loraRank", LORA_RANK) if options.method == "lora" else 0


def trained_share(options: Options) -> float:
    return options.number("trainedShare", 1.0)


def set_aside(rows: list[Row], kind: Callable[[Row], str]) -> tuple[list[int], list[int]]:
    """(rows to learn from, rows that calibrate)"""
    if len(rows) < LEAST_TO_SET_ASIDE:
        return list(range(len(rows))), []
    # Counted from the end: of a kind with few rows none is missing.
    folds = folds_of(rows, SET_ASIDE, kind)
    return [i for i, fold in enumerate(folds) if fold != SET_ASIDE - 1], [i for i, fold in enumerate(folds) if fold == SET_ASIDE - 1]


def _finetune(session, base, options, rows, tokens, outputs, weights, loss_of, kind) -> SentenceModel:  # type: ignore[no-untyped-def]
    spec, job, progress = session.spec, session.job, session.progress
    learned, held = set_aside(rows, kind)
    encoder = base.packed(lora_rank(options), trained_share(options))
    head = zero_linear(encoder.dim, outputs)

    def row_loss(states: torch.Tensor, batch: Packed, share: Share) -> torch.Tensor:
        pooled = dropout(sentences(states, batch), DROPOUT, share.first, len(share.whole))
        return loss_of(head(pooled * HEAD_SCALE).cpu(), torch.tensor([learned[i] for i in share.rows]))

    steps = finetune(spec, encoder, head, [tokens[i] for i in learned], weights[learned], row_loss, finetune_settings(options), job, progress)
    # Serving multiplies nothing: the scale becomes part of the head.
    weight, bias = head.weight.detach() * HEAD_SCALE, head.bias.detach()

    def ask(asked: list[list[int]]) -> np.ndarray:
        return embed_fresh(encoder, asked, progress)

    said = ask([tokens[i] for i in held]) @ weight.numpy().T + bias.numpy() if held else np.zeros((0, outputs), np.float32)
    return SentenceModel(encoder, weight, bias, steps, held, said, ask)
