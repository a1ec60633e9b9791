"""Hands of a folder in FreiHAND's layout: 3D joints, the camera, and where the picture lies."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zoo.commands.tasks.case import Case, Unreadable
from zoo.hands.skeleton import RIGHT

SPLITS = ("training", "evaluation")


def is_freihand(path: Path) -> bool:
    """Whether a folder has a split's cameras."""
    return any((path / f"{split}_K.json").is_file() for split in SPLITS)


def read_freihand(root: Path) -> Iterator[Case | Unreadable]:
    """Hands of all splits whose labels are there."""
    for split in SPLITS:
        if not (root / f"{split}_K.json").is_file():
            continue
        if not (root / f"{split}_xyz.json").is_file():
            yield Unreadable(split, f"{root / split}_xyz.json is missing, so there are no skeletons in this split")
            continue
        try:
            cameras = json.loads((root / f"{split}_K.json").read_text())
            positions = json.loads((root / f"{split}_xyz.json").read_text())
            sides = [RIGHT] * len(cameras)  # the published dataset; ours says otherwise where there are left hands
            if (root / f"{split}_side.json").is_file():
                sides = json.loads((root / f"{split}_side.json").read_text())
            rows = list(zip(cameras, positions, sides, strict=False))
        except (ValueError, TypeError) as error:
            yield Unreadable(split, f"its labels are not JSON: {error}")
            continue
        for index, (camera, xyz, side) in enumerate(rows):
            name = f"{split}_{index:08d}"
            try:
                yield _hand(name, camera, xyz, int(side), root / split / "rgb" / f"{index:08d}.jpg")
            except (ValueError, TypeError) as error:
                yield Unreadable(name, str(error))


def _hand(name: str, camera: Any, xyz: Any, side: int, image: Path) -> Case:
    intrinsics, joints = np.asarray(camera, np.float32), np.asarray(xyz, np.float32)
    if intrinsics.shape != (3, 3) or joints.shape != (21, 3):
        raise ValueError(f"K is {intrinsics.shape} and xyz {joints.shape}; they must be (3, 3) and (21, 3)")
    known = np.asarray(np.isfinite(joints).all(axis=-1) & (joints[:, 2] > 0))
    if not known.any():
        raise ValueError("no joint lies in front of the camera")
    joints = np.where(known[:, None], joints, np.array([0, 0, 1], np.float32))
    rays = joints @ intrinsics.T
    return Case(
        name,
        side,
        pixels=np.asarray(rays[:, :2] / rays[:, 2:]),
        confidence=known.astype(np.float32),
        joints=joints,
        labelled=known,
        intrinsics=intrinsics,
        image=image if image.is_file() else None,
    )
