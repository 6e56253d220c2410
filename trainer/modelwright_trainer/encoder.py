"""A BERT encoder from a Hugging Face folder, in plain torch: it starts in a fraction of the time that transformers needs.

Weights keep the names of the folder's model.safetensors, so that what is trained can stand in for them.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F


class Layer(nn.Module):
    def __init__(self, hidden: int, heads: int, inner: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention = nn.ModuleDict(
            {
                "self": nn.ModuleDict({name: nn.Linear(hidden, hidden) for name in ("query", "key", "value")}),
                "output": nn.ModuleDict({"dense": nn.Linear(hidden, hidden), "LayerNorm": nn.LayerNorm(hidden, eps=eps)}),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(hidden, inner)})
        self.output = nn.ModuleDict({"dense": nn.Linear(inner, hidden), "LayerNorm": nn.LayerNorm(hidden, eps=eps)})

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, length, hidden = x.shape
        query, key, value = (
            self.attention["self"][name](x).view(batch, length, self.heads, hidden // self.heads).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).reshape(batch, length, hidden)
        x = self.attention["output"]["LayerNorm"](x + self.attention["output"]["dense"](mixed))
        return self.output["LayerNorm"](x + self.output["dense"](F.gelu(self.intermediate["dense"](x))))


class Encoder(nn.Module):
    """input_ids, attention_mask (int64 [batch, length]) -> embedding (f32 [batch, dim]): mean over the mask, of length 1."""

    def __init__(self, config: dict[str, int | float | str]) -> None:
        super().__init__()
        hidden, eps = int(config["hidden_size"]), float(config.get("layer_norm_eps", 1e-12))
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(int(config["vocab_size"]), hidden),
                "position_embeddings": nn.Embedding(int(config["max_position_embeddings"]), hidden),
                "token_type_embeddings": nn.Embedding(int(config["type_vocab_size"]), hidden),
                "LayerNorm": nn.LayerNorm(hidden, eps=eps),
            }
        )
        layers = [
            Layer(hidden, int(config["num_attention_heads"]), int(config["intermediate_size"]), eps)
            for _ in range(int(config["num_hidden_layers"]))
        ]
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})

    def states(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Last hidden states, f32 [batch, length, dim]."""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        parts = self.embeddings
        x = parts["word_embeddings"](input_ids) + parts["position_embeddings"](positions) + parts["token_type_embeddings"].weight[0]
        x = parts["LayerNorm"](x)
        mask = attention_mask.bool()[:, None, None, :]
        for layer in self.encoder["layer"]:
            x = layer(x, mask)
        return x

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return sentences_of(self.states(input_ids, attention_mask), attention_mask)


def sentences_of(states: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """f32 [batch, dim]: the mean over the mask, of length 1."""
    weights = attention_mask.unsqueeze(-1).to(states.dtype)
    pooled = (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
    return F.normalize(pooled.float(), dim=-1)


def load_encoder(folder: Path) -> Encoder:
    config = json.loads((folder / "config.json").read_text())
    # Without values of its own: random ones, drawn only to be replaced, cost half of the loading.
    with torch.device("meta"):
        encoder = Encoder(config)
    weights = load_file(folder / "model.safetensors")
    names = set(encoder.state_dict())
    encoder.load_state_dict({name: weights[name].float() for name in names}, assign=True)
    return encoder.eval()


def padded(tokens: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(ids) for ids in tokens)
    ids = torch.tensor([row + [0] * (width - len(row)) for row in tokens])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in tokens])
    return ids, mask
