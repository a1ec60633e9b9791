"""Which made pictures are good enough to train on: the hand is where the mesh is, and its joints are found there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zoo.hands.camera import project
from zoo.metrics.detectors import KeypointEstimator
from zoo.metrics.made_hands import mask_iou
from zoo.metrics.segmenter import SHIPPED, HandSegmenter
from zoo.registry import UsageError
from zoo.shapes import Bool, Float, Int, RawImages, Tensor


@dataclass(frozen=True)
class Labelled:
    """What a picture was made from.

    Args:
        mask: (h, w) the mesh's silhouette.
        joints2d: (k, 21, 2) pixels, of the hands whose joints are all known.
        sides: (k,) of them.
    """

    mask: Bool[Tensor, "h w"]
    joints2d: Float[Tensor, "k 21 2"]
    sides: Int[Tensor, " k"]


@dataclass(frozen=True)
class Gate:
    """Scores pictures, and says why one is refused.

    Args:
        segmenter: Finds the hand's pixels; None leaves them out.
        least_iou: Least intersection over union with the silhouette.
        estimator: Finds joints; None leaves them out.
        most_percent: Most that joints may be off on average, percent of the longer side of their box.
    """

    segmenter: HandSegmenter | None = None
    least_iou: float | int = 0.0
    estimator: KeypointEstimator | None = None
    most_percent: float | int = float("inf")

    @torch.no_grad()
    def __call__(self, pictures: RawImages, labels: Sequence[Labelled]) -> list[dict[str, Any]]:
        """Scores by name, and `reason` where a picture is refused."""
        found: list[dict[str, Any]] = [{} for _ in labels]
        images = pictures.float() / 255
        if self.segmenter is not None:
            device = next(self.segmenter.parameters()).device
            masks = self.segmenter.masks(images.to(device)).cpu()
            for row, iou in zip(found, mask_iou(masks, torch.stack([one.mask for one in labels])), strict=True):
                row["mask_iou"] = round(float(iou), 4)
                if row["mask_iou"] < self.least_iou:
                    row["reason"] = f"mask IoU below {self.least_iou:g}"
        if self.estimator is not None:
            for row, image, one in zip(found, images, labels, strict=True):
                self._joints(row, image, one)
        return found

    def _joints(self, row: dict[str, Any], image: Float[Tensor, "3 h w"], one: Labelled) -> None:
        """Each picture alone, so that its score does not depend on its batch."""
        assert self.estimator is not None
        if not len(one.sides):
            return
        low, high = one.joints2d.amin(1), one.joints2d.amax(1)
        boxes = torch.cat((low, high), 1) + 0.5  # pixel centres to edges
        seen = self.estimator(image.expand(len(boxes), -1, -1, -1), boxes, one.sides)
        off = (seen.joints2d - one.joints2d).norm(dim=-1).mean(1) / (high - low).amax(1)
        worst = float(torch.where(seen.found, 100 * off, torch.inf).max())
        row["joints_percent"] = round(worst, 2) if worst < float("inf") else None
        if worst > self.most_percent:
            row.setdefault("reason", f"joints more than {self.most_percent:g} % off")


def load_gate(
    segmenter: Path | None, least_iou: float | None, estimator: str | None, most_percent: float | None, device: str
) -> Gate:
    """The gate that the command line asks for; without a network it lets everything pass.

    Args:
        segmenter: File of weights, or None.
        least_iou: Takes the shipped segmenter when none is given.
        estimator: Weights with an image branch, or None.
        most_percent: Needs the estimator.
        device: Of the segmenter.
    """
    if least_iou is not None and segmenter is None:
        segmenter = SHIPPED
    if most_percent is not None and estimator is None:
        raise UsageError("--most_percent needs --estimator, weights that see joints in images, such as hhmr-image.")
    if least_iou is not None and not 0 <= least_iou <= 1:
        raise UsageError(f"--least_iou {least_iou} is no share. Give a number from 0 to 1.")
    options: dict[str, Any] = {}
    if segmenter is not None:
        options |= {"segmenter": HandSegmenter.load(segmenter.expanduser()).to(device), "least_iou": least_iou or 0.0}
    if estimator is not None:
        import checkpoints
        from zoo.commands.tasks.estimate import MethodEstimator
        from zoo.models.base import HandMethod

        method = checkpoints.load(estimator)
        if not isinstance(method, HandMethod):
            raise UsageError(f"--estimator {estimator} sees no hands. Give hhmr-image.")
        options["estimator"] = MethodEstimator(method, estimator)
        options["most_percent"] = float("inf") if most_percent is None else most_percent
    return Gate(**options)


def pixels_of(joints: Float[Tensor, "k 21 3"], intrinsics: Float[Tensor, "3 3"]) -> Float[Tensor, "k 21 2"]:
    """Where joints are seen, pixels; an empty tensor stays one."""
    return project(joints, intrinsics) if len(joints) else torch.zeros(0, 21, 2)
