"""How far projected joints are from where they are seen."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric

from zoo.shapes import Scalar


def box_sizes(pixels: Float[Tensor, "b k 2"], valid: Bool[Tensor, "b k"]) -> Float[Tensor, " b"]:
    """The longer side of the box around each hand's labelled points, pixels; 0 where fewer than two are labelled."""
    low = pixels.masked_fill(~valid[..., None], torch.inf).amin(1)
    high = pixels.masked_fill(~valid[..., None], -torch.inf).amax(1)
    return (high - low).amax(-1).clamp(min=0)


class Reprojection2D(Metric):
    """Mean distance in the image over all labelled points of all hands.

    Args:
        unit: `pixels`, or `box`: percent of the longer side of the hand's box. Hands whose box has no size are left
            out of the latter.
    """

    higher_is_better = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, unit: Literal["pixels", "box"] = "pixels") -> None:
        super().__init__()
        self.unit = unit
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(
        self,
        predicted: Float[Tensor, "b k 2"],
        target: Float[Tensor, "b k 2"],
        valid: Bool[Tensor, "b k"],
        sizes: Float[Tensor, " b"] | None = None,
    ) -> None:
        """Takes points in pixels.

        Args:
            predicted: Projected points.
            target: Where they are seen.
            valid: Labelled points. Unlabelled ones are not read.
            sizes: Sides of the hands' boxes; of the box around the labelled points when None.
        """
        error = (predicted.float() - target.float()).norm(dim=-1)
        if self.unit == "box":
            sizes = box_sizes(target, valid) if sizes is None else sizes
            valid = valid & (sizes > 0)[:, None]
            error = 100 * error / sizes[:, None]
        self.total += torch.where(valid, error, 0.0).sum()
        self.count += valid.sum()

    def compute(self) -> Scalar:
        """NaN before the first labelled point."""
        return self.total / self.count
