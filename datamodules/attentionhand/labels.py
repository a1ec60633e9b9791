"""What a row may say of its hands beside the authors' keys: `labels`, an object that their code passes over.

    {"camera": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], "hands": {"left": {...}, "right": {...}}}

A hand has any of: `joints` (21 x 3, metres), `joints_valid` (21 booleans), `joints2d` (21 x 2, pixels),
`joints2d_valid`, `box` (left, top, right, bottom, pixels) and `pose` (`rotations` 16 x 3 axis-angle in radians,
absolute, `betas` 10, `transl` 3 in metres). All in the OpenCV frame of the camera, joints in SNAP-21 order. What is not
known is left out. `camera` may be missing when no hand has anything in 3D.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from datamodules.scene import BoolArray, FloatArray, ManoPose, Scene, SceneHand

SIDES = ("left", "right")
_SHAPES: dict[str, tuple[int, ...]] = {"joints": (21, 3), "joints2d": (21, 2), "box": (4,)}
_MASKS = ("joints_valid", "joints2d_valid")
_POSE: dict[str, tuple[int, ...]] = {"rotations": (16, 3), "betas": (10,), "transl": (3,)}


def labels_of(scene: Scene) -> dict[str, Any] | None:
    """The `labels` of a scene, ready for JSON; None when it has no labelled hand. Meshes are left out.

    Args:
        scene: In the project's conventions.
    """
    hands: dict[str, Any] = {}
    for side, hand in scene.hands.items():
        row = {key: getattr(hand, key).tolist() for key in (*_SHAPES, *_MASKS) if getattr(hand, key) is not None}
        if hand.pose is not None:
            row["pose"] = {key: getattr(hand.pose, key).tolist() for key in _POSE}
        hands[SIDES[side]] = row
    return {"camera": scene.intrinsics.tolist(), "hands": hands} if hands else None


def labelled_sides(labels: Any, where: str) -> tuple[BoolArray, bool]:
    """Which hands a row's labels have, (2,), and whether one has parameters; numbers are not looked at.

    Args:
        labels: As they stand in the row, or None.
        where: The row, for messages.
    """
    if labels is None:
        return np.zeros(2, bool), False
    hands = labels.get("hands") if isinstance(labels, dict) else None
    if not isinstance(hands, dict) or not all(isinstance(hand, dict) for hand in hands.values()):
        raise _wrong(where, "labels", "are no object with `hands`")
    if unknown := [side for side in hands if side not in SIDES]:
        raise _wrong(where, "labels", f"have a hand {unknown[0]!r}; it is left or right")
    return np.array([side in hands for side in SIDES]), any("pose" in hand for hand in hands.values())


def read_labels(labels: Any, where: str) -> tuple[FloatArray | None, dict[int, SceneHand]]:
    """The camera, if there is one, and the hands of a row's labels.

    Args:
        labels: As they stand in the row, or None.
        where: The row, for messages.

    Returns:
        (3, 3) intrinsics or None; hands by side.

    Raises:
        ValueError: Something has another shape, is not finite, or is not known.
    """
    present, _ = labelled_sides(labels, where)
    if not present.any():
        return None, {}
    camera = labels.get("camera")
    intrinsics = None if camera is None else _numbers(camera, (3, 3), where, "camera")
    hands = {side: _hand(side, labels["hands"][SIDES[side]], where) for side in np.flatnonzero(present).tolist()}
    if intrinsics is None and any(hand.joints is not None or hand.pose is not None for hand in hands.values()):
        raise _wrong(where, "labels", "are in 3D but have no `camera`")
    return intrinsics, hands


def _hand(side: int, given: Mapping[str, Any], where: str) -> SceneHand:
    if unknown := [key for key in given if key not in (*_SHAPES, *_MASKS, "pose")]:
        raise _wrong(where, f"the {SIDES[side]} hand", f"has a label {unknown[0]!r}, which is not known")
    labels: dict[str, Any] = {key: _numbers(given[key], _SHAPES[key], where, key) for key in _SHAPES if key in given}
    labels |= {key: _mask(given[key], where, key) for key in _MASKS if key in given}
    pose = None
    if "pose" in given:
        if not isinstance(given["pose"], dict) or set(given["pose"]) != set(_POSE):
            raise _wrong(where, "pose", f"must have {', '.join(_POSE)} and nothing else")
        pose = ManoPose(**{key: _numbers(given["pose"][key], shape, where, key) for key, shape in _POSE.items()})
    return SceneHand(side, pose=pose, **labels)


def _numbers(value: Any, shape: tuple[int, ...], where: str, key: str) -> FloatArray:
    try:
        array = np.array(value, np.float32)
    except (TypeError, ValueError):
        raise _wrong(where, key, "holds what is not a number") from None
    if array.shape != shape or not np.isfinite(array).all():
        raise _wrong(where, key, f"has shape {array.shape}; it must be {shape}, and every number finite")
    return array


def _mask(value: Any, where: str, key: str) -> BoolArray:
    if not isinstance(value, list) or len(value) != 21 or not all(isinstance(x, bool) for x in value):
        raise _wrong(where, key, "must be 21 times true or false")
    return np.array(value)


def _wrong(where: str, key: str, what: str) -> ValueError:
    return ValueError(f"{where}: {key} {what}. Write the folder again, or leave `labels` out.")
