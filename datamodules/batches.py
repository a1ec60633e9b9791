"""Training batches by number, and a loader that goes on wherever the trainer is."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, reduce
from itertools import count
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datamodules.scene import IntArray
from zoo.batch import HandBatch, SceneBatch

Batch = HandBatch | SceneBatch
_PASSES = 2  # that a batch can lie between


@runtime_checkable
class View(Protocol):
    """Rows of a dataset as batches: hands or whole scenes."""

    def __len__(self) -> int: ...

    def batch(self, rows: Sequence[int], epochs: Sequence[int] | None = None, images: int | None = None) -> Batch:
        """Reads rows; `epochs` is how often each was read before, `images` how many, from the first, get pictures."""


class Numbered(Dataset[Batch], ABC):
    """Training batches by number: batch `k` is a function of the seed and of `k` alone.

    Args:
        size: Rows a batch on one device.
        seed: Decides the order.
        cycle: Repeats the first so many batches for ever; None for no repetition.
        rank: Which of `world` devices this is.
        world: How many devices share a step.
    """

    def __init__(self, size: int, seed: int = 0, cycle: int | None = None, rank: int = 0, world: int = 1) -> None:
        self.size, self.seed, self.cycle, self.rank, self.world = size, seed, cycle, rank, world

    def __getitem__(self, k: int) -> Batch:
        share = (k % self.cycle if self.cycle else k) * self.world + self.rank
        return self.rows(share, share * self.size, self.size)

    @abstractmethod
    def rows(self, share: int, first: int, n: int) -> Batch:
        """`n` rows from place `first` of the endless order on; `share` numbers the request."""

    @abstractmethod
    def once_through(self) -> int:
        """How many steps show every row of the dataset about once."""

    @abstractmethod
    def order(self) -> dict[str, int | float]:
        """What the order of the batches hangs on."""


@runtime_checkable
class PoseSource(Protocol):
    """An endless supply of hands without images, or of scenes."""

    def batch(self, k: int, n: int) -> Batch:
        """Batch `k` of `n` rows: a function of `k` and `n` alone."""


class TrainBatches(Numbered):
    """The batches of one dataset.

    Args:
        view: Rows from a dataset, or None: then every row comes from `poses`.
        poses: Where rows without an image come from; None takes them from `view`, without opening their images.
        size: Rows a batch on one device.
        image_rows: How many of them have an image; they come first.
        seed: Decides the order.
        cycle: Repeats the first so many batches for ever; None for no repetition.
        rank: Which of `world` devices this is.
        world: How many devices share a step.
    """

    def __init__(
        self,
        view: View | None,
        poses: PoseSource | None,
        *,
        size: int,
        image_rows: int,
        seed: int = 0,
        cycle: int | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(size, seed, cycle, rank, world)
        self.view = view
        self.poses = poses
        if view is None and poses is None:
            raise ValueError("TrainBatches got neither a dataset nor a pose source. Give it at least one of them.")
        if view is not None and not len(view):
            raise ValueError(
                "The training split has no hand in it. Change --data.root or the options that leave hands out."
            )
        self.image_rows = image_rows
        self.view_rows = 0 if view is None else size if poses is None else image_rows

    def rows(self, share: int, first: int, n: int) -> Batch:
        """`n` rows from place `first` on, pictures and poses in the proportion of a whole batch."""
        start, stop = (place * self.view_rows // self.size for place in (first, first + n))
        pictured = (first + n) * self.image_rows // self.size - first * self.image_rows // self.size
        parts: list[Batch] = []
        if self.view is not None and stop > start:
            rows, epochs = _shuffled(start, stop - start, len(self.view), self.seed)
            parts.append(self.view.batch(rows, epochs, pictured))
        if self.poses is not None and n > stop - start:
            parts.append(self.poses.batch(share, n - (stop - start)))
        return reduce(join, parts)

    def once_through(self) -> int:
        """How many steps show every row of the dataset about once."""
        if self.view is None or not self.view_rows:
            raise ValueError(
                "An epoch of pose-only hands has no length of its own. Set --data.batches_per_epoch to a number."
            )
        return max(1, len(self.view) // (self.view_rows * self.world))

    def order(self) -> dict[str, int | float]:
        """What the order of the batches hangs on; the position itself is the trainer's."""
        return {"rows": self.view_rows, "world": self.world, "seed": self.seed}


def join(first: Batch, second: Batch) -> Batch:
    """One batch of the rows of two. Packed pictures stay packed, because both come in the order of their rows."""
    joined: dict[str, Any] = {}
    for key, value in first.items():
        other: Any = second[key]  # type: ignore[literal-required]
        if isinstance(value, list):
            joined[key] = value + other
        elif isinstance(value, Tensor):  # an empty picture may have another type or size
            parts = [part for part in (value, other) if len(part)] or [value]
            joined[key] = torch.cat(parts) if len(parts) > 1 else parts[0]
    return joined  # type: ignore[return-value]


def _shuffled(start: int, count: int, n: int, seed: int) -> tuple[list[int], list[int]]:
    """`count` rows of `n`, from place `start` of an endless shuffled sequence, and in which pass each of them is."""
    epochs = [place // n for place in range(start, start + count)]
    rows = [int(_order(n, seed, epoch)[(start + i) % n]) for i, epoch in enumerate(epochs)]
    return rows, epochs


def _order(n: int, seed: int, epoch: int) -> IntArray:
    passes = _passes(n, seed)
    if epoch not in passes:
        while len(passes) >= _PASSES:
            del passes[next(iter(passes))]
        passes[epoch] = np.random.default_rng((seed, epoch)).permutation(n)
    return passes[epoch]


@lru_cache(maxsize=32)  # parts of a mixture
def _passes(n: int, seed: int) -> dict[int, IntArray]:
    """The last few orders of a dataset, by pass: megabytes each, in every worker."""
    return {}


class TrainLoader:
    """Iterates over training batches from the one the trainer has reached; Lightning asks for it at every epoch.

    Args:
        batches: Batches by number.
        length: Batches an epoch.
        reached: How many batches the trainer has trained on.
        workers: Processes that read ahead; 0 reads in the training process.
    """

    def __init__(self, batches: Numbered, length: int, reached: Callable[[], int], workers: int = 0) -> None:
        self.batches = batches
        self.length = length
        self.reached = reached
        self.workers = workers
        self._iterator: Any = None  # this name lets Lightning stop the workers when training ends
        self._next = -1

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Batch]:
        start = self.reached()
        if self._iterator is None or self._next != start:
            self._iterator = iter(read(self.batches, count(start), workers=self.workers))
            self._next = start
        for batch in self._iterator:  # without end: Lightning counts to `length`
            self._next += 1
            yield batch

    def state_dict(self) -> dict[str, int | float]:
        """What the order of the batches hangs on; the position itself is the trainer's."""
        return self.batches.order()

    def load_state_dict(self, state: dict[str, int | float]) -> None:
        """Says so when training goes on in another order than the one it left."""
        if changed := [
            f"{name} {state.get(name)} -> {now}" for name, now in self.state_dict().items() if state.get(name) != now
        ]:
            warnings.warn(
                f"The order of the training data is another than the checkpoint's ({', '.join(changed)}), so this run "
                "does not reproduce an uninterrupted one. Resume with the same --data options and devices.",
                stacklevel=2,
            )


def read(dataset: Dataset[Batch], numbers: Iterable[int], workers: int) -> DataLoader[Batch]:
    """A loader of ready batches, given by number."""
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=one_thread,
    )


def one_thread(_: int = 0) -> None:
    """Keeps a loader worker from starting threads of its own; the workers already are the threads."""
    cv2.setNumThreads(0)
