"""The encoder as it trains and embeds: tokens of all texts in one row after another, so that no linear layer works on padding.

Same mathematics and weights as `Encoder`; query, key and value are one matrix. Padding exists only inside attention.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from .encoder import Encoder

#: LoRA's usual choice: the update is scaled by LORA_ALPHA / rank.
LORA_ALPHA = 16.0


@dataclass(frozen=True)
class Packed:
    """Texts as one row of tokens. `places` are their cells in a [texts, longest] grid, None when all have one length."""

    ids: torch.Tensor
    positions: torch.Tensor
    lengths: torch.Tensor
    longest: int
    places: torch.Tensor | None
    mask: torch.Tensor | None

    def to(self, device: torch.device) -> "Packed":
        ids, positions, lengths = (one.to(device) for one in (self.ids, self.positions, self.lengths))
        places, mask = (None if one is None else one.to(device) for one in (self.places, self.mask))
        return Packed(ids, positions, lengths, self.longest, places, mask)


def pack(tokens: list[list[int]]) -> Packed:
    lengths = torch.tensor([len(ids) for ids in tokens])
    longest = int(lengths.max())
    ids = torch.tensor([token for row in tokens for token in row])
    grid = torch.arange(longest)[None, :] < lengths[:, None]
    positions = torch.arange(longest).expand(len(tokens), longest)[grid]
    if bool(grid.all()):
        return Packed(ids, positions, lengths, longest, None, None)
    return Packed(ids, positions, lengths, longest, grid.flatten().nonzero().squeeze(1), grid[:, None, None, :])


class PackedLayer(nn.Module):
    def __init__(self, hidden: int, inner: int, eps: float, rank: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.up, self.down = nn.Linear(hidden, inner), nn.Linear(inner, hidden)
        self.norm1, self.norm2 = nn.LayerNorm(hidden, eps=eps), nn.LayerNorm(hidden, eps=eps)
        self.rank = rank
        if rank:
            # Of query and of value; the second factor is zero, so that training starts from the base model.
            self.lora_a = nn.Parameter(torch.empty(2 * rank, hidden))
            self.lora_b = nn.Parameter(torch.zeros(2, hidden, rank))
            nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))

    def update(self) -> torch.Tensor:
        """What LoRA adds to the query's and the value's weight: [2, hidden, hidden]."""
        return torch.bmm(self.lora_b, self.lora_a.view(2, self.rank, -1)) * (LORA_ALPHA / self.rank)

    def forward(self, x: torch.Tensor, batch: Packed, heads: int) -> torch.Tensor:
        hidden = x.shape[1]
        qkv = self.qkv(x)
        if self.rank:
            low = F.linear(x, self.lora_a) * (LORA_ALPHA / self.rank)
            query = F.linear(low[:, : self.rank], self.lora_b[0])
            value = F.linear(low[:, self.rank :], self.lora_b[1])
            qkv = qkv + torch.cat([query, torch.zeros_like(query), value], dim=1)
        texts = batch.lengths.shape[0]
        grid = qkv if batch.places is None else qkv.new_zeros(texts * batch.longest, 3 * hidden).index_copy(0, batch.places, qkv)
        query, key, value = grid.view(texts, batch.longest, 3, heads, hidden // heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=batch.mask).transpose(1, 2).reshape(-1, hidden)
        if batch.places is not None:
            mixed = mixed.index_select(0, batch.places)
        x = self.norm1(x + self.out(mixed))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class PackedEncoder(nn.Module):
    """Packed -> last hidden states (f32 [tokens of all texts, dim])."""

    def __init__(self, base: Encoder, lora_rank: int = 0, trained_share: float = 1.0) -> None:
        """`trained_share` of the layers, counted from the top, is trained; what lies below stays as it is."""
        super().__init__()
        weights = base.state_dict()
        parts, first = base.embeddings, base.encoder["layer"][0]
        self.heads, self.dim = first.heads, parts["word_embeddings"].weight.shape[1]
        # Most of the weights, and they gain little: never trained, so they cost neither optimizer state nor checkpoint.
        self.word = nn.Embedding.from_pretrained(parts["word_embeddings"].weight.detach(), freeze=True)
        self.position, self.kind = nn.Parameter(parts["position_embeddings"].weight.detach().clone()), nn.Parameter(weights["embeddings.token_type_embeddings.weight"].clone())
        eps, inner = parts["LayerNorm"].eps, first.intermediate["dense"].out_features
        self.norm = nn.LayerNorm(self.dim, eps=eps)
        self.layers = nn.ModuleList(PackedLayer(self.dim, inner, eps, lora_rank) for _ in base.encoder["layer"])
        self.load_base({name: tensor.float() for name, tensor in weights.items()})
        self.frozen_layers = len(self.layers) - math.ceil(trained_share * len(self.layers))
        for name, parameter in self.named_parameters():
            below = self.frozen_layers > 0 and (not name.startswith("layers.") or int(name.split(".")[1]) < self.frozen_layers)
            parameter.requires_grad_(parameter.requires_grad and not below and (not lora_rank or "lora_" in name))

    @property
    def device(self) -> torch.device:
        return self.word.weight.device

    def forward(self, batch: Packed) -> torch.Tensor:
        return self.upper(self.lower(batch), batch)

    def lower(self, batch: Packed) -> torch.Tensor:
        """What the layers below the trained ones make of the batch: the same in every epoch."""
        x = self.norm(self.word(batch.ids) + F.embedding(batch.positions, self.position) + self.kind[0])
        for layer in self.layers[: self.frozen_layers]:
            x = layer(x, batch, self.heads)
        return x

    def upper(self, x: torch.Tensor, batch: Packed) -> torch.Tensor:
        for layer in self.layers[self.frozen_layers :]:
            x = layer(x, batch, self.heads)
        return x.float()

    def load_base(self, weights: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            self.norm.weight.copy_(weights["embeddings.LayerNorm.weight"])
            self.norm.bias.copy_(weights["embeddings.LayerNorm.bias"])
            for i, layer in enumerate(self.layers):
                for part, name in ((layer.qkv, None), *_parts(layer)):
                    for kind in ("weight", "bias"):
                        prefix = f"encoder.layer.{i}."
                        source = [weights[f"{prefix}attention.self.{one}.{kind}"] for one in _QKV] if name is None else [weights[f"{prefix}{name}.{kind}"]]
                        getattr(part, kind).copy_(torch.cat(source))

    def changed(self) -> dict[str, torch.Tensor]:
        """The tensors that training may have changed, by their names in the base model's folder."""
        trained = list(enumerate(self.layers))[self.frozen_layers :]
        with torch.no_grad():
            if self.layers[0].rank:
                found = {}
                for i, layer in trained:
                    whole = layer.qkv.weight.view(3, self.dim, self.dim)
                    for at, (one, name) in enumerate(((0, "query"), (2, "value"))):
                        found[f"encoder.layer.{i}.attention.self.{name}.weight"] = (whole[one] + layer.update()[at]).contiguous()
                return found
            found = {} if self.frozen_layers else {
                "embeddings.position_embeddings.weight": self.position.detach().clone(),
                "embeddings.token_type_embeddings.weight": self.kind.detach().clone(),
                "embeddings.LayerNorm.weight": self.norm.weight.detach().clone(),
                "embeddings.LayerNorm.bias": self.norm.bias.detach().clone(),
            }
            for i, layer in trained:
                for kind in ("weight", "bias"):
                    for name, piece in zip(_QKV, getattr(layer.qkv, kind).chunk(3), strict=True):
                        found[f"encoder.layer.{i}.attention.self.{name}.{kind}"] = piece.detach().clone()
                    for part, name in _parts(layer):
                        found[f"encoder.layer.{i}.{name}.{kind}"] = getattr(part, kind).detach().clone()
            return found


_QKV = ("query", "key", "value")


def _parts(layer: PackedLayer) -> tuple[tuple[nn.Module, str], ...]:
    return (
        (layer.out, "attention.output.dense"),
        (layer.norm1, "attention.output.LayerNorm"),
        (layer.up, "intermediate.dense"),
        (layer.down, "output.dense"),
        (layer.norm2, "output.LayerNorm"),
    )


def sentences(states: torch.Tensor, batch: Packed) -> torch.Tensor:
    """f32 [texts, dim]: the mean of each text's tokens, of length 1, as serving computes it."""
    texts, dim = batch.lengths.shape[0], states.shape[1]
    if batch.places is None:
        pooled = states.view(texts, batch.longest, dim).mean(1)
    else:
        owner = torch.arange(texts, device=states.device).repeat_interleave(batch.lengths)
        pooled = states.new_zeros(texts, dim).index_add(0, owner, states) / batch.lengths[:, None]
    return F.normalize(pooled, dim=-1)
