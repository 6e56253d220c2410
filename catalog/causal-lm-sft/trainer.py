"""Business model causal-lm-sft: a causal language model learns to reply as the examples do, by LoRA; the base model stays as it is."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from modelwright_trainer.causal_base import open_causal
from modelwright_trainer.chat import Conversation
from modelwright_trainer.dataset import Row, load_dataset, raise_for
from modelwright_trainer.decoder import Decoder
from modelwright_trainer.finetune import FinetuneSettings, finetune
from modelwright_trainer.job import Job, Progress
from modelwright_trainer.packed import Packed, pack
from modelwright_trainer.session import Options, Session
from modelwright_trainer.share import Share
from modelwright_trainer.spec import Spec

METHODS = ("lora",)
TIERS = {"fast": {"method": "lora", "epochs": 1}, "balanced": {"method": "lora", "epochs": 3}, "accurate": {"method": "lora", "epochs": 6, "loraRank": 32}}
RATE, BATCH, RANK, ALPHA = 5e-4, 8, 8, 16.0
MAX_TOKENS, MAX_NEW_TOKENS = 512, 128
#: Conversations of one evaluation pass; their logits are most of its memory.
EVALUATION_BATCH = 4


def check(row: Row) -> str | None:
    """As evaluation.ts: what comes past the API by another program is looked at again."""
    messages = row.get("messages")
    if not isinstance(messages, list) or not all(isinstance(one, dict) and isinstance(one.get("content"), str) for one in messages):
        return "the messages are no list of texts"
    roles = [one.get("role") for one in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if not turns or len(turns) % 2 or turns != ["user", "assistant"] * (len(turns) // 2):
        return "the messages are not those of user and assistant in turn, after at most one of system, with the assistant's last"
    return None if all(one["content"].strip() for one in messages) else "a message is blank"


def targets_of(conversation: Conversation) -> tuple[list[int], list[int]]:
    """(places whose next token is learned, those tokens)"""
    places = [i for i in range(len(conversation.ids) - 1) if conversation.learned[i + 1]]
    return places, [conversation.ids[i + 1] for i in places]


def run(spec: Spec, job: Job, progress: Progress) -> dict[str, Any]:
    session = Session(spec, job, progress)
    options = Options(spec.options, TIERS, METHODS)
    dataset = load_dataset(spec, progress.tell, check, text_field=None)
    base = open_causal(spec, options.integer("maxTokens", MAX_TOKENS))
    if base.chat.form.source != "folder":
        progress.log("info", f"the base model has no chat template that can be honoured: conversations have the form «{base.chat.form.source}»")
    known, asked = ([base.chat.conversation(row["messages"], base.max_tokens) for row in rows] for rows in (dataset.train, dataset.evaluation))
    goals = [targets_of(one) for one in known]
    empty = [str(row["id"]) for row, (places, _) in zip(dataset.train, goals, strict=True) if not places]
    raise_for({"no token of a reply is left of the conversation": empty} if empty else {})
    places, tokens = ([torch.tensor(one[side]) for one in goals] for side in (0, 1))
    decoder = base.decoder(options.integer("loraRank", RANK), options.number("loraAlpha", ALPHA))

    def loss_of(states: torch.Tensor, batch: Packed, share: Share) -> torch.Tensor:
        chosen = share.rows
        begins = (batch.lengths.cumsum(0) - batch.lengths).tolist()
        wanted, goal = (
            one.to(states.device)
            for one in (torch.cat([places[i] + begin for i, begin in zip(chosen, begins, strict=True)]), torch.cat([tokens[i] for i in chosen]))
        )
        losses = F.cross_entropy(decoder.logits(states.index_select(0, wanted)).float(), goal, reduction="none").cpu()
        owner = torch.repeat_interleave(torch.arange(len(chosen)), torch.tensor([len(places[i]) for i in chosen]))
        # Each token counts the same, whatever conversation it is of: a mean over the batch's tokens, shared out to its rows.
        return torch.zeros(len(chosen)).index_add(0, owner, losses) * (len(share.whole) / sum(len(places[i]) for i in share.whole))

    settings = FinetuneSettings(options.integer("epochs", TIERS["fast"]["epochs"]), options.number("learningRate", RATE), options.integer("batchSize", BATCH))
    weights = torch.tensor([float(row.get("weight", 1.0)) for row in dataset.train])
    steps = finetune(spec, decoder, nn.Identity(), [one.ids for one in known], weights, loss_of, settings, job, progress)
    answers = evaluate(decoder, asked, job, progress)
    return session.publish(
        base=base,
        tensors=decoder.additions(),
        labels=[],
        answering={
            "chat": base.chat.answering(),
            "scale": decoder.scale,
            "layers": base.config.layers,
            "maxTokens": base.max_tokens,
            "maxNewTokens": options.integer("maxNewTokens", MAX_NEW_TOKENS),
            "temperature": options.number("temperature", 0.0),
        },
        evaluation=dataset.evaluation,
        # No text leaves the dataset: how many tokens there are to be right, and how many were.
        expected=[{"tokens": answer["tokens"]} for answer in answers],
        predicted=answers,
        train_rows=len(dataset.train),
        steps=steps,
    )


def evaluate(decoder: Decoder, conversations: list[Conversation], job: Job, progress: Progress) -> list[dict[str, Any]]:
    """For each conversation, with all that stands before each token given: tokens of replies, those that would have been chosen, and the mean loss."""
    answers: list[dict[str, Any]] = [{} for _ in conversations]
    order = sorted(range(len(conversations)), key=lambda i: (len(conversations[i].ids), i))
    for at in range(0, len(order), EVALUATION_BATCH):
        chosen = order[at : at + EVALUATION_BATCH]
        with torch.inference_mode():
            states = decoder(pack([conversations[i].ids for i in chosen]).to(decoder.device))
            begin = 0
            for i in chosen:
                places, tokens = targets_of(conversations[i])
                logits = decoder.logits(states[begin : begin + len(conversations[i].ids)][places]).float()
                goal = torch.tensor(tokens, dtype=torch.long, device=logits.device)
                right = int((logits.argmax(-1) == goal).sum()) if tokens else 0
                loss = float(F.cross_entropy(logits, goal)) if tokens else 0.0
                answers[i] = {"tokens": len(tokens), "correctTokens": right, "loss": round(loss, 6)}
                begin += len(conversations[i].ids)
        progress.tell("evaluate", at + len(chosen), len(order))
        job.check_stop()
    return answers
