"""Measures of hands that need no true hands: how much they differ, and whether they are sound."""

import torch
from torch import Tensor
from torchmetrics import Metric

from zoo.metrics.geometry import MILLIMETRES
from zoo.shapes import Faces, Scalar, Vertices


class APD(Metric):
    """Average pairwise distance: how much hands differ from one another, millimetres a vertex.

    1/(n(n-1)) of the sum over ordered pairs of the mean distance of corresponding vertices, of hands relative to their
    wrists. The HHMR paper, which takes the measure from Pose-NDF, prints neither formula nor unit.

    Args:
        limit: Hands kept, to bound time and memory, in every process: the first ones.
    """

    higher_is_better = True
    full_state_update = True  # the buffer of a batch is not one that could be added to the others
    hands: Tensor
    count: Tensor

    def __init__(self, limit: int = 256) -> None:
        super().__init__()
        self.limit = limit
        # A buffer of fixed size, so that processes with fewer hands, or with none, can gather too.
        self.add_state("hands", torch.zeros(limit, 778, 3), dist_reduce_fx=None)
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx=None)

    def update(self, vertices: Vertices) -> None:
        """Takes hands relative to their wrists, metres."""
        start = int(self.count)
        kept = vertices[: self.limit - start].float()
        self.hands[start : start + len(kept)] = kept
        self.count += len(kept)

    def compute(self) -> Scalar:
        """NaN with fewer than two hands."""
        from zoo.metrics.pairs import mean_pairwise_distance  # compiled on first use

        buffers = self.hands.view(-1, self.limit, 778, 3)
        every = torch.cat([hands[:n] for hands, n in zip(buffers, self.count.view(-1).tolist(), strict=True)])
        return torch.tensor(MILLIMETRES * mean_pairwise_distance(every), device=every.device)


class SelfIntersection(Metric):
    """Percentage of faces that pass through another face of the same hand, mean over hands.

    Faces that share a vertex are neighbours and never count; `zoo.metrics.intersection` has the whole definition.

    Args:
        limit: Hands tested in every process, the first ones; None for all.
    """

    higher_is_better = False
    full_state_update = False
    hits: Tensor
    count: Tensor
    meshes: Tensor

    def __init__(self, limit: int | None = None) -> None:
        super().__init__()
        self.limit = limit
        for name in ("hits", "count", "meshes"):
            self.add_state(name, torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, vertices: Vertices, faces: Faces) -> None:
        """Takes hands anywhere, in any unit, and the faces that they share. NaN and infinity are refused."""
        if self.limit is not None:
            vertices = vertices[: max(0, self.limit - int(self.meshes))]
        if not len(vertices):
            return
        from zoo.metrics.intersection import self_intersections  # compiled on first use

        found = self_intersections(vertices, faces)
        self.hits += found.sum().to(self.hits.device)
        self.count += found.numel()
        self.meshes += len(vertices)

    def compute(self) -> Scalar:
        """NaN before the first face."""
        return 100 * self.hits / self.count


class Share(Metric):
    """Percentage of rows that are True."""

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, rows: Tensor) -> None:
        self.total += rows.sum()
        self.count += rows.numel()

    def compute(self) -> Scalar:
        """NaN before the first row."""
        return 100 * self.total / self.count
