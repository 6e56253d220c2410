"""Embeddings of many texts with a frozen encoder: sorted by length, in chunks that are kept, so that a killed job goes on."""

import hashlib
import os

import numpy as np
import torch

from .encoder import Encoder, TextTokens, padded
from .job import Job, Progress

CHUNK_TEXTS = 64
BATCH_TOKENS = 4096


def embed(encoder: Encoder, tokens_of: TextTokens, texts: list[str], job: Job, progress: Progress) -> np.ndarray:
    """f32 [texts, dim], in the order of the texts. A chunk that was computed before, for the same tokens, is read from its file."""
    tokens = tokens_of(texts)
    order = sorted(range(len(texts)), key=lambda i: (len(tokens[i]), tokens[i]))
    dim = encoder.embeddings["LayerNorm"].weight.shape[0]
    result = np.zeros((len(texts), dim), dtype=np.float32)
    folder = job.checkpoints / "embeddings"
    folder.mkdir(exist_ok=True)
    whole, done = sum(len(ids) for ids in tokens), 0
    for start in range(0, len(order), CHUNK_TEXTS):
        chunk = order[start : start + CHUNK_TEXTS]
        done += sum(len(tokens[i]) for i in chunk)
        digest = hashlib.sha256(repr([tokens[i] for i in chunk]).encode()).hexdigest()
        path = folder / f"{digest}.npy"
        if path.exists():
            result[chunk] = np.load(path)
        else:
            result[chunk] = embed_tokens(encoder, [tokens[i] for i in chunk])
            temporary = folder / f".{digest}.{os.getpid()}.npy"
            np.save(temporary, result[chunk])
            os.rename(temporary, path)
        # Long texts come last and take longer: the time left goes by tokens.
        progress.tell("embed", start + len(chunk), len(order), share=done / whole, samples=start + len(chunk))
        job.check_stop()
    return result


def embed_tokens(encoder: Encoder, tokens: list[list[int]]) -> np.ndarray:
    parts = []
    start = 0
    with torch.inference_mode():
        while start < len(tokens):
            end = start + 1
            # Sorted by length: the last of the batch is the longest.
            while end < len(tokens) and (end + 1 - start) * len(tokens[end]) <= BATCH_TOKENS:
                end += 1
            parts.append(encoder(*padded(tokens[start:end])).numpy())
            start = end
    return np.concatenate(parts)
