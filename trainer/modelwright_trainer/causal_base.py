"""The folder of a causal language model, checked file by file: what is broken is named before anything is computed with it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from tokenizers import Tokenizer

from .base_model import broken, digest_of, read_json
from .chat import Chat, read_chat
from .decoder import Decoder, DecoderConfig, Weights, decoder_config
from .spec import Spec

PICKLE = re.compile(r"\.(bin|pt|pth|pkl|ckpt)$")


@dataclass(frozen=True)
class CausalBase:
    config: DecoderConfig
    weights: Weights
    chat: Chat
    max_tokens: int
    digest: str

    @property
    def dim(self) -> int:
        return self.config.hidden

    def decoder(self, rank: int = 0, alpha: float = 16.0) -> Decoder:
        return Decoder(self.config, self.weights, rank, alpha)


def open_causal(spec: Spec, max_tokens: int) -> CausalBase:
    folder = spec.base_path
    config = read_config(folder)
    weights = read_weights(folder, config)
    # A folder that was not added by `mw base add` says no more than Hugging Face does.
    info: dict[str, Any] = read_json(folder, "modelwright.json") if (folder / "modelwright.json").exists() else {}
    chat = open_chat(folder, config)
    limit = min(max_tokens, config.positions, int(info.get("maxTokens", config.positions)))
    return CausalBase(config, weights, chat, limit, spec.base_digest or digest_of(folder, info, weight_files(folder)))


def read_config(folder: Path) -> DecoderConfig:
    raw = read_json(folder, "config.json")
    try:
        return decoder_config(raw)
    except KeyError as error:
        raise broken(folder, f"config.json lacks {error}") from error
    except (ValueError, TypeError) as error:
        raise broken(folder, f"config.json {error}") from error


def open_chat(folder: Path, config: DecoderConfig) -> Chat:
    """The tokenizer and the form of conversations."""
    read_json(folder, "tokenizer.json")
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:
        raise broken(folder, "tokenizer.json is no tokenizer") from error
    if tokenizer.get_vocab_size() > config.vocabulary:
        raise broken(folder, f"tokenizer.json has {tokenizer.get_vocab_size()} tokens, config.json only {config.vocabulary}")
    files = {name: read_json(folder, name) for name in ("config.json", "tokenizer_config.json", "generation_config.json") if (folder / name).exists()}
    template = folder / "chat_template.jinja"
    try:
        return read_chat(folder / "tokenizer.json", files, template.read_text(encoding="utf-8") if template.exists() else None)
    except ValueError as error:
        raise broken(folder, str(error)) from error


def weight_files(folder: Path) -> list[Path]:
    """model.safetensors, or the files that its index names."""
    whole = folder / "model.safetensors"
    if whole.is_file():
        return [whole]
    if (folder / "model.safetensors.index.json").is_file():
        names = read_json(folder, "model.safetensors.index.json").get("weight_map")
        if not isinstance(names, dict) or not names or not all(isinstance(name, str) and re.fullmatch(r"[\w.-]+\.safetensors", name) for name in names.values()):
            raise broken(folder, "model.safetensors.index.json has no weight_map of safetensors files beside it")
        return [folder / name for name in sorted(set(names.values()))]
    pickles = sorted(path.name for path in folder.iterdir() if PICKLE.search(path.name))
    why = f"; {pickles[0]} is a pickle, which can run any code and is not read: convert it to safetensors" if pickles else ""
    raise broken(folder, f"model.safetensors is missing{why}")


def read_weights(folder: Path, config: DecoderConfig) -> Weights:
    found: Weights = {}
    wanted = config.tensors()
    for path in weight_files(folder):
        try:
            with safe_open(path, "pt") as file:
                found |= {name: file.get_tensor(name) for name in file.keys() if name in wanted}  # noqa: SIM118 - no dict
        except Exception as error:
            raise broken(folder, f"{path.name} is missing or cannot be read as safetensors ({type(error).__name__})") from error
    for name, shape in wanted.items():
        if name not in found:
            raise broken(folder, f"the weights lack {name}, which config.json's model has")
        if tuple(found[name].shape) != shape:
            raise broken(folder, f"the weights have {name} of shape {list(found[name].shape)}, config.json wants {list(shape)}")
        if not found[name].is_floating_point() or not bool(torch.isfinite(found[name]).all()):
            raise broken(folder, f"the weights have values in {name} that are no finite numbers")
        found[name] = found[name].float()
    return found
