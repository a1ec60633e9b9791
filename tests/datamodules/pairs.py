"""Pairs of hands as random parameters, and the folders that hold them."""

import json
from pathlib import Path

import cv2
import numpy as np
import torch

from datamodules.hand_models import TWIN
from datamodules.twohand500k.shards import write_shard
from zoo.hands.openhand import OpenHand
from zoo.hands.rotations import axis_angle_to_matrix

MODELS = {0: OpenHand("left"), 1: OpenHand("right")}
SAID = {"unit": "m", "frame": "opencv", "flat_hand_mean": False, "left_shapedirs_fix": True}


def numbers(n, seed=0):
    """(n, 2, 61) root rotation, fingers, shape, place."""
    rng = np.random.default_rng(seed)
    hands = np.concatenate(
        [
            rng.normal(0, 1, (n, 2, 3)),
            rng.normal(0, 0.3, (n, 2, 45)),
            rng.normal(0, 1, (n, 2, 10)),
            rng.normal(0, 0.1, (n, 2, 3)),
        ],
        axis=-1,
    )
    return hands.astype(np.float32)


def mesh(side, rotations, betas, transl):
    """(778, 3) of absolute axis-angle rotations (16, 3)."""
    matrices = axis_angle_to_matrix(torch.as_tensor(np.array(rotations, np.float32))[None])
    betas, transl = (torch.as_tensor(np.array(x, np.float32))[None] for x in (betas, transl))
    return MODELS[side](matrices, betas, transl).vertices[0].numpy()


def meshes(hands, *, mean=True):
    """By side, of one pair of `numbers`, fingers relative to the mean pose or not."""
    made = {}
    for side in (0, 1):
        pose = hands[side, :48].copy()
        if mean:
            pose[3:] += MODELS[side].hands_mean.numpy()
        made[side] = mesh(side, pose.reshape(16, 3), hands[side, 48:58], hands[side, 58:])
    return made


def read_meshes(scene):
    """By side, of a scene."""
    return {side: mesh(side, h.pose.rotations, h.pose.betas, h.pose.transl) for side, h in scene.hands.items()}


def same_but_for_place(found, expected, turn=None):
    """Whether two pairs differ by one translation, after the second was turned."""
    turn = np.eye(3) if turn is None else turn
    shifts = np.concatenate([found[side] - expected[side] @ np.asarray(turn).T for side in expected])
    np.testing.assert_allclose(shifts - shifts.mean(0), 0, atol=2e-5)


def mark(root):
    """Makes a folder a twin, whose parameters are OpenHand's."""
    root.mkdir(parents=True, exist_ok=True)
    (root / TWIN).write_text(json.dumps({"hand": "OpenHand"}))
    return root


def write_shards(root: Path, hands, valid=None, shards=1, **said):
    valid = np.ones((len(hands), 2), bool) if valid is None else valid
    for i, rows in enumerate(np.array_split(np.arange(len(hands)), shards)):
        write_shard(root / f"{i:03d}.npz", hands[rows], valid[rows], **{**SAID, **said})
    return mark(root)


def rotation(*axis_angle):
    return cv2.Rodrigues(np.array(axis_angle, np.float64))[0]
