"""Square crops around hands: one affine map of the pixels and one turn of space that belong together."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from datamodules.augment import Variation
from datamodules.scene import ByteArray
from zoo.hands.camera import apply_affine, crop_affine, crop_frame, crop_intrinsics, square_box
from zoo.shapes import Intrinsics, JointMask, Joints2D


class Crops:
    """The maps of a batch of images to their crops.

    A crop turns, mirrors and scales. Its camera is chosen so that every moved point still lands on its moved pixel.

    Args:
        pixels: (b, 21, 2) what the crops are built around, image pixels.
        counted: (b, 21) which of those points count; at least one a row.
        margin: Side of the crop over the longer side of the points' box.
        size: Side of the crop, pixels.
        mirror: (b,) rows to mirror left to right.
        variations: Rotation, scale and shift for each row; None for none.
    """

    def __init__(
        self,
        pixels: Joints2D,
        counted: JointMask,
        *,
        margin: float,
        size: int,
        mirror: Bool[Tensor, " b"],
        variations: Sequence[Variation] | None = None,
    ) -> None:
        self.size = size
        drawn = variations or [Variation()] * len(pixels)
        centre, side = square_box(pixels, counted, margin)
        shift = torch.tensor([v.shift for v in drawn], dtype=centre.dtype)
        zoom = torch.tensor([v.scale for v in drawn], dtype=centre.dtype)
        rotation = torch.tensor([v.rotation for v in drawn], dtype=centre.dtype)
        self.affine = crop_affine(centre + side[:, None] * shift, side * zoom, rotation, size, mirror)
        self.frame = crop_frame(rotation, mirror)

    def points(self, points: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 3"]:
        """Camera-frame points of the images, metres, in the cameras of the crops."""
        turned = np.empty(points.shape, np.float32)
        for row, (given, frame) in enumerate(zip(points.numpy(), self.frame.numpy(), strict=True)):
            cv2.transform(given[None], frame, dst=turned[row : row + 1])  # a third of the time of a matrix product
        return torch.from_numpy(turned)

    def joints2d(self, pixels: Float[Tensor, "b n 2"]) -> Float[Tensor, "b n 2"]:
        """Image pixels to crop pixels."""
        return apply_affine(self.affine, pixels)

    def intrinsics(self, intrinsics: Intrinsics) -> Intrinsics:
        """The cameras of the crops."""
        return crop_intrinsics(self.affine.double(), intrinsics.double(), self.frame.double()).float()

    def image(self, row: int, image: ByteArray) -> ByteArray:
        """The crop (size, size, 3) of one row's image (h, w, 3); black outside of the image."""
        return warp(image, self.affine[row].double().numpy(), self.size)


def warp(image: ByteArray, affine: NDArray[np.float64], size: int) -> ByteArray:
    """Resamples (h, w, channels) under a (2, 3) affine map to (size, size, channels); black outside of the image."""
    (a, b), (c, d) = affine[:, :2].tolist()
    shrink = int(1 / math.sqrt(abs(a * d - b * c)))
    if shrink >= 2:  # a bilinear warp alone would alias
        if min(image.shape[:2]) < shrink:  # a strip, of which nothing would be left
            below, beside = (max(0, shrink - length) for length in image.shape[:2])
            image = np.asarray(cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_CONSTANT), np.uint8)
        height, width = image.shape[0] // shrink, image.shape[1] // shrink
        whole = image[: height * shrink, : width * shrink]
        image = np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        half = (shrink - 1) / 2
        affine = affine @ np.array([[shrink, 0, half], [0, shrink, half], [0, 0, 1]])
    return np.asarray(cv2.warpAffine(image, affine, (size, size), flags=cv2.INTER_LINEAR), np.uint8)
