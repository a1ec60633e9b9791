"""Measures of several hypotheses a hand."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric

from zoo.hands.skeleton import WRIST
from zoo.metrics.alignment import procrustes
from zoo.metrics.geometry import MILLIMETRES, distances, reliable
from zoo.shapes import Mask, Scalar

Alignment = Literal["root", "similarity", "proper"]


def hypothesis_errors(
    predicted: Float[Tensor, "b n k 3"],
    target: Float[Tensor, "b k 3"],
    valid: Bool[Tensor, "b k"],
    alignment: Alignment = "similarity",
) -> tuple[Float[Tensor, "b n"], Mask]:
    """Mean distance of each hypothesis over its hand's labelled points, metres, and the hands that can be measured.

    Args:
        predicted: n hypotheses a hand, 21 joints or 778 vertices.
        target: The true points.
        valid: Labelled points. Unlabelled ones are not read.
        alignment: `root` subtracts the wrist from joints and takes vertices as they come (relative to their wrists);
            `similarity` is FreiHAND's official alignment, `proper` the one without reflections; each hypothesis alone.
    """
    n = predicted.shape[1]
    target, counted = torch.where(valid[..., None], target, 0.0), valid.any(-1)
    if alignment == "root":
        if target.shape[1] == 21:
            counted = valid[:, WRIST]
            predicted, target = predicted - predicted[:, :, [WRIST]], target - target[:, [WRIST]]
        moved = predicted.flatten(0, 1)
    else:
        fixed, known = target.repeat_interleave(n, 0), valid.repeat_interleave(n, 0)
        moved = procrustes(predicted.flatten(0, 1), fixed, known, alignment == "similarity").points
        counted = reliable(valid).any(-1)
    error = distances(moved, target.repeat_interleave(n, 0)).view(len(target), n, target.shape[1])
    share = valid[:, None] / valid.sum(-1).clamp(min=1)[:, None, None]
    return (error * share).sum(-1), counted


class MinOfN(Metric):
    """Error of the best of n hypotheses, millimetres, mean over hands: MPJPE of joints, MPVPE of vertices.

    Joints and vertices are two metrics, so that each takes its own minimum; the best joints need not belong to the
    best mesh. With n = 1 and all points labelled it is the mean error itself.

    Args:
        n: Hypotheses that count, the first ones.
        alignment: As in `hypothesis_errors`.
    """

    higher_is_better = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, n: int, alignment: Alignment = "similarity") -> None:
        super().__init__(compute_with_cache=False)  # `add` does not empty the cache
        if n < 1:
            raise ValueError(f"MinOfN(n={n}) has no hypothesis to choose from; n starts at 1.")
        self.n, self.alignment = n, alignment
        self.add_state("total", torch.zeros((), dtype=torch.float32), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(
        self, predicted: Float[Tensor, "b n k 3"], target: Float[Tensor, "b k 3"], valid: Bool[Tensor, "b k"]
    ) -> None:
        """Takes hypotheses and true points, metres."""
        self.add(*hypothesis_errors(predicted[:, : self.n], target, valid, self.alignment))

    def add(self, errors: Float[Tensor, "b n"], counted: Mask) -> None:
        """Takes what `hypothesis_errors` returns, of n hypotheses or more."""
        if errors.shape[1] < self.n:
            raise ValueError(
                f"MinOfN(n={self.n}) got {errors.shape[1]} hypotheses a hand. Sample n of them (--n {self.n})."
            )
        self.total += torch.where(counted, errors[:, : self.n].amin(1), 0.0).sum()
        self.count += counted.sum()

    def compute(self) -> Scalar:
        """NaN before the first labelled hand."""
        return MILLIMETRES * self.total / self.count
