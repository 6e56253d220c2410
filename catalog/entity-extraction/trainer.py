"""Business model entity-extraction: spans of a text with their labels, by one tag for each word."""

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from modelwright_trainer.base_model import BaseModel, open_base
from modelwright_trainer.calibrate import softmax
from modelwright_trainer.dataset import Row, label_set, load_dataset
from modelwright_trainer.embed import embed_tokens, embed_tokens_fresh
from modelwright_trainer.finetune import finetune
from modelwright_trainer.head import train_head
from modelwright_trainer.job import Job, Progress
from modelwright_trainer.learning import zero_linear
from modelwright_trainer.packed import Packed
from modelwright_trainer.sentence_model import finetune_settings, head_settings, lora_rank, trained_share
from modelwright_trainer.session import METHODS, Options, Session
from modelwright_trainer.share import Share, dropout
from modelwright_trainer.spec import Spec
from modelwright_trainer.words import CARRIED, Span, spans_of, speakers_of, tags_of, words_of

TIERS = {"fast": {"method": "head"}, "balanced": {"method": "full", "epochs": 3}, "accurate": {"method": "full", "epochs": 6}}
DROPOUT = 0.1


def check(row: Row) -> str | None:
    entities = row.get("entities")
    if not isinstance(entities, list) or not all(isinstance(entity, dict) for entity in entities):
        return "the entities are no list"
    end = 0
    for entity in sorted(entities, key=lambda entity: str(entity.get("start")).zfill(12)):
        if not all(isinstance(entity.get(side), int) and not isinstance(entity[side], bool) for side in ("start", "end")):
            return "an entity has no whole numbers as start and end"
        if not isinstance(entity.get("label"), str) or not entity["label"]:
            return "an entity has no label"
        if not 0 <= entity["start"] < entity["end"] <= len(row["text"]):
            return "an entity is empty or lies outside of the text"
        if entity["start"] < end:
            return "two entities overlap"
        end = entity["end"]
    return None


class Tagged:
    """Texts as words, and the token that speaks for each word."""

    def __init__(self, base: BaseModel, rows: list[Row]) -> None:
        encodings = base.encodings_of(rows)
        self.tokens = [encoding.ids for encoding in encodings]
        self.words = [words_of(row["text"]) for row in rows]
        self.speakers: list[list[int]] = []
        shift = len(base.prefix)
        for words, encoding in zip(self.words, encodings, strict=True):
            special = encoding.special_tokens_mask
            offsets = [(0, 0) if special[i] else (max(0, start - shift), max(0, end - shift)) for i, (start, end) in enumerate(encoding.offsets)]
            self.speakers.append(speakers_of(words, offsets))


def run(spec: Spec, job: Job, progress: Progress) -> dict[str, Any]:
    session = Session(spec, job, progress)
    options = Options(spec.options, TIERS, METHODS)
    dataset = load_dataset(spec, progress.tell, check)
    rows = dataset.train
    labels = label_set({entity["label"] for row in rows for entity in row["entities"]}, at_least=1)
    tags = ["O", *(f"{kind}-{label}" for label in labels for kind in "BI")]
    base = open_base(spec, options.integer("maxTokens", 256))
    known, asked = Tagged(base, rows), Tagged(base, dataset.evaluation)

    number = {tag: i for i, tag in enumerate(tags)}
    # For each text: its tokens that speak for a word, and what they should say. Words beyond the last token that is read teach nothing.
    pairs = [
        [(token, number[tag]) for token, tag in zip(speakers, tags_of(words, row["entities"]), strict=True) if token >= 0]
        for row, words, speakers in zip(rows, known.words, known.speakers, strict=True)
    ]
    goals = [torch.tensor([tag for _, tag in one], dtype=torch.long) for one in pairs]
    places = [torch.tensor([token for token, _ in one], dtype=torch.long) for one in pairs]
    row_weight = torch.tensor([float(row.get("weight", 1.0)) for row in rows])

    encoder = None
    if options.method == "head":
        states = embed_tokens(spec, base, known.tokens + asked.tokens, job, progress)
        features = torch.from_numpy(np.concatenate([one[place.numpy()] for one, place in zip(states, places, strict=False)]))
        goal = torch.cat(goals)
        weights = torch.repeat_interleave(row_weight, torch.tensor([len(one) for one in goals]))
        head, steps = train_head(
            features,
            len(tags),
            weights,
            lambda said, chosen: F.cross_entropy(said, goal[chosen], reduction="none"),
            head_settings(session, options, len(features)),
            job,
            progress,
        )
        answered = states[len(rows) :]
    else:
        encoder = base.packed(lora_rank(options), trained_share(options))
        head = zero_linear(encoder.dim, len(tags))

        def loss_of(states: torch.Tensor, batch: Packed, share: Share) -> torch.Tensor:
            chosen = share.rows
            begins = (batch.lengths.cumsum(0) - batch.lengths).tolist()
            speaking = torch.cat([places[i] + begin for i, begin in zip(chosen, begins, strict=True)]).to(states.device)
            before, words = sum(len(goals[i]) for i in share.whole[: share.first]), sum(len(goals[i]) for i in share.whole)
            said = head(dropout(states.index_select(0, speaking), DROPOUT, before, words)).cpu()
            losses = F.cross_entropy(said, torch.cat([goals[i] for i in chosen]), reduction="none")
            owner = torch.repeat_interleave(torch.arange(len(chosen)), torch.tensor([len(goals[i]) for i in chosen]))
            # Each word counts the same, wherever it stands: a mean over the batch's words, shared out to its rows.
            return torch.zeros(len(chosen)).index_add(0, owner, losses) * (len(share.whole) / max(1, words))

        steps = finetune(spec, encoder, head, known.tokens, row_weight, loss_of, finetune_settings(options), job, progress)
        answered = embed_tokens_fresh(encoder, asked.tokens, progress)
    weight, bias = head.weight.detach(), head.bias.detach()
    return session.publish(
        base=base,
        tensors={"tagger.weight": weight, "tagger.bias": bias},
        labels=labels,
        answering={"tags": tags},
        evaluation=dataset.evaluation,
        expected=[{"entities": sorted(row["entities"], key=lambda entity: entity["start"])} for row in dataset.evaluation],
        predicted=[
            {"entities": answer(states, words, speakers, weight.numpy(), bias.numpy(), tags)}
            for states, words, speakers in zip(answered, asked.words, asked.speakers, strict=True)
        ],
        train_rows=len(rows),
        steps=steps,
        encoder=encoder,
    )


def answer(states: np.ndarray, words: list[Span], speakers: list[int], weight: np.ndarray, bias: np.ndarray, tags: list[str]) -> list[dict]:
    """A carried word goes on as the word before: its characters are part of that word's token. What was not read is no entity."""
    scores = softmax(states @ weight.T + bias)
    best = scores.argmax(axis=1)
    found: list[str] = []
    sure: list[float] = []
    for speaker in speakers:
        if speaker >= 0:
            found.append(tags[best[speaker]])
            sure.append(float(scores[speaker, best[speaker]]))
        else:
            inside = speaker == CARRIED and bool(found) and found[-1] != "O"
            found.append(f"I-{found[-1][2:]}" if inside else "O")
            sure.append(sure[-1] if inside else 1.0)
    return spans_of(words, found, sure)
