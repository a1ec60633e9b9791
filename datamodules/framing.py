"""How a whole picture becomes a square, and which part of it is around the hands. Exact in pixels and in labels."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.scene import ByteArray

Fit = Literal["crop", "pad", "stretch"]
Crop = Literal["robust", "official"]
Edge = float | int
Box = tuple[Edge, Edge, Edge, Edge]  # left, top, right, bottom, in pixels from the picture's top left corner
Affine = NDArray[np.float64]  # (2, 3), pixel centres to pixel centres

SMALLEST = 32  # pixels, side of a local part


@dataclass(frozen=True)
class Frame:
    """A picture, resized to whole pixels and put into a square that may cut it or leave black beside it.

    Args:
        out: Side of the square, pixels.
        size: Height and width of the resized picture.
        place: Left and top edge of the resized picture in the square.
    """

    out: int
    size: tuple[int, int]
    place: tuple[int, int]

    def affine(self, size: tuple[int, int]) -> Affine:
        """From pixels of a picture of that height and width to pixels of the square."""
        y, x = (new / old for new, old in zip(self.size, size, strict=True))
        left, top = self.place
        return np.array([[x, 0, (x - 1) / 2 + left], [0, y, (y - 1) / 2 + top]])

    def box(self, box: Box, size: tuple[int, int]) -> Box:
        """A box of a picture of that height and width, in the square."""
        y, x = (new / old for new, old in zip(self.size, size, strict=True))
        left, top = self.place
        return box[0] * x + left, box[1] * y + top, box[2] * x + left, box[3] * y + top

    @property
    def edges(self) -> Box:
        """Where the picture lies in the square; it may be larger."""
        (tall, wide), (left, top) = self.size, self.place
        return left, top, left + wide, top + tall

    def image(self, picture: ByteArray) -> ByteArray:
        """The square (out, out, 3) of a picture (h, w, 3)."""
        tall, wide = self.size
        resized = _resize(picture, tall, wide)
        left, top = self.place
        if (tall, wide, left, top) == (self.out, self.out, 0, 0):
            return resized
        square = np.zeros((self.out, self.out, 3), np.uint8)
        part = resized[max(0, -top) : self.out - top, max(0, -left) : self.out - left]
        square[max(0, top) : max(0, top) + part.shape[0], max(0, left) : max(0, left) + part.shape[1]] = part
        return square


def framed(size: tuple[int, int], out: int, fit: Fit, hands: Box | None = None) -> Frame:
    """The square of a picture.

    Args:
        size: Height and width of the picture.
        out: Side of the square, pixels.
        fit: "stretch" gives both sides the same length, "pad" shows everything between black bars, "crop" fills
            the square with the part whose middle is nearest to the picture's and that the hands do not leave.
        hands: What a crop keeps in view, where it can.
    """
    if fit == "stretch":
        return Frame(out, (out, out), (0, 0))
    height, width = size
    scale = out / (max(size) if fit == "pad" else min(size))
    tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
    left, top, right, bottom = (0, 0, width, height) if hands is None or fit == "pad" else hands
    return Frame(
        out,
        (tall, wide),
        (
            _shift(wide, out, left * wide / width, right * wide / width),
            _shift(tall, out, top * tall / height, bottom * tall / height),
        ),
    )


def local_square(hands: Box | None, out: int, margin: float) -> Box:
    """The square around hands, moved into the picture where it would leave it; the whole picture without hands.

    Args:
        hands: The tight box of what is seen of them.
        out: Side of the picture, pixels.
        margin: Side of the square over the longer side of the box.
    """
    if hands is None:
        return 0.0, 0.0, float(out), float(out)
    left, top, right, bottom = (min(max(edge, 0.0), float(out)) for edge in hands)
    side = min(max(margin * max(right - left, bottom - top), SMALLEST), float(out))
    x, y = ((low + high - side) / 2 for low, high in ((left, right), (top, bottom)))
    x, y = (min(max(edge, 0.0), out - side) for edge in (x, y))
    return x, y, x + side, y + side


def local_affine(box: Box, out: int) -> Affine:
    """From pixels of a picture to pixels of its local part, a square of `out` pixels whatever the box."""
    left, top, right, bottom = box
    x, y = out / max(right - left, 1e-3), out / max(bottom - top, 1e-3)
    return np.array([[x, 0, (0.5 - left) * x - 0.5], [0, y, (0.5 - top) * y - 0.5]])


def local_edges(edges: Box, box: Box, out: int) -> Box:
    """Edges in a picture, in the local part of it that a box cuts out."""
    left, top, right, bottom = box
    x, y = out / max(right - left, 1e-3), out / max(bottom - top, 1e-3)
    return (edges[0] - left) * x, (edges[1] - top) * y, (edges[2] - left) * x, (edges[3] - top) * y


def chain(second: Affine, first: Affine) -> Affine:
    """One map that does the first and then the second."""
    return np.concatenate([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2:] + second[:, 2:]], axis=1)


def _resize(picture: ByteArray, tall: int, wide: int) -> ByteArray:
    """Averages over areas along sides that shrink; OpenCV does so only where both do, and else moves the picture."""
    height, width = picture.shape[:2]
    if tall < height or wide < width:
        small = (min(wide, width), min(tall, height))
        picture = np.asarray(cv2.resize(picture, small, interpolation=cv2.INTER_AREA), np.uint8)
    if tall > height or wide > width:
        picture = np.asarray(cv2.resize(picture, (wide, tall), interpolation=cv2.INTER_LINEAR), np.uint8)
    return picture


def _shift(length: int, out: int, low: Edge, high: Edge) -> int:
    """Where `length` pixels begin in `out`: centred, but no further than what lies between `low` and `high` allows."""
    middle = round((out - length) / 2)
    if length <= out:
        return middle
    low, high = max(low, 0.0), min(high, float(length))
    wanted = (out - low - high) / 2 if high - low > out else min(max(middle, -low), out - high)
    return int(min(max(round(wanted), out - length), 0))
