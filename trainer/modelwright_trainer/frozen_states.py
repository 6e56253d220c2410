"""What an encoder's frozen layers make of the texts of a training: computed when a text is first needed, then kept."""

import torch

from .embed import same_length
from .packed import PackedEncoder, pack

#: What is kept in memory. Texts beyond it are computed each time, to the same bits.
LIMIT_BYTES = 512 * 1024**2
FLOAT_BYTES = 4


class FrozenStates:
    def __init__(self, encoder: PackedEncoder, tokens: list[list[int]], limit_bytes: int = LIMIT_BYTES) -> None:
        self._encoder, self._tokens, self._free = encoder, tokens, limit_bytes
        self._kept: dict[int, torch.Tensor] = {}

    def of(self, texts: list[int]) -> torch.Tensor:
        """f32 [tokens of all these texts, dim], in their order. The bits of a text do not depend on its neighbours: a resumed job finds the same."""
        states = {i: self._kept[i] for i in texts if i in self._kept}
        missing = [i for i in texts if i not in states]
        with torch.no_grad():
            for chosen, rows in same_length([self._tokens[i] for i in missing]):
                computed = self._encoder.lower(pack(rows).to(self._encoder.device)).view(len(rows), len(rows[0]), -1)
                states |= {missing[at]: state for at, state in zip(chosen, computed, strict=False)}
        for i in missing:
            size = states[i].numel() * FLOAT_BYTES
            if size <= self._free:
                self._free -= size
                # A copy: a part of a batch would keep the whole batch.
                self._kept[i] = states[i].clone()
        return torch.cat([states[i] for i in texts])
