"""MediaPipe's hand landmarks, saved as JSON in any of the spellings of its libraries."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from zoo.commands.tasks.case import Floats, side_of
from zoo.hands.skeleton import LEFT, RIGHT

# Tasks (Python, JavaScript), then the older Solutions (Python, JavaScript), then a hand on its own.
HANDS = ("hand_landmarks", "handLandmarks", "landmarks", "multi_hand_landmarks", "multiHandLandmarks", "landmark")
SIDES = ("handedness", "handednesses", "multi_handedness", "multiHandedness", "handedness_list")
LEGACY = ("multi_hand_landmarks", "multiHandLandmarks")
LABELS = ("category_name", "categoryName", "label", "display_name", "displayName")


class Landmarks(NamedTuple):
    """One hand; MediaPipe's order is SNAP-21."""

    points: Floats  # (21, 2) shares of the image's width and height
    confidence: Floats  # (21,)
    side: int | None


def is_landmarks(content: Any) -> bool:
    """Whether parsed JSON looks like MediaPipe's."""
    if isinstance(content, dict):
        return any(key in content for key in HANDS)
    point = content
    while isinstance(point, list) and point:
        point = point[0]
    return isinstance(point, dict) and "x" in point


def read_landmarks(content: Any) -> Iterator[Landmarks]:
    """All hands of a result.

    The Tasks API names the person's own side. The older Solutions, told by `multi_hand_landmarks`, name the side as if
    the picture were a selfie's mirror image, so theirs is swapped.

    Raises:
        ValueError: when a hand has not 21 landmarks, or these are no shares of the image.
    """
    key = next((name for name in HANDS if name in content), None) if isinstance(content, dict) else None
    hands = content if key is None else content[key]
    if isinstance(hands, list) and hands and isinstance(hands[0], dict) and "x" in hands[0]:
        hands = [hands]
    if not isinstance(hands, list):
        raise ValueError(f"{key} is not a list of hands")
    sides = next((content[name] for name in SIDES if name in content), None) if isinstance(content, dict) else None
    for number, hand in enumerate(hands):
        side = _side(sides, number, len(hands))
        if side is not None and key in LEGACY:
            side = LEFT if side == RIGHT else RIGHT
        yield Landmarks(*_points(hand), side)


def _points(hand: Any) -> tuple[Floats, Floats]:
    if isinstance(hand, dict):
        hand = next((hand[name] for name in HANDS if name in hand), hand)
    if not isinstance(hand, list) or len(hand) != 21:
        count = len(hand) if isinstance(hand, list) else 0
        raise ValueError(f"a hand has {count} landmarks; MediaPipe's hands have 21")
    if not all(isinstance(point, dict) and "x" in point and "y" in point for point in hand):
        raise ValueError("a landmark has no x and y")
    points = np.array([[_number(point["x"]), _number(point["y"])] for point in hand], np.float32)
    known = np.asarray(np.isfinite(points).all(1))
    if known.any() and np.abs(points[known]).max() > 4:
        raise ValueError(
            f"landmarks reach {np.abs(points[known]).max():.0f}, but they are shares of the image, 0 to 1. "
            "For pixels, save x, y, confidence as a 21x3 array"
        )
    visible = np.array([_number(point.get("visibility") or 0) for point in hand], np.float32)
    confidence = visible if (visible > 0).any() else np.ones(21, np.float32)  # hands come without, that is all zeros
    confidence = np.where(known, np.nan_to_num(confidence).clip(0, 1), 0).astype(np.float32)
    return np.where(known[:, None], points, 0).astype(np.float32), confidence


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _side(sides: Any, number: int, hands: int) -> int | None:
    """The side of one hand, from a word, a category, or lists of them."""
    if isinstance(sides, str):
        return side_of(sides)
    if isinstance(sides, list):
        if not sides or (hands > 1 and number >= len(sides)):
            return None
        return _side(sides[number] if number < len(sides) else sides[0], 0, 1)
    if isinstance(sides, dict):
        if "classification" in sides:
            return _side(sides["classification"], 0, 1)
        return next((side_of(sides[name]) for name in LABELS if name in sides), None)
    return None
