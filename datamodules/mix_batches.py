"""Batches of several datasets: in the proportion of weights for training, one after another otherwise."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from typing import Any, cast

import numpy as np
from torch.utils.data import Dataset

from datamodules.batches import Batch, Numbered, View, join
from datamodules.scene import IntArray


class MixBatches(Numbered):
    """The batches of several datasets at once, every batch in the proportion of their weights.

    Of the first `p` rows each part has its share to within fewer rows than there are parts, however large `p` and
    however small the share: what a batch cannot give a part, a later one does.

    Args:
        parts: By name; their own `rank`, `world` and `cycle` do not count.
        weights: By the same names; positive, of any sum.
        size: Rows a batch on one device.
        seed: Decides the order together with the parts' own seeds.
        cycle: Repeats the first so many batches for ever; None for no repetition.
        rank: Which of `world` devices this is.
        world: How many devices share a step.
    """

    def __init__(
        self,
        parts: Mapping[str, Numbered],
        weights: Mapping[str, float],
        size: int,
        seed: int = 0,
        cycle: int | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(size, seed, cycle, rank, world)
        if not parts or parts.keys() != weights.keys() or min(weights.values()) <= 0:
            raise ValueError(f"MixBatches got the weights {dict(weights)}. Every part needs one, and above zero.")
        self.parts = dict(parts)
        self.weights = {name: weights[name] for name in parts}
        exact = [Fraction(weight) for weight in self.weights.values()]
        self._of_rest = [weight / sum(exact[i:]) for i, weight in enumerate(exact)]

    def rows(self, share: int, first: int, n: int) -> Batch:
        """`n` rows from place `first` on, a part's rows side by side, the parts in the order given."""
        starts, stops = self.places(first), self.places(first + n)
        batches: list[Batch] = []
        for i, (part, start, stop) in enumerate(zip(self.parts.values(), starts, stops, strict=True)):
            if stop > start:
                batch: Any = part.rows(share, start, stop - start)
                index = batch["index"] * len(self.parts) + i  # no two rows share one
                batches.append(cast(Batch, {**batch, "index": index}))
        return reduce(join, batches)

    def places(self, p: int) -> list[int]:
        """How many of the first `p` rows each part has; no count ever falls, and their sum is `p`."""
        counts = []
        for part in self._of_rest:  # each takes its part of what those before it left
            counts.append(p * part.numerator // part.denominator)
            p -= counts[-1]
        return counts

    def once_through(self) -> int:
        """How many steps show as many rows as the parts that end hold together."""
        total = sum(self.weights.values())
        steps, share = 0.0, 0.0
        for name, part in self.parts.items():
            with suppress(ValueError):  # it has no end
                steps += part.once_through() * part.size * part.world
                share += self.weights[name] / total
        if not steps:
            raise ValueError(
                "An epoch of pose-only hands has no length of its own. Set --data.batches_per_epoch to a number."
            )
        return max(1, int(steps / (share * self.size * self.world)))

    def order(self) -> dict[str, int | float]:
        """What the order of the batches hangs on; the position itself is the trainer's."""
        parts = {
            f"{key} of {name}": value
            for name, part in self.parts.items()
            for key, value in part.order().items()
            if key != "world"
        }
        weights = {f"weight of {name}": weight for name, weight in self.weights.items()}
        return {"size": self.size, "world": self.world, "seed": self.seed, **weights, **parts}


class MixView(Dataset[Batch]):
    """Rows of several views one after another; `index` numbers them through.

    Args:
        views: By name.
        limit: At most so many rows of each, evenly spread over it; None for all.
    """

    def __init__(self, views: Mapping[str, View], limit: int | None = None) -> None:
        self.views = list(views.values())
        self.names = list(views)
        chosen = [_spread(len(view), limit) for view in self.views]
        self.part = np.repeat(np.arange(len(chosen)), [len(rows) for rows in chosen])
        self.row = np.concatenate(chosen)

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, row: int) -> Batch:
        return self.batch([row])

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """A whole batch at once; `DataLoader` calls this in place of `__getitem__`."""
        return self.batch(rows)

    def batch(self, rows: Sequence[int], epochs: Sequence[int] | None = None, images: int | None = None) -> Batch:
        """Reads rows; neighbours of one part are read together."""
        parts = self.part[np.asarray(rows)]
        edges = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), len(rows)]
        batches: list[Batch] = []
        for start, stop in pairwise(edges):
            some = [int(self.row[row]) for row in rows[start:stop]]
            wanted = None if images is None else min(max(images - start, 0), stop - start)
            batch: Any = self.views[parts[start]].batch(some, epochs and epochs[start:stop], wanted)
            index = batch["index"].new_tensor(list(rows[start:stop]))
            batches.append(cast(Batch, {**batch, "index": index}))
        return reduce(join, batches)


def _spread(n: int, limit: int | None) -> IntArray:
    """`limit` of `n` rows at equal steps: the rows of a video's start alone would say little."""
    return np.arange(n) if limit is None or n <= limit else np.arange(limit) * n // limit
