"""The finger joints' degrees of freedom: axes, anatomical limits, what couples them, and their rotations.

A pose is (15, 3): for each finger joint in MANO's order the angles flex, spread, twist, in radians, zero at the flat
rest hand. Flex curls a finger into the palm; spread turns it towards the thumb (the thumb itself: away from the palm);
twist is about the bone, right-handed. The joint's rotation is flex, then spread about the carried axis, then twist,
which has its gimbal lock at 90 degrees of spread, where no finger goes.

Limits are degrees from OpenHand's rest, where the thumb's last two joints are already bent back by 10 and 7 degrees.
They are the active ranges of the American Academy of Orthopaedic Surgeons (Joint Motion, 1965) and of Lin, Wu and Huang
(Modeling the Constraints of Human Hand Motion, 2000), moved where the recorded hands go further or never go.
"""

import math
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.hands.rotations import quaternion_to_matrix
from zoo.shapes import FingerRotations

Angles = Float[Tensor, "*b 15 3"]  # radians: flex, spread, twist of each finger joint in MANO order
JointAxes = Float[Tensor, "15 3 3"]  # unit vectors at rest: flex, spread, twist

INDEX, MIDDLE, PINKY, RING, THUMB = (slice(i, i + 3) for i in (0, 3, 6, 9, 12))  # joints of a finger, MANO order
FINGER_SLICES: Final = {"thumb": THUMB, "index": INDEX, "middle": MIDDLE, "ring": RING, "pinky": PINKY}
KNUCKLES = (0, 3, 9, 6)  # index to pinky, side by side

_HINGES = (((-3, 110), (0, 0), (0, 0)), ((-8, 80), (0, 0), (0, 0)))  # PIP (0..110), DIP (0..90; actively 80)
LIMITS = torch.deg2rad(
    torch.tensor(
        [
            *(((-20, 90), (-16, 26), (-12, 12)), *_HINGES),  # index
            *(((-20, 90), (-14, 18), (-12, 12)), *_HINGES),  # middle
            *(((-28, 100), (-32, 14), (-12, 12)), *_HINGES),  # pinky: the loosest knuckle
            *(((-20, 95), (-14, 14), (-12, 12)), *_HINGES),  # ring
            ((-28, 30), (-30, 32), (-20, 20)),  # thumb saddle joint, from a thumb beside the palm
            ((0, 78), (-5, 5), (0, 0)),  # thumb MCP: -10..68 from straight
            ((-18, 80), (0, 0), (0, 0)),  # thumb IP: -25..73 from straight
        ],
        dtype=torch.float32,
    )
)
FREE = LIMITS[..., 1] > LIMITS[..., 0]  # (15, 3) the 31 angles that move

# The deep flexor bends both last joints: DIP is about two thirds of PIP (Rijpkema and Girard 1991). Of 220 recorded
# fingers 214 stay within 25 degrees of that; the limit pulls in the other six, the worst of them 41 degrees off.
DIP_SHARE, DIP_BAND = 2 / 3, math.radians(25)
# Tendons shared by neighbours hold their knuckles together: index-middle, middle-ring, ring-pinky. The largest
# difference between recorded neighbours is 69, 58 and 65 degrees.
KNUCKLE_GAPS = tuple(math.radians(gap) for gap in (72, 60, 66))
# Collateral ligaments tighten with flexion: at 80 degrees a finger keeps a quarter of its spread.
SPREAD_LOSS, SPREAD_FLEX = 0.75, math.radians(80)


def limit(angles: Angles) -> Angles:
    """Moves each angle to the nearest one a hand can make: coupled joints first, then the range of each joint."""
    flex, spread, twist = angles.unbind(-1)
    low, high = LIMITS.to(angles).unbind(-1)
    flex = flex.clamp(low[:, 0], high[:, 0])
    knuckles = [flex[..., joint] for joint in KNUCKLES]
    for _ in range(4):  # each pull may stretch the next gap; four passes leave less than a degree
        for i, gap in enumerate(KNUCKLE_GAPS):
            excess = knuckles[i + 1] - knuckles[i]
            pull = (excess - excess.clamp(-gap, gap)) / 2
            knuckles[i], knuckles[i + 1] = knuckles[i] + pull, knuckles[i + 1] - pull
    joints = list(flex.unbind(-1))
    for joint, value in zip(KNUCKLES, knuckles, strict=True):
        expected = DIP_SHARE * joints[joint + 1]
        joints[joint] = value
        joints[joint + 2] = joints[joint + 2].clamp(expected - DIP_BAND, expected + DIP_BAND)
    flex = torch.stack(joints, -1)
    keep = 1 - SPREAD_LOSS * (flex / SPREAD_FLEX).clamp(0, 1)
    keep = torch.cat([keep[..., :12], torch.ones_like(keep[..., 12:])], -1)  # the thumb's saddle joint has no such loss
    spread = torch.maximum(torch.minimum(spread, high[:, 1] * keep), low[:, 1] * keep)
    return torch.stack([flex, spread, twist], -1).clamp(low, high)


def joint_rotations(angles: Angles, axes: JointAxes) -> FingerRotations:
    """Rotation matrices of the finger joints, relative to their parents and to the rest hand.

    Args:
        angles: Radians.
        axes: Of the right hand at rest, in the hand's frame.
    """
    return quaternion_to_matrix(_quaternions(angles, axes))


def joint_axis_angle(angles: Angles, axes: JointAxes) -> Float[Tensor, "*b 45"]:
    """The same rotations as axis times angle, radians, flattened as MANO's pose."""
    w, *xyz = _quaternions(angles, axes).unbind(-1)
    sine = torch.stack(xyz, -1)
    norm = sine.norm(dim=-1)
    scale = torch.where(norm > 1e-6, 2 * torch.atan2(norm, w) / norm.clamp_min(1e-6), 2.0)
    return (sine * scale[..., None]).flatten(-2)


def _quaternions(angles: Angles, axes: JointAxes) -> Float[Tensor, "*b 15 4"]:
    """Unit quaternions (w, x, y, z) of flex, spread and twist composed; w > 0 as no joint turns half a circle."""
    half = angles / 2
    cosines, sines = half.cos(), half.sin()[..., None] * axes.to(angles)
    w, v = cosines[..., 0], sines[..., 0, :]
    for k in (1, 2):
        a, b = cosines[..., k], sines[..., k, :]
        w, v = (
            w * a - (v * b).sum(-1),
            w[..., None] * b + a[..., None] * v + torch.linalg.cross(v, b),
        )
    return torch.cat([w[..., None], v], -1)
