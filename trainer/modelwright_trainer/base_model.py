"""The folder of a base model, checked file by file: what is broken is named before anything is computed with it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Encoding, Tokenizer

from .dataset import Row, raise_for
from .encoder import Encoder, load_encoder
from .errors import JobError
from .packed import PackedEncoder
from .spec import Spec

PICKLES = ("pytorch_model.bin", "model.pt", "model.pth", "model.pkl", "model.ckpt")


@dataclass(frozen=True)
class BaseModel:
    encoder: Encoder
    tokenizer: Tokenizer
    prefix: str
    max_tokens: int
    digest: str

    @property
    def dim(self) -> int:
        return int(self.encoder.embeddings["LayerNorm"].weight.shape[0])

    def packed(self, lora_rank: int = 0, trained_share: float = 1.0) -> PackedEncoder:
        return PackedEncoder(self.encoder, lora_rank, trained_share)

    def encodings_of(self, rows: list[Row], field: str = "text") -> list[Encoding]:
        """Each row's text as tokens; a text of which nothing is left names its row. Offsets count the prefix."""
        encodings = self.tokenizer.encode_batch([self.prefix + row[field] for row in rows])
        nothing = self.tokenizer.encode(self.prefix).ids
        empty = [str(row["id"]) for row, encoding in zip(rows, encodings, strict=True) if encoding.ids == nothing]
        raise_for({f"the {field} has no character that the tokenizer knows": empty} if empty else {})
        return encodings

    def tokens_of(self, rows: list[Row], field: str = "text") -> list[list[int]]:
        return [encoding.ids for encoding in self.encodings_of(rows, field)]


def open_base(spec: Spec, max_tokens: int) -> BaseModel:
    folder = spec.base_path
    config = read_json(folder, "config.json")
    info = read_json(folder, "modelwright.json")
    weights = folder / "model.safetensors"
    if not weights.is_file():
        pickles = [name for name in PICKLES if (folder / name).exists()]
        why = f"; {pickles[0]} is a pickle, which can run any code and is not read: convert it to safetensors" if pickles else ""
        raise broken(folder, f"model.safetensors is missing{why}")
    try:
        encoder = load_encoder(folder)
    except KeyError as error:
        raise broken(folder, f"config.json or model.safetensors lacks {error}") from error
    except Exception as error:
        raise broken(folder, f"model.safetensors cannot be read as the encoder that config.json describes ({type(error).__name__})") from error
    for name, tensor in encoder.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise broken(folder, f"model.safetensors has values in {name} that are no finite numbers")
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        prefix, limit = str(info["prefix"]), min(max_tokens, int(info["maxTokens"]), int(config["max_position_embeddings"]))
    except KeyError as error:
        raise broken(folder, f"modelwright.json lacks {error}") from error
    except Exception as error:
        raise broken(folder, "tokenizer.json is missing or no tokenizer") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(limit)
    words = encoder.embeddings["word_embeddings"].num_embeddings
    if tokenizer.get_vocab_size() > words:
        raise broken(folder, f"tokenizer.json has {tokenizer.get_vocab_size()} tokens, model.safetensors only {words}")
    return BaseModel(encoder, tokenizer, prefix, limit, spec.base_digest or digest_of(folder, info, [weights]))


def digest_of(folder: Path, info: dict[str, Any], weights: list[Path]) -> str:
    """What the base model is, where the platform did not say."""
    known = info.get("sha256")
    if known:
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
    digests = []
    for path in weights:
        with open(path, "rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads((folder / name).read_text(encoding="utf-8"))
    except OSError as error:
        raise broken(folder, f"{name} is missing or cannot be read") from error
    except ValueError as error:
        raise broken(folder, f"{name} is no JSON") from error
    if not isinstance(value, dict):
        raise broken(folder, f"{name} is no JSON object")
    return value


def broken(folder: Path, what: str) -> JobError:
    return JobError("bad_options", f"the base model's folder {folder.name} is broken: {what}")
