"""Cuts hands out of pictures, by one rule, for FID-H and KID-H."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zoo.metrics.extractors import resized
from zoo.shapes import Images

Boxes = Float[Tensor, "_ 4"]  # any number; left, top, right, bottom edges, pixels from the picture's top left corner


@dataclass(frozen=True)
class HandCrops:
    """One square for each hand's box, resized to one size.

    Args:
        margin: Side of the square over the longer side of the box.
        smallest: Least side of the square, pixels; smaller ones grow to it around their middle.
    """

    margin: float = 1.5
    smallest: int = 32

    @property
    def rule(self) -> str:
        """The rule, to stand with each number."""
        return (
            f"one crop a hand: square around the middle of its box, {self.margin:g} times the longer side, at least "
            f"{self.smallest} px, moved into the picture where it fits, black outside, bicubic with antialiasing"
        )

    def __call__(self, images: Images, boxes: Sequence[Boxes], side: int) -> Float[Tensor, "n 3 s s"]:
        """The crops of all hands of all pictures, in order.

        Args:
            images: Pictures.
            boxes: Those of each picture, any number.
            side: Of the crops, pixels.
        """
        if len(boxes) != len(images):
            raise ValueError(
                f"HandCrops got boxes of {len(boxes)} pictures for {len(images)}. Give each picture its boxes, "
                "a tensor of shape (0, 4) where there are none."
            )
        found = [
            self._crop(image, box, side) for image, rows in zip(images, boxes, strict=True) for box in rows.tolist()
        ]
        return torch.stack(found) if found else images.new_zeros(0, 3, side, side)

    def square(self, box: Sequence[float], height: int, width: int) -> tuple[int, int, int]:
        """Left and top edge and side of a box's square, whole pixels."""
        left, top, right, bottom = box
        if not (right > left and bottom > top and right > 0 and bottom > 0 and left < width and top < height):
            raise ValueError(
                f"HandCrops got the box {tuple(box)} in a picture of {width}x{height}. A box is left, top, right, "
                "bottom in pixels, with some of the picture in it. Leave out hands that are not seen."
            )
        side = max(self.smallest, round(self.margin * max(right - left, bottom - top)))
        x, y = round((left + right - side) / 2), round((top + bottom - side) / 2)
        return _inside(x, side, width), _inside(y, side, height), side

    def _crop(self, image: Float[Tensor, "3 h w"], box: Sequence[float], side: int) -> Float[Tensor, "3 s s"]:
        height, width = image.shape[1:]
        x, y, length = self.square(box, height, width)
        part = image[:, max(0, y) : y + length, max(0, x) : x + length]
        beyond = (max(0, -x), max(0, x + length - width), max(0, -y), max(0, y + length - height))
        return resized(F.pad(part, beyond)[None], side)[0]


def _inside(start: int, side: int, length: int) -> int:
    """Where a side begins, moved into the picture; a side longer than the picture is centred on it."""
    return min(max(start, 0), length - side) if side <= length else (length - side) // 2
