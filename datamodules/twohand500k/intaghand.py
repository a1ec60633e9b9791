"""Pairs of hands as IntagHand keeps them, one pickle each, beside 256-pixel pictures (Li et al. 2022).

`anno/<i>.pkl` holds `mano_params` with `left` and `right`, each `R` (1, 3, 3), `pose` (1, 45), `shape` (1, 10) and
`trans` (1, 3) metres, in the world's frame; and `camera` with `R` (3, 3), `t` (3,) metres and `camera` (3, 3) pixels of
`img/<i>.jpg`. `pose` is (absolute - hands_mean) times the inverse of hands_components; left hands belong to mirrored
shape directions.
"""

from pathlib import Path
from typing import Any, final

import cv2
import numpy as np

from datamodules.scene import FloatArray
from datamodules.twohand500k.conventions import FRAMES, SIDES, Block, Conventions, Source, block, listing
from zoo.hands.unpickle import decode, read_tree

SIZE = (256, 256)  # height and width of its pictures
_HAND = {"R": 9, "pose": 45, "shape": 10, "trans": 3}
_CAMERA = {"R": 9, "t": 3, "camera": 9}


@final
class IntagHand(Source):
    """Pickles of `anno`."""

    @property
    def conventions(self) -> Conventions:
        return Conventions(FRAMES["opencv"], flat_hand_mean=False, left_shapedirs_fix=True, pca=True)

    def read(self, path: Path) -> Block:
        tree = read_tree(path)
        params, camera = (_entry(tree, key, path) for key in ("mano_params", "camera"))
        hands, valid = np.zeros((1, 2, 61), np.float32), np.zeros((1, 2), np.bool_)
        for side, name in enumerate(SIDES):
            if name not in params:
                raise ValueError(f"{path}: mano_params has {listing(params)}, but no {name}. Copy the file again.")
            if params[name] is None:
                continue
            hand = _arrays(params[name], _HAND, f"{path}: mano_params/{name}")
            turn = matrix_to_axis_angle(hand["R"].reshape(1, 3, 3), f"{path}: mano_params/{name}/R")
            hands[0, side] = np.concatenate([turn[0], hand["pose"], hand["shape"], hand["trans"]])
            valid[0, side] = True
        view = _arrays(camera, _CAMERA, f"{path}: camera")
        matrix_to_axis_angle(view["R"].reshape(1, 3, 3), f"{path}: camera/R")
        cameras = np.concatenate([view[key] for key in _CAMERA])[None]
        return block(hands, valid, path, cameras=cameras, numbers=np.array([int(path.stem)]))


def matrix_to_axis_angle(matrices: FloatArray, where: str) -> FloatArray:
    """(n, 3) of (n, 3, 3).

    Raises:
        ValueError: One is no rotation: not orthogonal, or a mirror.
    """
    products = matrices @ matrices.swapaxes(1, 2)
    good = (np.abs(products - np.eye(3)).max((1, 2)) < 1e-3) & (np.linalg.det(matrices) > 0)
    if not good.all():
        raise ValueError(f"{where}: matrix {int(np.argmin(good))} is no rotation. Copy the file again.")
    return np.array([cv2.Rodrigues(matrix.astype(np.float64))[0][:, 0] for matrix in matrices], np.float32)


def _entry(tree: dict[Any, Any], key: str, path: Path) -> dict[Any, Any]:
    if not isinstance(tree.get(key), dict):
        raise ValueError(
            f"{path} has no dictionary {key!r}. Keys found: {', '.join(map(str, tree)) or 'none'}. IntagHand's "
            "anno files have mano_params and camera; other pickles are read with --data.mapping."
        )
    entry: dict[Any, Any] = tree[key]
    return entry


def _arrays(entry: Any, sizes: dict[str, int], where: str) -> dict[str, FloatArray]:
    if not isinstance(entry, dict) or (lacks := [key for key in sizes if key not in entry]):
        found = ", ".join(map(str, entry)) if isinstance(entry, dict) else type(entry).__name__
        raise ValueError(f"{where} lacks {', '.join(lacks if isinstance(entry, dict) else sizes)}; it has {found}.")
    arrays = {}
    for key, size in sizes.items():
        try:
            arrays[key] = decode(entry[key]).astype(np.float32).ravel()
        except Exception as error:
            raise ValueError(f"{where}/{key} cannot be read as an array: {error}.") from None
        if arrays[key].size != size or not np.isfinite(arrays[key]).all():
            raise ValueError(f"{where}/{key} has {arrays[key].size} numbers; it must have {size}, all finite.")
    return arrays
