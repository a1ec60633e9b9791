"""How far predicted hands are from true ones: FreiHAND's measures, as torchmetrics that add up over processes."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric

from zoo.hands.skeleton import WRIST
from zoo.metrics.alignment import procrustes
from zoo.shapes import JointMask, Joints, Mask, Scalar, Vertices

MILLIMETRES = 1000.0
AUC_LIMIT, AUC_STEPS = 0.05, 100  # metres; FreiHAND's curve
FEWEST = 3  # a similarity explains fewer points away


def distances(predicted: Float[Tensor, "b k 3"], target: Float[Tensor, "b k 3"]) -> Float[Tensor, "b k"]:
    return (predicted.float() - target.float()).norm(dim=-1)


def reliable(valid: Bool[Tensor, "b k"]) -> Bool[Tensor, "b k"]:
    """The labelled points of hands with enough of them to align."""
    return valid & (valid.sum(-1, keepdim=True) >= FEWEST)


def rows(valid: Mask, k: int) -> Bool[Tensor, "b k"]:
    return valid[:, None].expand(-1, k)


class MeanDistance(Metric, ABC):
    """Mean distance in millimetres: over hands for each point, then over points, as FreiHAND does.

    Args:
        points: Points of a hand.
    """

    higher_is_better = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, points: int) -> None:
        super().__init__(compute_with_cache=False)  # `add` does not empty the cache
        self.add_state("total", torch.zeros(points), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(points), dist_reduce_fx="sum")

    @abstractmethod
    def update(self, predicted: Tensor, target: Tensor, valid: Tensor) -> None: ...

    def add(self, error: Float[Tensor, "b k"], valid: Bool[Tensor, "b k"]) -> None:
        """Takes distances, in metres, of hands that are aligned already."""
        self.total += torch.where(valid, error, 0.0).sum(0)
        self.count += valid.sum(0)

    def compute(self) -> Scalar:
        """Millimetres; NaN before the first labelled point."""
        seen = self.count > 0
        return MILLIMETRES * (self.total[seen] / self.count[seen]).mean()


class MPJPE(MeanDistance):
    """Mean joint error after wrist alignment, millimetres. Hands without a labelled wrist are left out."""

    def __init__(self) -> None:
        super().__init__(21)

    def update(self, predicted: Joints, target: Joints, valid: JointMask) -> None:
        error = distances(predicted - predicted[:, [WRIST]], target - target[:, [WRIST]])
        self.add(error, valid & valid[:, [WRIST]])


class PAMPJPE(MeanDistance):
    """Mean joint error after similarity alignment, millimetres. Hands with fewer than three labels are left out.

    Args:
        allow_reflection: FreiHAND's official choice.
    """

    def __init__(self, allow_reflection: bool = True) -> None:
        super().__init__(21)
        self.allow_reflection = allow_reflection

    def update(self, predicted: Joints, target: Joints, valid: JointMask) -> None:
        aligned = procrustes(predicted, target, valid, self.allow_reflection).points
        self.add(distances(aligned, target), reliable(valid))


class MPVPE(MeanDistance):
    """Mean vertex error, millimetres, of meshes given relative to their own wrist joints."""

    def __init__(self) -> None:
        super().__init__(778)

    def update(self, predicted: Vertices, target: Vertices, valid: Mask) -> None:
        self.add(distances(predicted, target), rows(valid, 778))


class PAMPVPE(MeanDistance):
    """Mean vertex error after similarity alignment of the mesh itself, millimetres.

    Args:
        allow_reflection: FreiHAND's official choice.
    """

    def __init__(self, allow_reflection: bool = True) -> None:
        super().__init__(778)
        self.allow_reflection = allow_reflection

    def update(self, predicted: Vertices, target: Vertices, valid: Mask) -> None:
        aligned = procrustes(predicted, target, None, self.allow_reflection).points
        self.add(distances(aligned, target), rows(valid, 778))


class AUC(Metric):
    """Area under the curve of correct points (error at most t) for t from 0 to 50 mm, between 0 and 1.

    Args:
        points: Points of a hand: 21 joints or 778 vertices.
        aligned: Aligns by a similarity first; else takes the coordinates as they come.
        allow_reflection: FreiHAND's official choice.
    """

    higher_is_better = True
    full_state_update = False
    hits: Tensor
    count: Tensor
    thresholds: Tensor

    def __init__(self, points: int = 21, aligned: bool = False, allow_reflection: bool = True) -> None:
        super().__init__(compute_with_cache=False)
        self.aligned = aligned
        self.allow_reflection = allow_reflection
        self.register_buffer("thresholds", torch.linspace(0, AUC_LIMIT, AUC_STEPS), persistent=False)
        self.add_state("hits", torch.zeros(points, AUC_STEPS), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(points), dist_reduce_fx="sum")

    def update(
        self, predicted: Float[Tensor, "b k 3"], target: Float[Tensor, "b k 3"], valid: Bool[Tensor, "b k"]
    ) -> None:
        if self.aligned:
            predicted = procrustes(predicted, target, valid, self.allow_reflection).points
            valid = reliable(valid)
        self.add(distances(predicted, target), valid)

    def add(self, error: Float[Tensor, "b k"], valid: Bool[Tensor, "b k"]) -> None:
        """Takes distances, in metres, of hands that are aligned already."""
        # The first threshold that a point meets; an error equal to it counts. Points beyond the last go to no bin.
        first = torch.bucketize(error.contiguous(), self.thresholds)
        bins = torch.where(valid, first, AUC_STEPS)
        counts = torch.zeros(error.shape[1], AUC_STEPS + 1, device=error.device)
        counts.scatter_add_(1, bins.mT, torch.ones_like(error.mT))
        self.hits += counts[:, :AUC_STEPS].cumsum(1)
        self.count += valid.sum(0)

    def compute(self) -> Scalar:
        """Mean over points of their normalised areas; NaN before the first labelled point."""
        seen = self.count > 0
        correct = self.hits[seen] / self.count[seen, None]
        return (torch.trapezoid(correct, self.thresholds) / AUC_LIMIT).mean()


class FScore(Metric):
    """Harmonic mean of precision and recall of nearest-neighbour distances below a threshold, between 0 and 1.

    Args:
        millimetres: Threshold; a distance must be smaller.
        aligned: Aligns by a similarity first; else takes the coordinates as they come.
        allow_reflection: FreiHAND's official choice.
    """

    higher_is_better = True
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, millimetres: int = 5, aligned: bool = False, allow_reflection: bool = True) -> None:
        super().__init__(compute_with_cache=False)
        self.threshold = millimetres / MILLIMETRES
        self.aligned = aligned
        self.allow_reflection = allow_reflection
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, predicted: Vertices, target: Vertices, valid: Mask) -> None:
        if self.aligned:
            predicted = procrustes(predicted, target, None, self.allow_reflection).points
        self.add(*nearest(predicted, target), valid)

    def add(self, to_target: Float[Tensor, "b v"], to_predicted: Float[Tensor, "b v"], valid: Mask) -> None:
        """Takes what `nearest` returns."""
        precision = (to_target < self.threshold).float().mean(-1)
        recall = (to_predicted < self.threshold).float().mean(-1)
        score = 2 * precision * recall / (precision + recall).clamp(min=1e-12)  # 0 where both are 0
        self.total += torch.where(valid, score, 0.0).sum()
        self.count += valid.sum()

    def compute(self) -> Scalar:
        return self.total / self.count


def nearest(predicted: Vertices, target: Vertices) -> tuple[Float[Tensor, "b v"], Float[Tensor, "b v"]]:
    """Distance of every predicted vertex to the nearest true one, and of every true one to the nearest predicted."""
    exact = "donot_use_mm_for_euclid_dist"  # products would be rounded to ten bits where TF32 is on
    pairs = [torch.cdist(p, t, compute_mode=exact) for p, t in zip(predicted.float(), target.float(), strict=True)]
    if not pairs:
        return predicted[..., 0], target[..., 0]
    return torch.stack([d.amin(1) for d in pairs]), torch.stack([d.amin(0) for d in pairs])
