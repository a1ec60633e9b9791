"""Retargets recorded hands to OpenHand's finger joints and fills its pose prior: `python -m zoo.hands.build.poses`.

Inverse kinematics on bone directions. The recorded hand and OpenHand's rig share joints and hinge axes but no bone
length, so the recorded palm is turned onto OpenHand's and each finger solved for the angles that point its three bones
along the recorded ones, within anatomical limits; spread and twist are lightly held to zero.

Recordings: stewdio/handy.js, MIT, Copyright 2020-2021 Stewart Smith.
"""

import json
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zoo.hands.build.model import ASSETS, save
from zoo.hands.build.poses_relax import relax
from zoo.hands.build.poses_table import GRASPS, LEFT_OUT, MENDED, THUMB_OVER, Fingers
from zoo.hands.build.source import AXES
from zoo.hands.poses import FILE, PosePrior
from zoo.hands.poses_joints import FINGER_SLICES, FREE, LIMITS, Angles, JointAxes, joint_rotations, limit

CHAINS = {"index": 6, "middle": 11, "pinky": 21, "ring": 16, "thumb": 1}  # MANO order: first of four rig joints
PALM = [5, 10, 15, 20, 6, 11, 16, 21]  # rig joints that no recorded pose moves
RECORDED_AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0))  # OpenHand's axes in WebXR's
STARTS = ((0.1, 0.1, 0.1), (0.9, 1.2, 0.6), (1.4, 1.5, 0.9), (0.1, 1.5, 0.9))  # flex of a finger's joints, radians
HELD = (0.0, 0.02, 0.1)  # how strongly flex, spread and twist are held to zero, against unit bone directions
THUMB_AWAY = (-20.0, 30.0, 0.0, 20.0, 10.0)  # from where a thumb comes down on a fist, degrees
SAMPLES, SEED = 20_000, 0  # of the prior, for its principal components
MANO_COEFFICIENTS = 1554  # rows of MANO's own hands_coeffs


class Rig(NamedTuple):
    """OpenHand's fingers at rest, in its frame."""

    joints: Float[Tensor, "25 3"]  # metres, WebXR order
    bones: Float[Tensor, "5 3 3"]  # metres, from each joint to the next or to the tip; fingers in MANO order
    axes: JointAxes


class Recordings(NamedTuple):
    """Recorded right hands, turned into OpenHand's frame."""

    names: tuple[tuple[str, ...], ...]
    joints: Float[Tensor, "n 25 3"]  # metres, WebXR order
    directions: Float[Tensor, "n 5 3 3"]  # of the bones, unit length, fingers in MANO order


def load_rig(path: Path = ASSETS / "generic-hand" / "right.glb") -> Rig:
    """Bones and hinge axes of the rig that OpenHand is made of."""
    data = path.read_bytes()
    length = struct.unpack("<I", data[12:16])[0]
    header, blob = json.loads(data[20 : 20 + length]), data[28 + length :]
    view = header["bufferViews"][header["accessors"][header["skins"][0]["inverseBindMatrices"]]["bufferView"]]
    stored = np.frombuffer(blob, np.float32, 25 * 16, view["byteOffset"]).reshape(25, 4, 4)
    bind = torch.linalg.inv(torch.from_numpy(stored.astype(float)).mT)
    turn = torch.from_numpy(AXES)
    joints = (bind[:, :3, 3] - bind[0, :3, 3]) @ turn.T
    bones = _chains(joints).diff(dim=-2)
    along = F.normalize(bones, dim=-1)
    across = -_chains(bind[:, :3, 0] @ turn.T)[:, :3]  # WebXR bones flex about their own -x
    flex = F.normalize(across - (across * along).sum(-1, keepdim=True) * along, dim=-1)
    axes = torch.stack([flex, torch.linalg.cross(along, flex), along], -2)
    return Rig(joints, bones, axes.view(15, 3, 3))


def load_recordings(rig: Rig) -> Recordings:
    """The recorded hands, their palms turned onto OpenHand's."""
    poses = json.loads((ASSETS / "hand-poses" / "right.json").read_text())["poses"]
    joints = torch.tensor([pose["joints_mm"] for pose in poses], dtype=torch.float64) / 1000
    joints = joints @ torch.tensor(RECORDED_AXES, dtype=torch.float64).T
    source, target = (palm - palm.mean(0) for palm in (joints[0, PALM], rig.joints[PALM]))
    u, _, vt = torch.linalg.svd(target.T @ source)
    vt[2] *= torch.linalg.det(u @ vt)
    joints = joints @ (u @ vt).T
    return Recordings(
        tuple(tuple(pose["names"]) for pose in poses), joints, F.normalize(_chains(joints).diff(dim=-2), dim=-1)
    )


def bone_directions(angles: Angles, rig: Rig) -> Float[Tensor, "*b 5 3 3"]:
    """Where the three bones of each finger point in a pose."""
    first, second, third = torch.unflatten(joint_rotations(angles, rig.axes), -3, (5, 3)).unbind(-3)
    second = first @ second
    turned = torch.stack([first, second, second @ third], -3)
    return (turned @ F.normalize(rig.bones, dim=-1)[..., None])[..., 0]


def solve(directions: Float[Tensor, "n 5 3 3"], rig: Rig, steps: int = 40) -> Angles:
    """Angles whose bones point along the given directions, by damped Gauss-Newton within the limits.

    All fingers of all poses are solved at once: angle k of a finger moves no other finger, so nine differences give
    every Jacobian.
    """
    low, high = LIMITS.double().unbind(-1)
    count = len(directions)
    angles = torch.zeros(len(STARTS), count, 5, 3, 3, dtype=torch.float64)
    angles[..., 0] = torch.tensor(STARTS, dtype=torch.float64)[:, None, None]
    free = FREE.view(5, 9).double()
    held = torch.tensor(HELD, dtype=torch.float64).repeat(3)

    def project(angles: Tensor) -> Tensor:
        return angles.view(-1, count, 15, 3).clamp(low, high)

    def residual(angles: Tensor) -> Tensor:
        error = (bone_directions(angles, rig) - directions).flatten(-2)
        return torch.cat([error, held * torch.unflatten(angles, -2, (5, 3)).flatten(-2)], -1)

    angles = project(angles)
    damping = torch.full((len(STARTS), count, 5, 1, 1), 1e-2, dtype=torch.float64)
    now = residual(angles)
    for _ in range(steps):
        columns = []
        for k in range(9):
            step = torch.zeros(5, 9, dtype=torch.float64)
            step[:, k] = 1e-6
            columns.append((residual(angles + step.view(15, 3)) - now) / 1e-6)
        jacobian = torch.stack(columns, -1) * free[:, None]
        system = jacobian.mT @ jacobian + damping * torch.eye(9)
        change = torch.linalg.solve(system, -(jacobian.mT @ now[..., None]))[..., 0]
        tried = project(angles + change.view_as(angles))
        then = residual(tried)
        better = then.square().sum(-1) < now.square().sum(-1)
        chosen = better[..., None, None].expand(*better.shape, 3, 3).reshape_as(angles)
        angles, now = torch.where(chosen, tried, angles), torch.where(better[..., None], then, now)
        damping = (damping * torch.where(better, 0.3, 5.0)[..., None, None]).clamp(1e-6, 1e3)
    best = now.square().sum(-1).argmin(0)[None, ..., None, None]
    return torch.unflatten(angles, -2, (5, 3)).take_along_dim(best, 0)[0].flatten(1, 2)


def tip_residuals(angles: Angles, recordings: Recordings, rig: Rig) -> Float[Tensor, "n 5"]:
    """Distance of each fingertip from the recorded one, both fingers made of OpenHand's bone lengths; metres."""
    error = (bone_directions(angles, rig) - recordings.directions) * rig.bones.norm(dim=-1, keepdim=True)
    return error.sum(-2).norm(dim=-1)


def named_poses(rig: Rig, recordings: Recordings) -> tuple[list[str], Angles]:
    """Aliases, joined by "|", and angles: recordings as retargeted, mended and relaxed, then our grasps, relaxed."""
    angles = list(limit(solve(recordings.directions, rig)).float())
    starts = [pose.clone() for pose in angles]
    for i, (name, *_) in enumerate(recordings.names):
        if name in MENDED:
            angles[i] = starts[i] = replace(angles[i], MENDED[name][0])
        if name in THUMB_OVER:
            starts[i] = replace(angles[i], {"thumb": THUMB_AWAY})
    grasps = [replace(torch.zeros(15, 3), fingers) for fingers in GRASPS.values()]
    aliases = ["|".join(names) for names in recordings.names] + list(GRASPS)
    relaxed = relax(torch.stack(angles + grasps), torch.stack(starts + grasps), rig.axes.float(), SEED)
    kept = [i for i, names in enumerate(aliases) if names.split("|")[0] not in LEFT_OUT]
    return [aliases[i] for i in kept], relaxed[kept]


def replace(angles: Float[Tensor, "15 3"], fingers: Fingers) -> Float[Tensor, "15 3"]:
    """The pose with some fingers as the table gives them, within limits."""
    result = angles.clone()
    for finger, degrees in fingers.items():
        first, second, third = (torch.zeros(3) for _ in range(3))
        if finger == "thumb":
            first[:], second[0], third[0] = torch.tensor(degrees[:3]), degrees[3], degrees[4]
        else:
            first[:2], second[0], third[0] = torch.tensor(degrees[:2]), degrees[2], degrees[3]
        result[FINGER_SLICES[finger]] = torch.deg2rad(torch.stack([first, second, third]))
    return limit(result)


def principal_components(file: Path) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """Mean, orthonormal rows, coefficients and their deviation of a large sample of the prior, under MANO's keys."""
    poses = PosePrior(file=file).sample(SAMPLES, torch.Generator().manual_seed(SEED)).axis_angle.double()
    mean = poses.mean(0)
    _, values, rows = torch.linalg.svd(poses - mean, full_matrices=False)
    rows = rows * rows.gather(1, rows.abs().argmax(1, keepdim=True)).sign()  # a sign that no library decides
    coefficients = (poses - mean)[:MANO_COEFFICIENTS] @ rows.T
    found = {
        "hands_mean": mean,
        "hands_components": rows,
        "hands_coeffs": coefficients.round(decimals=4),
        "hands_std": values / len(poses) ** 0.5,
    }
    return {key: value.numpy() for key, value in found.items()}


def main() -> None:
    """Write poses.npz: the named poses first, then with the components of the prior around them."""
    rig = load_rig()
    names, angles = named_poses(rig, load_recordings(rig))
    arrays = {"names": np.array(names), "angles": np.round(angles.numpy(), 5), "axes": np.round(rig.axes.numpy(), 7)}
    save(FILE, arrays)
    save(FILE, arrays | principal_components(FILE))


def _chains(joints: Tensor) -> Tensor:
    """The four joints of each finger, fingers in MANO order: (*b, 25, 3) to (*b, 5, 4, 3)."""
    return torch.stack([joints[..., first : first + 4, :] for first in CHAINS.values()], -3)


if __name__ == "__main__":
    main()
