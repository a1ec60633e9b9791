"""A method that reads images as an estimator of joints: hands of made pictures, for MSE-2D and MSE-3D."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.batch import Given
from zoo.hands.camera import (
    apply_affine,
    crop_affine,
    crop_frame,
    crop_to_full,
    denormalize_pixels,
    invert_affine,
    square_box,
)
from zoo.hands.skeleton import LEFT
from zoo.metrics.detectors import Keypoints
from zoo.models.base import HandMethod
from zoo.shapes import Float, Images, Joints2D, Side


@dataclass(frozen=True)
class MethodEstimator:
    """Joints that a method with an image branch, such as `hhmr-image`, sees in pictures. A `KeypointEstimator`.

    A hand is cut out as in training; left ones are mirrored, for methods read right hands, and mirrored back. The 3D
    joints are those of the sampled mesh. The 2D joints are the middles of the image branch's own heat maps, found in
    the pixels alone: projecting the mesh would take its place from the box that was given.

    Args:
        method: With a `conditioner` whose part "image" has heat maps.
        name: Part of the name of every number that it is behind.
        margin: Side of the crop over the longer side of the box, as in training.
        hypotheses: Whose mean is taken for 3D.
    """

    method: HandMethod
    name: str = "hhmr-image"
    margin: float = 1.5
    hypotheses: int = 1

    @torch.no_grad()
    def __call__(self, images: Images, boxes: Float[Tensor, "b 4"], sides: Side) -> Keypoints:
        """One hand in each picture; always the same for the same batch."""
        from datamodules.crops import warp

        part, device = self._part(), self.method.device
        rows, mirrored = len(images), (sides == LEFT).cpu()
        corners = torch.unflatten(boxes.float().cpu(), 1, (2, 2)) - 0.5  # edges to pixel centres
        centre, length = square_box(corners, torch.ones(rows, 2, dtype=torch.bool), self.margin)
        flat = torch.zeros(rows)
        affine, frame = crop_affine(centre, length, flat, part.size, mirrored), crop_frame(flat, mirrored)
        pixels = (255 * images).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
        cut = [warp(image, a.double().numpy(), part.size) for image, a in zip(pixels, affine, strict=True)]
        packed = np.stack(cut) if cut else np.zeros((0, part.size, part.size, 3), np.uint8)
        crops = torch.from_numpy(packed).permute(0, 3, 1, 2).float() / 255
        given = Given(image=crops.to(device), has_image=torch.ones(rows, dtype=torch.bool, device=device))
        if not rows:
            return Keypoints(torch.zeros(0, 21, 2), torch.zeros(0, 21, 3), torch.zeros(0, dtype=torch.bool))
        generator = torch.Generator(device).manual_seed(0)
        hands = self.method.sample(given, self.hypotheses, generator, rows)
        joints = hands["joints"].mean(1).float().cpu()
        heat = part(given, rows).heat
        if heat is None:
            raise ValueError(
                f"{type(part).__name__} of {self.name} has no heat maps, so it sees no joints in 2D. "
                "Take weights whose image branch is a PoseImageMapper, such as hhmr-image."
            )
        places = apply_affine(invert_affine(affine), middles(heat.float().cpu(), part.size))
        joints = crop_to_full(joints - joints[:, :1], frame)
        return Keypoints(places, joints, joints.isfinite().flatten(1).all(1))

    def _part(self) -> Any:
        conditioner: Any = getattr(self.method, "conditioner", None)
        parts: Any = getattr(conditioner, "parts", {})
        if "image" not in parts:
            raise ValueError(
                f"{self.name} takes no images, so it sees no joints. Take weights with an image branch: hhmr-image."
            )
        return parts["image"]


def middles(heat: Float[Tensor, "b 21 h w"], side: int) -> Joints2D:
    """The mean places of heat maps that cover a square picture of `side` pixels, in its pixels."""
    height, width = heat.shape[-2:]
    share = heat.flatten(2).softmax(-1)
    x, y = ((2 * torch.arange(n) + 1) / n - 1 for n in (width, height))
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1).view(-1, 2)
    return denormalize_pixels(share @ grid, (side, side))
