"""What one annotation of COCO-WholeBody says of a person's hands."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.hands.skeleton import LEFT, RIGHT

PREFIXES = {LEFT: "lefthand", RIGHT: "righthand"}  # the person's own left and right
NUMBERS = 63  # x, y, visibility of 21 joints in SNAP-21 order


def keypoints(annotation: Mapping[str, Any], side: int, path: Path) -> list[int | float]:
    """The 63 numbers of a hand: x, y in pixels and visibility, which is a label wherever it is above 0.

    It is 1 or 2 as in COCO, or a fraction where a detector made the label; all numbers of an invalid hand are 0.

    Args:
        annotation: Of a person.
        side: 0 = left, 1 = right.
        path: Of the file, for the message.

    Raises:
        ValueError: They are not there, or not 63.
    """
    name = f"{PREFIXES[side]}_kpts"
    numbers = annotation.get(name)
    if numbers is None:
        raise ValueError(
            f"{path}: annotation {annotation.get('id')} has no {name}. COCO's own person_keypoints files have no "
            "hands; get COCO-WholeBody's annotations, or name their file with --data.annotations."
        )
    if not isinstance(numbers, list) or len(numbers) != NUMBERS:
        size = len(numbers) if isinstance(numbers, list) else "no list of"
        raise ValueError(
            f"{path}: {name} of annotation {annotation.get('id')} has {size} numbers; 21 triples x, y, v make 63. "
            "Get the file again."
        )
    return numbers


def has_hand(annotation: Mapping[str, Any], side: int, path: Path) -> bool:
    """Whether a hand is marked valid and at least one of its joints is labelled."""
    if not annotation.get(f"{PREFIXES[side]}_valid"):
        return False
    return any(visibility > 0 for visibility in keypoints(annotation, side, path)[2::3])


def is_counted(annotation: Mapping[str, Any]) -> bool:
    """InterWild's first rule: one person, with at least one labelled body joint."""
    return not annotation.get("iscrowd") and bool(annotation.get("num_keypoints"))


def sane(boxes: NDArray[np.float32], sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """InterWild's last rule: a box that still covers something once it is cut to its image.

    Args:
        boxes: (n, 4) left, top, width, height, pixels.
        sizes: (n, 2) height and width of the images.
    """
    width, height = boxes[:, 2], boxes[:, 3]
    left, top = np.maximum(boxes[:, 0], 0), np.maximum(boxes[:, 1], 0)
    right = np.minimum(sizes[:, 1] - 1, left + np.maximum(width - 1, 0))
    bottom = np.minimum(sizes[:, 0] - 1, top + np.maximum(height - 1, 0))
    return (width > 0) & (height > 0) & (right > left) & (bottom > top)
