"""A synthetic Two-hand 500K: pairs of OpenHand's hands in our own shards, or as IntagHand keeps them.

A folder whose name has `intaghand` in it gets IntagHand's layout, with pictures; any other gets shards.
"""

import pickle
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
import torch
from torch.utils.data import DataLoader, Dataset

from datamodules.hand_models import moved
from datamodules.scene import FloatArray, ManoPose, Split
from datamodules.twins import Stage, TwinHand, drawing, whole_folder
from datamodules.twohand500k.conventions import SIDES
from datamodules.twohand500k.intaghand import SIZE
from datamodules.twohand500k.mapping import PARTS
from datamodules.twohand500k.shards import write_shard
from zoo.hands.openhand import OpenHand
from zoo.hands.skeleton import LEFT, RIGHT

FOCAL = 320.0
SHARD = 2048  # pairs
ALONE = 7  # every so many pairs of the shards lack a hand


def synth(out: Path, n: int, seed: int, workers: int) -> None:
    """Writes `train`, `val` and `test`.

    Args:
        out: Their folder; `intaghand` in its name decides the layout.
        n: Training pairs; an eighth as many for the other parts.
        seed: Other seeds give other hands.
        workers: Processes that draw; 0 draws in this one.
    """
    pictured = "intaghand" in out.name.lower()
    few = -(-n // 8)
    with whole_folder(out, "twohand500k", layout="intaghand" if pictured else "shards", seed=seed) as draft:
        first = 0
        for part, count in zip(PARTS, (n, few, few), strict=True):
            work: _Work = (
                _IntagHand(draft, part, first, count, seed) if pictured else _Shards(draft, part, first, count, seed)
            )
            for _ in drawing(DataLoader(work, batch_size=None, num_workers=workers), f"pieces of {part}"):
                pass
            first += count


class _Work(Dataset[int]):
    """Pairs `first` to `first + count` as a dataset of pieces, so that a loader's workers write them."""

    piece: int  # pairs

    def __init__(self, root: Path, part: Split, first: int, count: int, seed: int) -> None:
        self.folder, self.first, self.count, self.seed = root / part, first, count, seed

    def __len__(self) -> int:
        return -(-self.count // self.piece)

    @cached_property
    def stage(self) -> Stage:
        return Stage(self.seed, SIZE, FOCAL, fill=(0.35, 0.6))

    def rows(self, index: int) -> range:
        """The pairs of a piece, counted within the part."""
        return range(index * self.piece, min((index + 1) * self.piece, self.count))


class _Shards(_Work):
    piece = SHARD

    def __getitem__(self, index: int) -> int:
        rows = self.rows(index)
        hands, valid = np.zeros((len(rows), 2, 61), np.float32), np.ones((len(rows), 2), np.bool_)
        for place, row in enumerate(rows):
            number = self.first + row
            if number % ALONE == ALONE - 1:
                valid[place, number // ALONE % 2] = False
            for side, hand in self.stage.hands(number, (LEFT, RIGHT)).items():
                fingers = hand.pose.rotations[1:].ravel() - self.stage.models[side].hands_mean.numpy()
                numbers = (hand.pose.rotations[0], fingers, hand.pose.betas, hand.pose.transl)
                hands[place, side] = np.concatenate(numbers)
        hands[~valid] = 0
        write_shard(
            self.folder / f"{index:05d}.npz",
            hands,
            valid,
            unit="m",
            frame="opencv",
            flat_hand_mean=False,
            left_shapedirs_fix=True,
        )
        return index


class _IntagHand(_Work):
    piece = 16

    def __getitem__(self, index: int) -> int:
        for folder in ("anno", "img"):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
        for row in self.rows(index):
            number = self.first + row
            hands = self.stage.hands(number, (LEFT, RIGHT))
            picture = self.stage.photograph(number, hands).image
            (self.folder / f"img/{row}.jpg").write_bytes(simplejpeg.encode_jpeg(picture, 92))
            tree = annotation(row, hands, self.stage, self.stage.rng(number, 3))
            (self.folder / f"anno/{row}.pkl").write_bytes(pickle.dumps(tree))
        return index


def annotation(row: int, hands: dict[int, TwinHand], stage: Stage, rng: np.random.Generator) -> dict[str, Any]:
    """What IntagHand's `anno/<row>.pkl` holds: a world in which the camera stands anywhere, fingers as coefficients.

    Args:
        row: Its number.
        hands: By side, in the camera's frame.
        stage: Whose camera.
        rng: Decides where the camera stands.
    """
    turn = cv2.Rodrigues(rng.normal(size=3))[0].astype(np.float32)
    shift = rng.uniform(-1, 1, 3).astype(np.float32)
    params = {}
    for side, hand in hands.items():
        model = stage.models[side]
        world = moved(model, hand.pose, turn.T, -turn.T @ shift)
        params[SIDES[side]] = {
            "R": cv2.Rodrigues(world.rotations[0].astype(np.float64))[0][None].astype(np.float32),
            "pose": coefficients(model, world)[None],
            "shape": world.betas[None],
            "trans": world.transl[None],
        }
    return {
        "inter_idx": row,
        "image": {"id": row, "file_name": f"Capture0/twin/cam0/image{row}.jpg", "width": SIZE[1], "height": SIZE[0]},
        "annotation": {"id": row, "image_id": row, "hand_type": "interacting", "hand_type_valid": 1},
        "mano_params": params,
        "camera": {"R": turn, "t": shift, "camera": stage.intrinsics},
    }


def coefficients(hand: OpenHand, pose: ManoPose) -> FloatArray:
    """(45,) of the rows of `hands_components`, by their inverse."""
    fingers = torch.from_numpy(pose.rotations[1:].ravel()) - hand.hands_mean
    return np.asarray(torch.linalg.solve(hand.hands_components.double().T, fingers.double()).float().numpy())
