"""The finished model under MANO's own keys, right and left, and its files."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.hands.build.correct import build_correctives
from zoo.hands.build.mesh import build_mesh
from zoo.hands.build.regress import build_regressor
from zoo.hands.build.shape import SHAPE_NAMES, build_shapes
from zoo.hands.build.source import load_source
from zoo.hands.skeleton import MANO_PARENTS

ASSETS = Path(__file__).parents[1] / "assets"
MIRROR = np.array([-1.0, 1.0, 1.0])  # of points; of axis-angle vectors it is the opposite
Arrays = dict[str, NDArray[Any]]


def build() -> dict[str, Arrays]:
    """Both hands: arrays by MANO's key, by side."""
    hand = build_mesh(load_source(ASSETS / "generic-hand" / "right.glb"))
    shapes = build_shapes(hand)
    posedirs = build_correctives(hand)
    regressor = build_regressor(hand, shapes, posedirs)
    # The model bends around what the regressor finds, so the regressor puts the wrist at the origin.
    vertices = hand.vertices - regressor[0] @ hand.vertices
    shapedirs = shapes.vertices - np.einsum("v,vik->ik", regressor[0], shapes.vertices)
    prior = _pose_prior()
    right = {
        "v_template": vertices,
        "shapedirs": np.round(shapedirs, 9),
        "posedirs": posedirs,
        "J_regressor": regressor,
        "J": regressor @ vertices,
        "weights": hand.weights,
        "kintree_table": np.array([[2**32 - 1, *MANO_PARENTS[1:]], range(16)], dtype=np.uint32),
        "f": hand.faces.astype(np.uint32),
        "tips": hand.tips.astype(np.int64),
        "shape_names": np.array(SHAPE_NAMES),
        "bs_style": np.array("lbs"),
        "bs_type": np.array("lrotmin"),
        **prior,
    }
    return {"right": right, "left": mirrored(right)}


def mirrored(arrays: Arrays) -> Arrays:
    """The other hand: x changes sign, faces turn round, so that the mirrored pose gives the mirrored surface."""
    rotation = np.tile(np.outer(MIRROR, MIRROR).ravel(), 15)
    turn = np.tile(-MIRROR, 15)
    return arrays | {
        "v_template": arrays["v_template"] * MIRROR,
        "shapedirs": arrays["shapedirs"] * MIRROR[:, None],
        "posedirs": arrays["posedirs"] * MIRROR[:, None] * rotation,
        "J": arrays["J"] * MIRROR,
        "f": arrays["f"][:, ::-1],
        "hands_mean": arrays["hands_mean"] * turn,
        "hands_components": arrays["hands_components"] * turn,
        "hands_coeffs": arrays["hands_coeffs"],
    }


def _pose_prior() -> Arrays:
    """Mean and principal components of finger poses, once they have been recorded; else the flat hand."""
    path = ASSETS / "openhand" / "poses.npz"
    if not path.exists():
        return {"hands_mean": np.zeros(45), "hands_components": np.eye(45), "hands_coeffs": np.zeros((1, 45))}
    with np.load(path, allow_pickle=False) as stored:
        return {
            "hands_mean": stored["hands_mean"].astype(float),
            "hands_components": stored["hands_components"].astype(float),
            "hands_coeffs": np.round(stored["hands_coeffs"], 3).astype(np.float32),  # examples only, kept small
        }


def save(path: Path, arrays: Arrays) -> None:
    """Write the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.npz")
    np.savez_compressed(temporary, allow_pickle=False, **arrays)
    os.replace(temporary, path)
