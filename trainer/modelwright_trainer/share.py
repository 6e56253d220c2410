"""How workers that train together divide a batch: each takes some of its rows, and what chance decides is decided for all rows alike."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class Share:
    """One worker's rows of a batch: `count` of them, from `first` on. Alone it has them all."""

    whole: list[int]
    first: int
    count: int

    @property
    def rows(self) -> list[int]:
        return self.whole[self.first : self.first + self.count]


def share_of(whole: list[int], rank: int, workers: int) -> Share:
    """Rows one after another, so that texts of like length stay together. Whoever has none of a batch has none of a smaller one either."""
    least, more = divmod(len(whole), workers)
    return Share(whole, rank * least + min(rank, more), least + (rank < more))


def dropout(x: torch.Tensor, probability: float, first: int, whole: int) -> torch.Tensor:
    """Of `x`, which are rows of `whole` from `first` on, what one worker alone would drop of them."""
    if x.shape[0] == whole:
        return F.dropout(x, probability)
    kept = F.dropout(x.new_ones(whole, *x.shape[1:]), probability)
    return x * kept[first : first + x.shape[0]]
