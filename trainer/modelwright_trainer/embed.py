"""Embeddings of many texts with a frozen encoder; what was computed before, in this job or another, is read."""

from collections.abc import Iterator

import numpy as np
import torch

from .base_model import BaseModel
from .device import arithmetic, device
from .embedding_cache import EmbeddingCache, Entries, key_of
from .job import Job, Progress
from .packed import PackedEncoder, pack, sentences
from .spec import Spec

BATCH_TOKENS = 2048
#: Below this many rows the matrix library computes some rows by another kernel, whose last bits differ. Measured: 12 with two threads.
LEAST_TOKENS = 64
#: Kept so often, a kill loses little.
KEEP_EVERY_TOKENS = 64 * 1024


def embed(spec: Spec, base: BaseModel, tokens: list[list[int]], job: Job, progress: Progress) -> np.ndarray:
    """f32 [texts, dim]: sentence embeddings in the order of the texts."""
    found = _cached(spec, base, "sentence", tokens, job, progress)
    return np.concatenate([found[key_of(ids)] for ids in tokens]) if tokens else np.zeros((0, base.packed().dim), np.float32)


def embed_tokens(spec: Spec, base: BaseModel, tokens: list[list[int]], job: Job, progress: Progress) -> list[np.ndarray]:
    """For each text f32 [its tokens, dim]: the last hidden states."""
    found = _cached(spec, base, "token", tokens, job, progress)
    return [found[key_of(ids)] for ids in tokens]


def embed_fresh(encoder: PackedEncoder, tokens: list[list[int]], progress: Progress, phase: str = "evaluate") -> np.ndarray:
    """Sentence embeddings of an encoder that was just trained, which nobody has kept."""
    result = np.zeros((len(tokens), encoder.dim), dtype=np.float32)
    for done, (chosen, states, count) in enumerate(_batches(encoder, tokens), start=1):
        result[chosen] = states[1][:count]
        progress.tell(phase, done * len(chosen), len(tokens))
    return result


def embed_tokens_fresh(encoder: PackedEncoder, tokens: list[list[int]], progress: Progress, phase: str = "evaluate") -> list[np.ndarray]:
    result: list[np.ndarray] = [np.zeros((0, encoder.dim), np.float32)] * len(tokens)
    for done, (chosen, states, _) in enumerate(_batches(encoder, tokens), start=1):
        for i, part in zip(chosen, states[0], strict=False):
            result[i] = part
        progress.tell(phase, done * len(chosen), len(tokens))
    return result


def _cached(spec: Spec, base: BaseModel, kind: str, tokens: list[list[int]], job: Job, progress: Progress) -> Entries:
    # A head on embeddings is not worth dividing.
    job.workers.leave_to_first()
    root = spec.cache_dir or job.checkpoints / "embeddings"
    if job.remote is not None:
        job.remote.fetch_cache(root)
    cache = EmbeddingCache(root, cache_name(base.digest, kind))
    distinct = {key_of(ids): ids for ids in tokens}
    found = cache.find(set(distinct))
    missing = [(key, ids) for key, ids in distinct.items() if key not in found]
    missing.sort(key=lambda entry: (len(entry[1]), entry[0]))
    progress.tell("embed", len(found), len(distinct))
    if missing:
        encoder = base.packed().to(device()).eval()
        fresh: Entries = {}
        whole, done, unkept, texts = sum(len(ids) for _, ids in missing), 0, 0, 0
        for chosen, states, count in _batches(encoder, [ids for _, ids in missing]):
            parts = states[0] if kind == "token" else [row[None] for row in states[1][:count]]
            fresh |= {missing[i][0]: part for i, part in zip(chosen, parts, strict=False)}
            size = sum(len(missing[i][1]) for i in chosen)
            done, unkept, texts = done + size, unkept + size, texts + len(chosen)
            if unkept > KEEP_EVERY_TOKENS or job.stop_asked or done == whole:
                cache.add(fresh)
                found |= fresh
                fresh, unkept = {}, 0
            # Long texts come last and take longer: the time left goes by tokens.
            progress.tell("embed", texts, len(missing), share=done / whole, samples=texts)
            job.check_stop()
    cache.tidy()
    return found


def cache_name(digest: str, kind: str) -> str:
    """Other libraries and other processors compute other last bits: they do not share."""
    bits = f"{torch.__version__} {arithmetic()}"
    return f"{kind}-{key_of([*f'{digest} {bits}'.encode()]).hex()}"


def _batches(encoder: PackedEncoder, tokens: list[list[int]]):  # type: ignore[no-untyped-def]
    """Yields (text numbers, (states of each text, sentence embeddings), how many)."""
    encoder.eval()
    with torch.inference_mode():
        for chosen, rows in same_length(tokens):
            batch = pack(rows).to(encoder.device)
            states = encoder(batch)
            whole = sentences(states, batch).cpu().numpy()
            yield chosen, (list(states.cpu().view(len(rows), len(rows[0]), -1).numpy()), whole), len(chosen)


def same_length(tokens: list[list[int]]) -> Iterator[tuple[list[int], list[list[int]]]]:
    """Yields (text numbers, their tokens, with others behind them where those are few).

    A batch has texts of one length only, and never few tokens: then the bits of an embedding do not depend on its neighbours,
    and a retrain with kept embeddings comes to the same weights as one without.
    """
    by_length: dict[int, list[int]] = {}
    for i, ids in enumerate(tokens):
        by_length.setdefault(len(ids), []).append(i)
    for length, members in sorted(by_length.items()):
        most, least = max(1, BATCH_TOKENS // length), -(-LEAST_TOKENS // length)
        for start in range(0, len(members), most):
            chosen = members[start : start + most]
            yield chosen, [tokens[i] for i in chosen] + [tokens[chosen[0]]] * max(0, least - len(chosen))
