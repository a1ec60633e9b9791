"""Scores of the hands in made pictures: how sure a detector is, where the joints are, which pixels are hand."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric

from zoo.hands.skeleton import WRIST
from zoo.metrics.detectors import Detections
from zoo.shapes import Int, JointMask, Mask, Scalar

CENTIMETRES = 100.0


class Confidence(NamedTuple):
    """How sure a detector is of the hands in pictures.

    Args:
        detected: Mean score of all that it found, misses ignored, as Hand1000 does.
        expected: Mean score of the hands that should be there, a miss counting as 0.
        coverage: Percentage of the hands that should be there and were found.
    """

    detected: Scalar
    expected: Scalar
    coverage: Scalar


class HandConfidence(Metric):
    """Mean score of a detector, both ways that papers may mean it."""

    higher_is_better = True
    full_state_update = False
    detected_total: Tensor
    detected: Tensor
    expected_total: Tensor
    expected: Tensor
    met: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("detected_total", "expected_total"):
            self.add_state(name, torch.zeros((), dtype=torch.double), dist_reduce_fx="sum")
        for name in ("detected", "expected", "met"):
            self.add_state(name, torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, hands: Sequence[Detections], expected: Int[Tensor, " b"] | None = None) -> None:
        """Takes what was found in each picture, and how many hands should be there; one each when None.

        Of more detections than there should be hands the surest count for `expected`; all count for `detected`.
        """
        wanted = [1] * len(hands) if expected is None else expected.tolist()
        for found, many in zip(hands, wanted, strict=True):
            best = found.scores.sort(descending=True).values[:many]
            self.detected_total += found.scores.sum().to(self.detected_total)
            self.detected += len(found.scores)
            self.expected_total += best.sum().to(self.expected_total)
            self.expected += many
            self.met += len(best)

    def compute(self) -> Confidence:
        """NaN where there is nothing to take a mean of."""
        return Confidence(
            (self.detected_total / self.detected).float(),
            (self.expected_total / self.expected).float(),
            100 * self.met / self.expected,
        )


class SquaredError(NamedTuple):
    """Mean squared distance of the joints that were found, and how many hands were.

    Args:
        error: percent² of the box, or cm².
        coverage: Percentage of hands that were found.
    """

    error: Scalar
    coverage: Scalar


class KeypointMSE(Metric):
    """MSE-2D or MSE-3D: joints estimated on a made picture against those of the mesh that it was made from.

    The mean over joints and hands of the squared distance. The AttentionHand paper prints neither estimator nor unit;
    ours is 2D in percent of the longer side of the hand's box, 3D relative to the wrist in centimetres. Hands that the
    estimator does not find are left out of the error and told by the coverage: the two belong together.

    Args:
        kind: "2d" or "3d".
    """

    higher_is_better = False
    full_state_update = False
    total: Tensor
    joints: Tensor
    found: Tensor
    hands: Tensor

    def __init__(self, kind: Literal["2d", "3d"]) -> None:
        super().__init__()
        self.kind = kind
        self.add_state("total", torch.zeros((), dtype=torch.double), dist_reduce_fx="sum")
        for name in ("joints", "found", "hands"):
            self.add_state(name, torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(
        self,
        predicted: Float[Tensor, "b 21 d"],
        target: Float[Tensor, "b 21 d"],
        found: Mask,
        sizes: Float[Tensor, " b"] | None = None,
        valid: JointMask | None = None,
    ) -> None:
        """Takes one hand a row.

        Args:
            predicted: Pixels, or metres from any origin.
            target: The same of the condition.
            found: Rows where the estimator found a hand; others of `predicted` are not read.
            sizes: Longer sides of the hands' boxes, pixels; needed for 2d, and none for 3d.
            valid: Joints of the condition that count; all when None.
        """
        if (self.kind == "2d") != (sizes is not None) or predicted.shape[-1] != int(self.kind[0]):
            raise ValueError(
                f"KeypointMSE({self.kind!r}) got joints with {predicted.shape[-1]} coordinates and "
                f"{'no sizes' if sizes is None else 'sizes'}. 2d takes pixels with sizes of boxes, 3d metres without."
            )
        counted = found[:, None].expand(-1, 21) if valid is None else found[:, None] & valid
        offset = (predicted - target).double()
        if sizes is None:
            counted = counted & (valid[:, [WRIST]] if valid is not None else True)
            squared = (CENTIMETRES * (offset - offset[:, [WRIST]])).square().sum(-1)
        else:
            squared = (100 * offset / sizes[:, None, None]).square().sum(-1)
        self.total += torch.where(counted, squared, 0.0).sum()
        self.joints += counted.sum()
        self.found += found.sum()
        self.hands += len(found)

    def compute(self) -> SquaredError:
        """NaN where there is nothing to take a mean of."""
        return SquaredError((self.total / self.joints).float(), 100 * self.found / self.hands)


class MaskIoU(Metric):
    """Mean over pictures of intersection over union of the hand's pixels with the condition's silhouette.

    Pictures whose silhouette is empty are left out.
    """

    higher_is_better = True
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.double), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predicted: Bool[Tensor, "b h w"], target: Bool[Tensor, "b h w"]) -> None:
        seen = target.flatten(1).any(1)
        self.total += torch.where(seen, mask_iou(predicted, target), 0.0).sum()
        self.count += seen.sum()

    def compute(self) -> Scalar:
        """Between 0 and 1; NaN before the first silhouette."""
        return (self.total / self.count).float()


def mask_iou(predicted: Bool[Tensor, "b h w"], target: Bool[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    """Intersection over union of each pair; 1 where both are empty."""
    both = (predicted & target).flatten(1).sum(1).float()
    either = (predicted | target).flatten(1).sum(1).float()
    return torch.where(either > 0, both / either.clamp_min(1), 1.0)
