"""Ten named shape directions.

Every direction moves joints and surface together: bones stretch along themselves, flesh scales around them, and skin
between two bones follows both by its skinning weights. One unit is about one standard deviation between adults.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from zoo.hands.build.mesh import LIMBS, Skinned
from zoo.hands.build.source import Array
from zoo.hands.build.surface import vertex_normals
from zoo.hands.skeleton import MANO_PARENTS

SHAPE_NAMES = (
    "size",
    "palm_length",
    "palm_width",
    "palm_thickness",
    "finger_length",
    "thumb_length",
    "outer_finger_length",
    "finger_thickness",
    "fingertip_thickness",
    "joint_prominence",
)
PALM_MIDDLE = np.array([0.0, -0.008, -0.005])  # the palm widens and thickens around this line, metres
INDEX, MIDDLE, PINKY, RING, THUMB = range(5)


class Shapes(NamedTuple):
    """How one unit of each direction moves things, metres."""

    vertices: Array  # (778, 3, 10)
    joints: Array  # (16, 3, 10)


def build_shapes(hand: Skinned) -> Shapes:
    """The ten directions, in the order of SHAPE_NAMES."""
    flat = _smooth(0.01, -0.05)

    def palm_length(points: Array) -> Array:
        return 0.035 * points * [1, 0, 0]

    def palm_width(points: Array) -> Array:
        ramp = 0.5 + 0.5 * flat(points[:, :1])
        return 0.04 * ramp * (points - PALM_MIDDLE) * [0, 0, 1]

    def palm_thickness(points: Array) -> Array:
        return 0.06 * (points - PALM_MIDDLE) * [0, 1, 0]

    everyone = dict.fromkeys((INDEX, MIDDLE, PINKY, RING), 0.035)
    outer = {INDEX: 0.02, MIDDLE: -0.015, PINKY: 0.03, RING: -0.015}
    ways = (
        (0.05 * hand.vertices, 0.05 * hand.joints),
        _stretch(hand, palm=palm_length),
        _stretch(hand, palm=palm_width),
        _stretch(hand, palm=palm_thickness),
        _stretch(hand, longer=everyone),
        _stretch(hand, longer={THUMB: 0.045}),
        _stretch(hand, longer=outer),
        (0.05 * _flesh(hand, lambda along: np.ones_like(along)), np.zeros_like(hand.joints)),
        (0.06 * _flesh(hand, _smooth(0.35, 1.0)), np.zeros_like(hand.joints)),
        (_prominence(hand), np.zeros_like(hand.joints)),
    )
    return Shapes(np.stack([way[0] for way in ways], -1), np.stack([way[1] for way in ways], -1))


def _smooth(start: float, end: float) -> Callable[[Array], Array]:
    """A ramp from 0 at `start` to 1 at `end` without kinks."""

    def ramp(value: Array) -> Array:
        part = ((value - start) / (end - start)).clip(0, 1)
        return part * part * (3 - 2 * part)

    return ramp


def bone_axes(hand: Skinned) -> Array:
    """Unit vectors (16, 3) along the bones."""
    bones = hand.ends - hand.joints
    return bones / np.linalg.norm(bones, axis=1, keepdims=True)


def _stretch(
    hand: Skinned, longer: dict[int, float] | None = None, palm: Callable[[Array], Array] = np.zeros_like
) -> tuple[Array, Array]:
    """The palm moves as the field `palm` says and carries the fingers, which lengthen by the factors in `longer`."""
    factors = np.zeros(16)
    for limb, factor in (longer or {}).items():
        factors[list(LIMBS[limb])] = factor
    bones, axes = hand.ends - hand.joints, bone_axes(hand)
    joints = palm(hand.joints)
    for joint in range(1, 16):
        parent = MANO_PARENTS[joint]
        if parent > 0:
            joints[joint] = joints[parent] + factors[parent] * bones[parent]
    vertices = hand.weights[:, :1] * palm(hand.vertices)
    for joint in range(1, 16):
        along = (hand.vertices - hand.joints[joint]) @ axes[joint]
        moved = joints[joint] + factors[joint] * along[:, None] * axes[joint]
        vertices += hand.weights[:, joint : joint + 1] * moved
    return vertices - joints[0], joints - joints[0]


def _flesh(hand: Skinned, profile: Callable[[Array], Array]) -> Array:
    """Offsets (778, 3) from the finger bones, times a profile of the place along the finger (base 0, tip 1)."""
    axes, offsets = bone_axes(hand), np.zeros_like(hand.vertices)
    for limb in LIMBS:
        lengths = np.linalg.norm((hand.ends - hand.joints)[list(limb)], axis=1)
        for joint, before in zip(limb, np.cumsum(lengths) - lengths, strict=True):
            away = hand.vertices - hand.joints[joint]
            along = (away @ axes[joint])[:, None]
            place = ((before + along) / lengths.sum()).clip(0, 1)
            offsets += hand.weights[:, joint : joint + 1] * profile(place) * (away - along * axes[joint])
    return offsets


def _prominence(hand: Skinned) -> Array:
    """Thicker joints, mostly on the back and sides, and thinner bones between them."""
    normals = vertex_normals(hand.vertices, hand.faces)
    amount = np.zeros(len(hand.vertices))
    for limb in LIMBS:
        own = hand.weights[:, list(limb)].sum(1)
        for number, joint in enumerate(limb):
            away = np.linalg.norm(hand.vertices - hand.joints[joint], axis=1)
            back = 0.5 + 0.5 * normals[:, 1]
            if number == 0:
                amount += 0.0006 * np.exp(-((away / 0.014) ** 2)) * back**2 * (limb != LIMBS[THUMB])
            else:
                amount += 0.0006 * own * np.exp(-((away / 0.0095) ** 2)) * (0.4 + 0.6 * back)
                middle = (hand.joints[joint] + hand.joints[joint - 1]) / 2
                away = np.linalg.norm(hand.vertices - middle, axis=1)
                amount -= 0.0003 * own * np.exp(-((away / 0.009) ** 2))
    return amount[:, None] * normals
