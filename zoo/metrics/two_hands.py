"""The measures of two hands that InterHand2.6M's protocols average in their own ways. Sides: 0 = left, 1 = right.

All take metres and give millimetres. What no label allows is left out of a result, or NaN where it is one number.
"""

from abc import ABC
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric

from zoo.hands.skeleton import LEFT, MIDDLE_MCP, RIGHT, WRIST
from zoo.metrics.alignment import EPSILON
from zoo.metrics.geometry import MILLIMETRES
from zoo.shapes import Mask, Scalar

TwoJoints = Float[Tensor, "b 2 21 3"]  # SNAP-21
TwoMeshes = Float[Tensor, "b 2 778 3"]
TwoPoints = Float[Tensor, "b 2 3"]
TwoMasks = Bool[Tensor, "b 2"]
SINGLE, INTERACTING = 0, 1


class Sums(Metric, ABC):
    """What a mean is taken of, in double precision: tens of thousands of hands are added.

    Args:
        shape: Of the sums.
    """

    higher_is_better = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        for name in ("total", "count"):
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")


@final
class TwoHandMPJPE(Sums):
    """Mean joint error after each hand's own wrist alignment, of single and of interacting hands.

    A joint's mean is taken over samples first, then the mean over the 42 joints. For all hands together InterNet (Moon
    et al. 2020) puts the samples of both kinds together; InterWild (Moon 2023) takes the mean of the 84 means.

    Args:
        pooled: InterNet's way.
    """

    def __init__(self, pooled: bool) -> None:
        super().__init__(2, 42)
        self.pooled = pooled

    def update(self, predicted: TwoJoints, target: TwoJoints, valid: Bool[Tensor, "b 2 21"], interacting: Mask) -> None:
        """Adds samples, metres, any origin; joints of a hand without a labelled wrist are left out."""
        offset = (predicted - predicted[:, :, [WRIST]]) - (target - target[:, :, [WRIST]])
        counted = (valid & valid[:, :, [WRIST]]).flatten(1)
        error = torch.where(counted, offset.norm(dim=-1).flatten(1), 0.0).double()
        for kind in (SINGLE, INTERACTING):
            rows = interacting == bool(kind)
            self.total[kind] += error[rows].sum(0)
            self.count[kind] += counted[rows].sum(0)

    def compute(self) -> dict[str, Scalar]:
        """`single`, `interacting`, `all`; those that have any sample."""
        total, count = self.total, self.count
        means = {
            "single": (total[[SINGLE]], count[[SINGLE]]),
            "interacting": (total[[INTERACTING]], count[[INTERACTING]]),
        }
        means["all"] = (total.sum(0), count.sum(0)) if self.pooled else (total, count)
        return {
            name: MILLIMETRES * (error[seen > 0] / seen[seen > 0]).mean()
            for name, (error, seen) in means.items()
            if bool((seen > 0).any())
        }


@final
class TwoHandMPVPE(Sums):
    """Mean vertex error of hands relative to the wrists of their own meshes: of single, interacting and all hands.

    As InterWild has it: the two hands of a sample count separately.
    """

    def __init__(self) -> None:
        super().__init__(2)

    def update(
        self,
        predicted: TwoMeshes,
        target: TwoMeshes,
        wrists: TwoPoints,
        true_wrists: TwoPoints,
        valid: TwoMasks,
        interacting: Mask,
    ) -> None:
        """Adds samples, metres; `wrists` are regressed from the predicted meshes, `true_wrists` from the labels."""
        offset = (predicted - wrists[:, :, None]) - (target - true_wrists[:, :, None])
        error = torch.where(valid, offset.norm(dim=-1).mean(-1), 0.0).double()
        for kind in (SINGLE, INTERACTING):
            rows = interacting == bool(kind)
            self.total[kind] += error[rows].sum()
            self.count[kind] += valid[rows].sum()

    def compute(self) -> dict[str, Scalar]:
        """`single`, `interacting`, `all`; those that have any hand."""
        sums = {"single": (self.total[SINGLE], self.count[SINGLE])}
        sums["interacting"] = (self.total[INTERACTING], self.count[INTERACTING])
        sums["all"] = (self.total.sum(), self.count.sum())
        return {name: MILLIMETRES * total / count for name, (total, count) in sums.items() if count > 0}


@final
class MRRPE(Sums):
    """Mean error of the way from the right wrist to the left one, millimetres, of hands that have both."""

    def update(self, predicted: Float[Tensor, "b 3"], target: Float[Tensor, "b 3"], valid: Mask) -> None:
        """Adds ways (left wrist - right wrist), metres."""
        self.total += torch.where(valid, (predicted - target).norm(dim=-1), 0.0).double().sum()
        self.count += valid.sum()

    def compute(self) -> Scalar:
        return MILLIMETRES * self.total / self.count


@final
class RRVE(Sums):
    """Mean vertex error of both hands in the place of the right one, millimetres (InterWild).

    The right mesh relative to its wrist; the left mesh relative to its wrist, moved by the way between the wrists.
    """

    def update(
        self,
        predicted: TwoMeshes,
        target: TwoMeshes,
        wrists: TwoPoints,
        true_wrists: TwoPoints,
        way: Float[Tensor, "b 3"],
        true_way: Float[Tensor, "b 3"],
        valid: Mask,
    ) -> None:
        """Adds samples, metres; ways are left wrist - right wrist, and need not be those of the meshes."""
        offset = (predicted - wrists[:, :, None]) - (target - true_wrists[:, :, None])
        left = offset[:, LEFT] + (way - true_way)[:, None]
        error = torch.cat((left, offset[:, RIGHT]), 1).norm(dim=-1).mean(-1)
        self.total += torch.where(valid, error, 0.0).double().sum()
        self.count += valid.sum()

    def compute(self) -> Scalar:
        return MILLIMETRES * self.total / self.count


@final
class HandednessAccuracy(Sums):
    """Share of samples for which both scores, cut at a half, say which hands are there; from 0 to 1 (InterNet)."""

    higher_is_better = True

    def update(self, scores: Float[Tensor, "b 2"], present: TwoMasks, valid: Mask) -> None:
        """Adds samples: scores and truth by side."""
        right = ((scores > 0.5) == present).all(-1)
        self.total += (right & valid).sum()
        self.count += valid.sum()

    def compute(self) -> Scalar:
        return self.total / self.count


@final
class MiddleBoneErrors(Sums):
    """IntagHand's errors (Li et al. 2022): each hand about its middle knuckle, with the true length of the bone to it.

    The mean over all points and samples of a side, then the mean of the sides; millimetres.

    Args:
        points: 21 joints or 778 vertices.
    """

    def __init__(self, points: int) -> None:
        super().__init__(2)
        self.points = points

    def update(
        self,
        predicted: Float[Tensor, "b 2 k 3"],
        target: Float[Tensor, "b 2 k 3"],
        joints: TwoJoints,
        true_joints: TwoJoints,
        valid: TwoMasks,
    ) -> None:
        """Adds samples, metres; the joints, SNAP-21, say where the knuckle is and how long the bone."""
        knuckle, true_knuckle = joints[:, :, [MIDDLE_MCP]], true_joints[:, :, [MIDDLE_MCP]]
        bone = (knuckle - joints[:, :, [WRIST]]).norm(dim=-1, keepdim=True)
        true_bone = (true_knuckle - true_joints[:, :, [WRIST]]).norm(dim=-1, keepdim=True)
        scale = torch.where(bone > EPSILON, true_bone / bone.clamp_min(EPSILON), 1.0)
        error = ((predicted - knuckle) * scale - (target - true_knuckle)).norm(dim=-1).mean(-1)
        self.total += torch.where(valid, error, 0.0).double().sum(0)
        self.count += valid.sum(0)

    def compute(self) -> dict[str, Scalar]:
        """`left`, `right` and `mean`; those that have any hand."""
        means = {
            name: MILLIMETRES * self.total[side] / self.count[side]
            for name, side in (("left", LEFT), ("right", RIGHT))
            if self.count[side] > 0
        }
        return means | ({"mean": torch.stack(list(means.values())).mean()} if means else {})
