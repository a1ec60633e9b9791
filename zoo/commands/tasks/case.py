"""One hand to be made: all that a file says about it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.hands.skeleton import FINGERS, LEFT, RIGHT

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Box = tuple[float, float, float, float]  # left, top, width, height, pixels

SIDES = {"left": LEFT, "right": RIGHT}


def _no_pixels() -> Floats:
    return np.zeros((21, 2), np.float32)


def _nothing() -> Bools:
    return np.zeros(21, np.bool_)


@dataclass(frozen=True)
class Case:
    """A hand to generate, complete, reconstruct or fit. What is not known is None or has confidence 0.

    Args:
        name: Unique; names the output files.
        side: 0 = left, 1 = right.
        pixels: (21, 2) of the image; anything where the confidence is 0.
        confidence: (21,) from 0, not seen, to 1.
        joints: (21, 3) metres, camera frame, or None.
        labelled: (21,) labelled in 3D.
        size: Height and width of the image, pixels; None when only the image itself would tell.
        intrinsics: (3, 3) pixels, or None when the camera is not known.
        image: Where its picture should be, or None.
        box: Around the hand's joints, or None.
        whole: The image is a crop as in training, and stands in for the box.
        vertices: (778, 3) metres; anything where `known` is False.
        known: (778,) vertices that are there and stay.
        source: The file it comes from.
        draw: Seed of the run and number of the hand in it; its noise follows from them alone.
    """

    name: str
    side: int = RIGHT
    pixels: Floats = field(default_factory=_no_pixels)
    confidence: Floats = field(default_factory=lambda: np.zeros(21, np.float32))
    joints: Floats | None = None
    labelled: Bools = field(default_factory=_nothing)
    size: tuple[int, int] | None = None
    intrinsics: Floats | None = None
    image: Path | None = None
    box: Box | None = None
    whole: bool = False
    vertices: Floats | None = None
    known: Bools | None = None
    source: Path | None = None
    draw: tuple[int, int] = (0, 0)

    @property
    def seen(self) -> Bools:
        """(21,) keypoints that count."""
        return np.asarray(self.confidence > 0)


@dataclass(frozen=True)
class Unreadable:
    """Something that should have been a hand, and why it is not."""

    name: str
    reason: str


def side_of(word: Any) -> int | None:
    """0 or 1 from left, right, l, r, 0 or 1 in any spelling; None from anything else."""
    text = str(word).strip().lower()
    known = {"left": LEFT, "l": LEFT, "0": LEFT, "right": RIGHT, "r": RIGHT, "1": RIGHT, "0.0": LEFT, "1.0": RIGHT}
    return known.get(text)


def finger_joints(fingers: list[str]) -> Bools:
    """(21,) the four joints of each finger."""
    drop = _nothing()
    for finger in fingers:
        start = 1 + 4 * FINGERS.index(finger)
        drop[start : start + 4] = True
    return drop
