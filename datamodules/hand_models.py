"""Which hand model a dataset's parameters belong to, and meshes made from them."""

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch

from datamodules.scene import FloatArray, HandModels, ManoPose
from zoo.hands.mano import SMPLX_TIPS, Mano
from zoo.hands.model import HandModel, SideName
from zoo.hands.openhand import OpenHand
from zoo.hands.rotations import axis_angle_to_matrix
from zoo.hands.skeleton import LEFT, RIGHT
from zoo.shapes import Faces, Joints, Vertices

TWIN = "openhand.json"  # in the folder of a dataset that `data synth` made: its parameters are OpenHand's
_LONG_EDGE = 0.015  # metres; a hand's mean edge is 5 mm, that of a shuffled mesh some 60 mm
_SIDES: dict[int, SideName] = {LEFT: "left", RIGHT: "right"}

_log = logging.getLogger("zoo")


def find_models(
    root: Path, mano: Path | None, tips: Sequence[int] = SMPLX_TIPS, fix_left: bool | None = None
) -> HandModels | None:
    """The hand models of a dataset that stores parameters and no meshes.

    Args:
        root: The dataset's folder. One that `data synth` wrote belongs to OpenHand, which it says in `openhand.json`.
        mano: Folder of the user's MANO files, or None.
        tips: The vertices of MANO that the dataset uses as finger tips, thumb to pinky.
        fix_left: See `Mano`; datasets differ.

    Returns:
        Left and right, or None: neither is known. A dataset that then has no meshes says so with `say_no_mesh`.
    """
    if is_twin(root):
        return {side: OpenHand(name) for side, name in _SIDES.items()}
    if mano is not None:
        return {side: Mano(mano, name, tips, fix_left) for side, name in _SIDES.items()}
    return None


def is_twin(root: Path) -> bool:
    """Whether `data synth` made a dataset, whose folder may be an inner one: SET/data, SET/train.

    Args:
        root: The dataset's folder.
    """
    return any((folder / TWIN).is_file() for folder in (root, root.resolve().parent))


def pose_hands(models: HandModels, sides: Sequence[int], poses: Sequence[ManoPose]) -> tuple[Vertices, Joints]:
    """Poses hands of both sides at once.

    Args:
        models: By side.
        sides: 0 = left, 1 = right, of each hand.
        poses: Their parameters.

    Returns:
        (n, 778, 3) vertices and (n, 21, 3) joints regressed from them, metres, in the frame of the parameters.
    """
    vertices, joints = torch.zeros(len(poses), 778, 3), torch.zeros(len(poses), 21, 3)
    for side in set(sides):
        rows = [i for i, other in enumerate(sides) if other == side]
        chosen = [poses[i] for i in rows]
        with torch.no_grad():
            made = models[side](
                axis_angle_to_matrix(_stack([pose.rotations for pose in chosen])),
                _stack([pose.betas for pose in chosen]),
                _stack([pose.transl for pose in chosen]),
            ).vertices
            vertices[rows], joints[rows] = made, models[side].regress(made)
    return vertices, joints


def absolute(hand: HandModel, pose: FloatArray) -> FloatArray:
    """(16, 3) absolute rotations from the 48 numbers of a dataset that stores fingers relative to `hands_mean`."""
    turns = np.array(pose, np.float32).reshape(48)
    turns[3:] += hand.hands_mean.numpy()
    return turns.reshape(16, 3)


def moved(hand: HandModel, pose: ManoPose, rotation: FloatArray, translation: FloatArray) -> ManoPose:
    """The parameters of the same hand after `x -> rotation @ x + translation`.

    The root turns about its own joint, which is not the origin, so that the translation changes with the rotation:
    R' = rotation R, t' = rotation (J0 + t) + translation - J0, where J0 is the root joint of the shaped rest pose.

    Args:
        hand: Whose parameters they are.
        pose: The parameters.
        rotation: (3, 3) det 1.
        translation: (3,) metres.
    """
    import cv2

    turn = rotation.astype(np.float64) @ cv2.Rodrigues(pose.rotations[0].astype(np.float64))[0]
    root = (hand.rest[:3, 0] + hand.rest_basis[:3] @ torch.from_numpy(pose.betas)).numpy().astype(np.float64)
    rotations = pose.rotations.copy()
    rotations[0] = cv2.Rodrigues(turn)[0][:, 0]
    transl = rotation.astype(np.float64) @ (root + pose.transl) + translation - root
    return ManoPose(rotations, pose.betas, transl.astype(np.float32))


def with_tips(joints: FloatArray, vertices: FloatArray, tips: Sequence[int] | None) -> FloatArray:
    """(n, 21, 3) joints whose finger tips are those that a dataset's labels use.

    Args:
        joints: (n, 21, 3) SNAP-21.
        vertices: (n, 778, 3) in the same frame and unit.
        tips: Vertices that are thumb to pinky tip; None keeps the joints' own.
    """
    joints = joints.copy()
    if tips is not None:
        joints[:, 4::4] = vertices[:, list(tips)]
    return joints


def faces_of(vertices: Vertices, models: HandModels | None, side: int) -> Faces | None:
    """The faces of a dataset's meshes: its own model's, or OpenHand's where they fit; None where neither is known.

    MANO's faces may not be passed on, so meshes of MANO need the user's file.
    """
    if models is not None:
        return models[side].faces
    faces = _openhand_faces(side)
    return faces if fits(vertices, faces) else None


def fits(vertices: Vertices, faces: Faces) -> bool:
    """Whether faces belong to the meshes of a dataset: between vertices of another mesh's order edges are long.

    Args:
        vertices: Metres, one mesh or more.
        faces: Vertex indices.
    """
    corners = vertices[..., faces, :]
    return float((corners - corners.roll(1, -2)).norm(dim=-1).mean()) < _LONG_EDGE


@cache
def _openhand_faces(side: int) -> Faces:
    return OpenHand(_SIDES[side]).faces


@cache
def say_no_mesh(root: Path) -> None:
    """Logs once that a dataset's parameters cannot become meshes, and what would change that."""
    _log.warning(
        "%s stores hands as MANO parameters. Without MANO they have no meshes; give the folder of MANO_RIGHT.pkl and "
        "MANO_LEFT.pkl with --data.mano.",
        root,
    )


def _stack(arrays: Sequence[FloatArray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays).astype(np.float32))
