"""A causal language model from a Hugging Face folder, in plain torch: Llama, Mistral, Qwen2 and Qwen3, with LoRA on every linear map.

Works on packed texts as `PackedEncoder` does. Weights keep the names of the folder's files; only the additions of LoRA are trained.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .packed import Packed

MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3")
#: Linear maps of a layer that LoRA adds to, with the part of the layer that holds them.
TARGETS = {"q_proj": "self_attn", "k_proj": "self_attn", "v_proj": "self_attn", "o_proj": "self_attn", "gate_proj": "mlp", "up_proj": "mlp", "down_proj": "mlp"}

Weights = dict[str, torch.Tensor]
#: Linear maps by name, where others than the layer's own are to be used.
Maps = Mapping[str, Callable[[torch.Tensor], torch.Tensor]]


@dataclass(frozen=True)
class DecoderConfig:
    vocabulary: int
    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    positions: int
    tied: bool
    qk_norm: bool
    #: Linear maps that have a bias.
    biased: tuple[str, ...]
    #: One frequency for each pair of a head's numbers.
    frequencies: tuple[float, ...]

    def linear_shape(self, name: str) -> tuple[int, int]:
        """(out, in)"""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q_proj": (queries, self.hidden),
            "k_proj": (keys, self.hidden),
            "v_proj": (keys, self.hidden),
            "o_proj": (self.hidden, queries),
            "gate_proj": (self.inner, self.hidden),
            "up_proj": (self.inner, self.hidden),
            "down_proj": (self.hidden, self.inner),
        }[name]

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Every tensor that the model reads, with its shape."""
        found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocabulary, self.hidden), "model.norm.weight": (self.hidden,)}
        if not self.tied:
            found["lm_head.weight"] = (self.vocabulary, self.hidden)
        for i in range(self.layers):
            layer = f"model.layers.{i}"
            found |= {f"{layer}.{norm}.weight": (self.hidden,) for norm in ("input_layernorm", "post_attention_layernorm")}
            if self.qk_norm:
                found |= {f"{layer}.self_attn.{norm}.weight": (self.head_dim,) for norm in ("q_norm", "k_norm")}
            for name, part in TARGETS.items():
                found[f"{layer}.{part}.{name}.weight"] = self.linear_shape(name)
                if name in self.biased:
                    found[f"{layer}.{part}.{name}.bias"] = self.linear_shape(name)[:1]
        return found


def decoder_config(raw: dict[str, Any]) -> DecoderConfig:
    """Raises KeyError for what is missing and ValueError, with a sentence, for what cannot be computed."""
    kind = raw["model_type"]
    if kind not in MODEL_TYPES:
        raise ValueError(f"describes a model of type {kind}, not a causal language model of type {', '.join(MODEL_TYPES)}")
    if raw.get("hidden_act", "silu") != "silu":
        raise ValueError(f"has the activation {raw['hidden_act']}, only silu is supported")
    heads, hidden, positions = int(raw["num_attention_heads"]), int(raw["hidden_size"]), int(raw["max_position_embeddings"])
    head_dim, kv_heads = int(raw.get("head_dim") or hidden // heads), int(raw.get("num_key_value_heads") or heads)
    if heads % kv_heads or head_dim % 2:
        raise ValueError(f"has {heads} heads over {kv_heads} heads of keys, of {head_dim} numbers each, which cannot be shared evenly")
    window = raw.get("sliding_window") if kind == "mistral" or raw.get("use_sliding_window") else None
    attention = bool(raw.get("attention_bias", False))
    biased = ["q_proj", "k_proj", "v_proj"] if kind == "qwen2" or attention else []
    biased += ["o_proj"] if kind != "qwen2" and attention else []
    biased += ["gate_proj", "up_proj", "down_proj"] if raw.get("mlp_bias", False) else []
    return DecoderConfig(
        vocabulary=int(raw["vocab_size"]),
        hidden=hidden,
        inner=int(raw["intermediate_size"]),
        layers=int(raw["num_hidden_layers"]),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        eps=float(raw.get("rms_norm_eps", 1e-6)),
        # Within the window, a sliding one sees everything.
        positions=min(positions, int(window)) if window else positions,
        tied=bool(raw.get("tie_word_embeddings", False)),
        qk_norm=kind == "qwen3",
        biased=tuple(biased),
        frequencies=_frequencies(raw, head_dim),
    )


def _frequencies(raw: dict[str, Any], head_dim: int) -> tuple[float, ...]:
    # Newer folders say both in `rope_parameters`.
    scaling = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    theta = float(scaling.get("rope_theta") or raw.get("rope_theta") or 10_000.0)
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    plain = [theta ** (-2 * i / head_dim) for i in range(head_dim // 2)]
    if kind == "default":
        return tuple(plain)
    if kind == "linear":
        return tuple(one / float(scaling["factor"]) for one in plain)
    if kind != "llama3":
        raise ValueError(f"has {kind} positions, only default, linear and llama3 ones are supported")
    factor, low, high = float(scaling["factor"]), float(scaling["low_freq_factor"]), float(scaling["high_freq_factor"])
    trained = float(scaling["original_max_position_embeddings"])
    changed = []
    for one in plain:
        turns = trained * one / (2 * math.pi)
        share = min(1.0, max(0.0, (turns - low) / (high - low)))
        changed.append(one * share + one / factor * (1 - share))
    return tuple(changed)


class Linear(nn.Module):
    """A frozen linear map, and what LoRA adds to it where there is a rank."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, rank: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.rank, self.scale = rank, scale
        if rank:
            # The second factor is zero, so that training starts from the base model.
            self.lora_a = nn.Parameter(torch.empty(rank, weight.shape[1]))
            self.lora_b = nn.Parameter(torch.zeros(weight.shape[0], rank))
            nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.linear(x, self.weight, self.bias)
        return y + F.linear(F.linear(x, self.lora_a), self.lora_b) * self.scale if self.rank else y


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    wide = x.float()
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps))


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turns the two halves of each head by its position: x [.., heads, head_dim], cos and sin [.., 1, head_dim]."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Layer(nn.Module):
    def __init__(self, config: DecoderConfig, weights: Weights, rank: int, scale: float) -> None:
        super().__init__()
        self.config = config
        self.linear = nn.ModuleDict(
            {name: Linear(weights[f"{part}.{name}.weight"], weights.get(f"{part}.{name}.bias") if name in config.biased else None, rank, scale) for name, part in TARGETS.items()}
        )
        self._norms = {"before": "input_layernorm", "between": "post_attention_layernorm"} | ({"query": "self_attn.q_norm", "key": "self_attn.k_norm"} if config.qk_norm else {})
        self.norm = nn.ParameterDict({name: nn.Parameter(weights[f"{source}.weight"], requires_grad=False) for name, source in self._norms.items()})

    def weights(self) -> Weights:
        """Its frozen tensors by their names in the folder."""
        found = {f"{self._norms[name]}.weight": tensor.data for name, tensor in self.norm.items()}
        for name, part in TARGETS.items():
            linear = self.linear[name]
            found[f"{part}.{name}.weight"] = linear.weight.data
            if linear.bias is not None:
                found[f"{part}.{name}.bias"] = linear.bias.data
        return found

    def heads_of(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, linear: Maps | None = None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Query, key and value of normalised states [tokens, hidden]: [tokens, heads, head_dim] each, turned by their positions."""
        config, linear = self.config, linear or self.linear
        query, key, value = (linear[name](x).view(x.shape[0], -1, config.head_dim) for name in ("q_proj", "k_proj", "v_proj"))
        if config.qk_norm:
            query, key = rms_norm(query, self.norm["query"], config.eps), rms_norm(key, self.norm["key"], config.eps)
        return rotate(query, cos, sin), rotate(key, cos, sin), value

    def before(self, x: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, self.norm["before"], self.config.eps)

    def after(self, x: torch.Tensor, mixed: torch.Tensor, linear: Maps | None = None) -> torch.Tensor:
        """What follows attention; `mixed` is [tokens, heads * head_dim]."""
        linear = linear or self.linear
        x = x + linear["o_proj"](mixed)
        inner = rms_norm(x, self.norm["between"], self.config.eps)
        return x + linear["down_proj"](F.silu(linear["gate_proj"](inner)) * linear["up_proj"](inner))

    def forward(self, x: torch.Tensor, batch: Packed, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        config, texts = self.config, batch.lengths.shape[0]

        def grid(part: torch.Tensor) -> torch.Tensor:
            if batch.places is not None:
                part = part.new_zeros(texts * batch.longest, *part.shape[1:]).index_copy(0, batch.places, part)
            part = part.view(texts, batch.longest, -1, config.head_dim).transpose(1, 2)
            return part.repeat_interleave(config.heads // part.shape[1], dim=1)

        query, key, value = (grid(part) for part in self.heads_of(self.before(x), cos, sin))
        # Padding stands behind each text: what looks back only never sees it.
        mixed = F.scaled_dot_product_attention(query, key, value.to(query.dtype), is_causal=True).transpose(1, 2).reshape(texts * batch.longest, -1)
        return self.after(x, mixed if batch.places is None else mixed.index_select(0, batch.places))


class Decoder(nn.Module):
    """Packed -> last hidden states (f32 [tokens of all texts, hidden]); `logits` of some of them."""

    def __init__(self, config: DecoderConfig, weights: Weights, rank: int = 0, alpha: float = 16.0) -> None:
        super().__init__()
        self.config, self.rank, self.scale = config, rank, alpha / max(rank, 1)
        self.words = nn.Parameter(weights["model.embed_tokens.weight"], requires_grad=False)
        self.last = nn.Parameter(weights["model.norm.weight"], requires_grad=False)
        self.head = self.words if config.tied else nn.Parameter(weights["lm_head.weight"], requires_grad=False)
        self.register_buffer("frequencies", torch.tensor(config.frequencies, dtype=torch.float32), persistent=False)
        self.layers = nn.ModuleList()
        for i in range(config.layers):
            prefix = f"model.layers.{i}."
            own = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
            self.layers.append(Layer(config, own, rank, self.scale))

    @property
    def device(self) -> torch.device:
        return self.words.device

    def turns(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine and sine for each position: [tokens, 1, head_dim]."""
        angles = positions.float()[:, None] * self.frequencies
        both = torch.cat([angles, angles], dim=-1)[:, None, :]
        return both.cos(), both.sin()

    def forward(self, batch: Packed) -> torch.Tensor:
        cos, sin = self.turns(batch.positions)
        x = F.embedding(batch.ids, self.words)
        for layer in self.layers:
            x = layer(x, batch, cos, sin)
        return rms_norm(x, self.last, self.config.eps)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        return F.linear(states, self.head)

    def additions(self) -> dict[str, torch.Tensor]:
        """What was trained, by the names that the peft library gives it."""
        found = {}
        for i, layer in enumerate(self.layers):
            for name, part in TARGETS.items():
                place = f"base_model.model.model.layers.{i}.{part}.{name}"
                found[f"{place}.lora_A.weight"] = layer.linear[name].lora_a.detach().clone()
                found[f"{place}.lora_B.weight"] = layer.linear[name].lora_b.detach().clone()
        return found
