"""Pose correctives: what linear blend skinning gets wrong at bent joints, put right in the rest shape.

The target is dual quaternion skinning (Kavan et al. 2008), which keeps volume, with two things of flesh and bone added:
the two sides of a crease meet at the plane that halves the bend and bulge along it instead of passing through each
other, and the back of a bent joint shows its bone. Offsets linear in R - I are fitted to it over sampled rotations.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from zoo.hands.build.mesh import Skinned
from zoo.hands.build.source import Array
from zoo.hands.build.surface import adjacency, vertex_normals
from zoo.hands.skeleton import MANO_PARENTS


class Bend(NamedTuple):
    """Joints whose skin overlaps and is fitted together, and the rotations to fit over, in degrees."""

    joints: tuple[int, ...]
    flexion: tuple[int, int]
    abduction: int  # either way
    twist: int  # either way
    kept: float  # part of the volume lost in the bend that comes back as a bulge


BENDS = (
    Bend((1, 4, 7, 10), (-35, 95), 22, 8, 0.2),
    *(Bend((joint,), (-15, 115), 4, 4, 0.25) for joint in (2, 5, 8, 11)),
    *(Bend((joint,), (-25, 85), 3, 4, 0.5) for joint in (3, 6, 9, 12)),
    Bend((13,), (-30, 45), 35, 20, 0.75),
    Bend((14,), (-20, 70), 10, 10, 0.5),
    Bend((15,), (-30, 85), 4, 4, 0.5),
)
SAMPLES = 60
# How far the head of a bone comes out at the back of a right-angled bend, its length and width, metres: knuckles,
# middle joints, end joints.
BONES = ((0.0028, 0.011, 0.009), (0.0008, 0.007, 0.009), (0.0006, 0.006, 0.008))
THUMB_BASE = 13
CREASED = (2, 3, 5, 6, 8, 9, 11, 12, 14, 15)


def build_correctives(hand: Skinned) -> Array:
    """Offsets (778, 3, 135) per entry of R - I, in MANO's order of joints, rows and columns."""
    generator = np.random.default_rng(0)
    correctives = np.zeros((len(hand.vertices), 3, 15, 9))
    for bend in BENDS:
        joints = bend.joints
        frames = [bone_frame(hand, joint) for joint in joints]
        turns = _sample(generator, bend)
        features, offsets = [], []
        for turn in turns:
            local = [Rotation.from_rotvec(frame @ angles) for frame, angles in zip(frames, turn, strict=True)]
            rotations = np.tile(np.eye(3), (16, 1, 1))
            rotations[list(joints)] = [rotation.as_matrix() for rotation in local]
            features.append((rotations[list(joints)] - np.eye(3)).ravel())
            offsets.append(_offsets(hand, rotations, bend, frames, turn))
        system, wished = np.array(features), np.array(offsets).reshape(len(turns), -1)
        ridge = 1e-3 * len(turns) * np.eye(system.shape[1])
        fitted = np.linalg.solve(system.T @ system + ridge, system.T @ wished)
        fitted = fitted.reshape(len(joints), 9, -1, 3)
        correctives[:, :, [joint - 1 for joint in joints]] += fitted.transpose(2, 3, 0, 1)
    flat = correctives.reshape(len(hand.vertices), 3, 135)
    average = adjacency(hand.faces, len(flat))
    flat = 0.7 * flat + 0.3 * np.einsum("vw,wik->vik", average, flat)
    return np.where(np.abs(flat) > 2e-5, np.round(flat, 6), 0.0)


def bone_frame(hand: Skinned, joint: int) -> Array:
    """Columns (3, 3): axis of flexion, axis of abduction (towards the back), axis of twist (along the bone)."""
    bone = hand.ends[joint] - hand.joints[joint]
    bone /= np.linalg.norm(bone)
    back = hand.dorsal[joint] - hand.dorsal[joint] @ bone * bone
    back /= np.linalg.norm(back)
    return np.stack([np.cross(bone, -back), back, bone], axis=1)


def _sample(generator: np.random.Generator, bend: Bend) -> Array:
    """Angles (n, joints, 3) in radians: the range evenly, half of the time the same flexion for every joint."""
    joints = len(bend.joints)
    low = np.array([bend.flexion[0], -bend.abduction, -bend.twist])
    high = np.array([bend.flexion[1], bend.abduction, bend.twist])
    angles = low + (high - low) * generator.random((SAMPLES * (1 if joints == 1 else 5), joints, 3))
    angles[::2, :, 0] = angles[::2, :1, 0] + 8 * generator.standard_normal((len(angles[::2]), joints))
    angles[::3, :, 1:] = 0
    return np.radians(angles)


def _offsets(hand: Skinned, rotations: Array, bend: Bend, frames: list[Array], turn: Array) -> Array:
    """What must be added at rest (778, 3) so that linear skinning lands on the target."""
    rotation, shift = _world(hand, rotations)
    linear = np.einsum("vj,jab->vab", hand.weights, rotation)
    offset = hand.weights @ shift
    target = _dual_quaternion_skinning(hand, rotation, shift)
    target = _keep_volume(hand, target, bend)
    for joint, frame, angles in zip(bend.joints, frames, turn, strict=True):
        if joint in CREASED:
            target = _crease(hand, target, joint, frame, rotations[joint], angles[0])
    rest = np.linalg.solve(linear, (target - offset)[..., None])[..., 0] - hand.vertices
    for joint, frame, angles in zip(bend.joints, frames, turn, strict=True):
        rest += (1 - np.cos(angles[0])) * (angles[0] > 0) * _bone(hand, joint, frame)
    return rest


def _world(hand: Skinned, rotations: Array) -> tuple[Array, Array]:
    """Rotations (16, 3, 3) and shifts (16, 3) that carry rest points with each joint."""
    world, places = rotations.copy(), hand.joints.copy()
    for joint in range(1, 16):
        parent = MANO_PARENTS[joint]
        world[joint] = world[parent] @ rotations[joint]
        places[joint] = places[parent] + world[parent] @ (hand.joints[joint] - hand.joints[parent])
    return world, places - np.einsum("jab,jb->ja", world, hand.joints)


def _dual_quaternion_skinning(hand: Skinned, rotation: Array, shift: Array) -> Array:
    """Vertices (778, 3), each carried by its blended rigid motion."""
    real = Rotation.from_matrix(rotation).as_quat(canonical=True, scalar_first=True)
    real *= np.where(real @ real[0] < 0, -1.0, 1.0)[:, None]
    scalar, vector = real[:, :1], real[:, 1:]
    dual = np.concatenate([-(shift * vector).sum(1, keepdims=True), scalar * shift + np.cross(shift, vector)], axis=1)
    real, dual = hand.weights @ real, hand.weights @ dual / 2
    length = np.linalg.norm(real, axis=1, keepdims=True)
    real, dual = real / length, dual / length
    moved = Rotation.from_quat(real, scalar_first=True).apply(hand.vertices)
    return moved + 2 * (real[:, :1] * dual[:, 1:] - dual[:, :1] * real[:, 1:] + np.cross(real[:, 1:], dual[:, 1:]))


def _crease(hand: Skinned, target: Array, joint: int, frame: Array, rotation: Array, flexion: float) -> Array:
    """Push what has passed the plane halving the bend back to it, and let it bulge along that plane."""
    if flexion <= 0:
        return target
    half = Rotation.from_rotvec(Rotation.from_matrix(rotation).as_rotvec() / 2).as_matrix()
    _, back, bone = half @ frame[:, 0], half @ frame[:, 1], half @ frame[:, 2]
    away = hand.vertices - hand.joints[joint]
    side = np.tanh((away @ frame[:, 2]) / 0.003)
    own = hand.weights[:, [joint, MANO_PARENTS[joint]]].sum(1)
    distance = side * ((target - hand.joints[joint]) @ bone)
    near = own * np.exp(-((np.linalg.norm(away, axis=1) / 0.016) ** 4))
    depth = near * 0.001 * np.logaddexp(0, (0.0022 - distance) / 0.001) * np.abs(side)
    return target + (side * depth)[:, None] * bone - (0.5 * depth)[:, None] * back


def _volume(hand: Skinned, vertices: Array) -> float:
    """Volume in cubic metres, up to that of the wrist's hole, which does not move."""
    a, b, c = vertices[hand.faces].swapaxes(0, 1)
    return float((a * np.cross(b, c)).sum() / 6)


def _keep_volume(hand: Skinned, target: Array, bend: Bend) -> Array:
    """Let the skin around the joints swell by part of the volume that the bend has lost (or shrink by what it won)."""
    behind = [joint + further for joint in bend.joints for further in range(3 - (joint - 1) % 3)]
    moving = hand.weights[:, behind]
    around = 4 * moving.sum(1) * (1 - moving.sum(1))
    normals = around[:, None] * vertex_normals(target, hand.faces)
    missing = _volume(hand, hand.vertices) - _volume(hand, target)
    gained = (_volume(hand, target + 1e-4 * normals) - _volume(hand, target)) / 1e-4
    return target + np.clip(bend.kept * missing / gained, -0.0025, 0.0025) * normals


def _bone(hand: Skinned, joint: int, frame: Array) -> Array:
    """Offsets (778, 3) of the back of the joint where the head of the bone presses through, with valleys beside it."""
    if joint == THUMB_BASE:
        return np.zeros_like(hand.vertices)
    height, length, width = BONES[(joint - 1) % 3]
    across, out, along = ((hand.vertices - hand.joints[joint]) @ frame).T
    profile = np.exp(-((along / length) ** 2) - (across / width) ** 2) * (1 - (across / width) ** 2)
    amount = height * profile * (out / 0.006).clip(0, 1) * (out < 0.025)
    return amount[:, None] * frame[:, 1]
