"""Pairs of hands before a made-up camera, or IntagHand's own: what HHMR and HanDiffuser train on without pictures."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.base import FolderData, held_out_part
from datamodules.hand_models import absolute, find_models, moved
from datamodules.photos import photo_size, read_photo
from datamodules.scene import BoolArray, FloatArray, HandModels, IntArray, ManoPose, Scene, SceneHand, Scenes, Split
from datamodules.twohand500k.conventions import Source
from datamodules.twohand500k.intaghand import SIZE, IntagHand
from datamodules.twohand500k.mapping import PARTS, KeyMapping, Mapped
from datamodules.twohand500k.shards import Shards
from datamodules.twohand500k.table import Table, make_table
from zoo.hands.model import HandModel
from zoo.hands.skeleton import LEFT, RIGHT

MAPPING = "mapping.yaml"  # in the dataset's folder, read when no other is given
VIRTUAL_SIZE = (256, 256)  # height and width of the picture that is not there, pixels
VIRTUAL_FOCAL = 320.0  # pixels; 0.64 m across where the hands are
VIRTUAL_DEPTH = 0.8  # metres from the camera to the middle between the hands
_MIDDLE = slice(12, 15)  # coordinates of the base of the middle finger among a model's 16 joints


class TwoHandScenes(Scenes):
    """Pairs of hands.

    Where the files say no camera there is a virtual one: it looks along z of the data's frame at the middle between the
    bases of the middle fingers, 0.8 m away, with 320 pixels of focal length over 256 x 256. How hands are turned, and
    how they lie to each other, is the data's; where they are before the camera is not.

    Args:
        table: The pairs.
        rows: Which of them, (n,).
        models: Whose parameters they are.
        pictures: Folder of `<number>.jpg`, or None.
    """

    models: HandModels

    def __init__(self, table: Table, rows: IntArray, models: HandModels, pictures: Path | None = None) -> None:
        self.table = table
        self.rows = rows
        self.models = models
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.rows)

    def sides(self) -> BoolArray:
        return np.array(self.table.valid[self.rows])

    def read(self, index: int, *, image: bool = True, mask: bool = False) -> Scene:
        row = int(self.rows[index])
        number = int(self.table.numbers[row])
        there = np.flatnonzero(self.table.valid[row]).tolist()
        poses = {side: self._pose(side, self.table.hands[row, side]) for side in there}
        if self.table.cameras is None:
            poses = self._before_camera(poses)
            return Scene(index, VIRTUAL_SIZE, virtual_camera(), _hands(poses), name=str(number))
        camera = np.array(self.table.cameras[row])
        turn, shift, intrinsics = camera[:9].reshape(3, 3), camera[9:12], camera[12:].reshape(3, 3)
        poses = {side: moved(self.models[side], pose, turn, shift) for side, pose in poses.items()}
        path = None if self.pictures is None else self.pictures / f"{number}.jpg"
        picture = read_photo(path) if image and path is not None else None
        size = SIZE if path is None else photo_size(path) if picture is None else picture.shape[:2]
        return Scene(index, size, intrinsics, _hands(poses), image=picture, name=str(number))

    def _pose(self, side: int, numbers: FloatArray) -> ManoPose:
        """The parameters of a hand in the frame of the files, absolute."""
        said, hand = self.table.conventions, self.models[side]
        pose = np.array(numbers[:48])
        if said.pca:
            pose[3:] = pose[3:] @ hand.hands_components.numpy()
        rotations = pose.reshape(16, 3) if said.flat_hand_mean else absolute(hand, pose)
        return ManoPose(rotations, np.array(numbers[48:58]), np.array(numbers[58:]))

    def _before_camera(self, poses: dict[int, ManoPose]) -> dict[int, ManoPose]:
        none, turn = np.zeros(3, np.float32), self.table.conventions.rotation
        turned = poses
        if not np.array_equal(turn, np.eye(3)):
            turned = {side: moved(self.models[side], pose, turn, none) for side, pose in poses.items()}
        middles = [_middle(self.models[side], pose) for side, pose in turned.items()]
        shift = np.array([0, 0, VIRTUAL_DEPTH], np.float32) - (np.mean(middles, 0) if middles else none)
        return {
            side: ManoPose(pose.rotations, pose.betas, (pose.transl + shift).astype(np.float32))
            for side, pose in turned.items()
        }


def virtual_camera() -> FloatArray:
    """(3, 3) of scenes whose camera is not known, pixels."""
    height, width = VIRTUAL_SIZE
    return np.array([[VIRTUAL_FOCAL, 0, (width - 1) / 2], [0, VIRTUAL_FOCAL, (height - 1) / 2], [0, 0, 1]], np.float32)


class TwoHand500K(FolderData):
    """Pairs of hands as MANO parameters: shards of our own layout, IntagHand's `anno` pickles, or mapped files.

    Two-hand 500K's own files are not known and this is untested on them; see `datamodules/twohand500k/README.md`. What
    is not said of the parameters (unit, frame, mean pose, mirrored left shapes) is never guessed.

    Args:
        root: The folder, or the one above `train`, `val` and `test`.
        mapping: YAML file that says what the keys of other files mean; None takes `mapping.yaml` in the folder.
        val_fraction: Part of the training pairs that is held out, the last ones, where there is no `val`.
        options: Of `FolderData`.
    """

    title = "Two-hand 500K"
    source = (
        "the files from its authors' page, convert them (datamodules/twohand500k/README.md) or write a synthetic one "
        "with `data synth twohand500k`"
    )

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        mapping: str | os.PathLike[str] | None = None,
        val_fraction: float = 0.02,
        **options: Any,
    ) -> None:
        super().__init__(root, **options)
        self.mapping = None if mapping is None else Path(mapping).expanduser()
        self.val_fraction = held_out_part(val_fraction)

    def prepare_data(self) -> None:
        """Reads all files once, before any other process needs them."""
        for split in self.sources:
            self.table(split)
        self.models  # noqa: B018

    @cached_property
    def sources(self) -> dict[Split, Source]:
        """The files by part."""
        return find_sources(self.root, self.mapping)

    def table(self, split: Split) -> Table:
        """The pairs of a part of the files."""
        if split not in self._tables:
            made = self._tables[split] = make_table(self.sources[split], self.cache)
            first = next(iter(self._tables.values()))
            if made.conventions != first.conventions:
                raise ValueError(
                    f"{self.sources[split].root} has {made.conventions}, which is not what the other parts have: "
                    f"{first.conventions}. Convert one of them."
                )
        return self._tables[split]

    @cached_property
    def _tables(self) -> dict[Split, Table]:
        return {}

    @cached_property
    def models(self) -> HandModels:
        """Whose parameters they are: a twin's own hand, or MANO as it was when they were made."""
        fix = self.table(next(iter(self.sources))).conventions.left_shapedirs_fix
        models = find_models(self.root, self.mano, fix_left=None if fix else False)
        if models is None:
            raise FileNotFoundError(
                f"{self.root} holds MANO's parameters and nothing else, so that MANO is needed. Give the folder of "
                "MANO_RIGHT.pkl and MANO_LEFT.pkl with --data.mano."
            )
        return models

    def scenes(self, split: Split) -> Scenes:
        part = next((part for part in _wanted(split) if part in self.sources), None)
        if part is None or part == "train":
            return self._from_train(held_out=split != "train")
        table = self.table(part)
        return TwoHandScenes(table, np.arange(len(table)), self.models, pictures_of(self.sources[part]))

    def _from_train(self, *, held_out: bool) -> TwoHandScenes:
        if "train" not in self.sources:
            raise FileNotFoundError(
                f"{self.root} has {', '.join(self.sources)} but no train, which training needs. Change --data.root."
            )
        table = self.table("train")
        last = 0 if "val" in self.sources else max(1, round(len(table) * self.val_fraction))
        if last >= len(table):
            raise ValueError(
                f"{self.root} has {len(table)} pairs, of which {last} are held out: none is left. Set "
                "--data.val_fraction lower or take more data."
            )
        rows = np.arange(len(table))
        rows = rows[len(table) - last :] if held_out else rows[: len(table) - last]
        return TwoHandScenes(table, rows, self.models, pictures_of(self.sources["train"]))


def find_sources(root: Path, mapping: Path | None = None) -> dict[Split, Source]:
    """The files of a folder by part.

    Args:
        root: The folder, or the one above `train`, `val`, `test`.
        mapping: YAML file for other keys; None looks for `mapping.yaml` in the folder.

    Raises:
        FileNotFoundError: Nothing that can be read is there; says what is.
    """
    if mapping is None and (root / MAPPING).is_file():
        mapping = root / MAPPING
    if mapping is not None:
        keys = KeyMapping(mapping)
        return {part: Mapped(root, keys, part) for part in keys.patterns}
    parts = {part: source for part in PARTS if (source := _source(root / part)) is not None}
    whole = _source(root)
    if parts and whole is not None:
        raise ValueError(
            f"{root} has files of its own and in {', '.join(parts)}, and which count is unknown. Move one of the two, "
            "or change --data.root."
        )
    found: dict[Split, Source] = parts if whole is None else {"train": whole}
    if not found:
        names = sorted(path.name for path in root.iterdir())[:12] if root.is_dir() else []
        raise FileNotFoundError(
            f"{root} has neither *.npz shards nor IntagHand's anno/*.pkl, also not in train, val or test. There is "
            f"{', '.join(names) or 'nothing'}. Change --data.root; other files need --data.mapping, a YAML file that "
            "says what their keys mean (datamodules/twohand500k/README.md)."
        )
    return found


def pictures_of(source: Source) -> Path | None:
    """The folder of pictures that belong to pairs: IntagHand's `img`, where it is."""
    folder = source.root / "img"
    return folder if isinstance(source, IntagHand) and folder.is_dir() else None


def _source(folder: Path) -> Source | None:
    shards = sorted(folder.glob("*.npz"))
    pickles = [path for path in (folder / "anno").glob("*.pkl") if path.stem.isdecimal()]
    if shards and pickles:
        raise ValueError(f"{folder} holds both shards and IntagHand's anno. Move one of the two.")
    if pickles:
        return IntagHand(folder, sorted(pickles, key=lambda path: int(path.stem)))
    return Shards(folder, shards) if shards else None


def _wanted(split: Split) -> tuple[Split, ...]:
    """The parts that serve for a split, the best first."""
    return {"train": ("train",), "val": ("val",), "test": ("test", "val"), "predict": ("test", "val")}[split]  # type: ignore[return-value]


def _middle(hand: HandModel, pose: ManoPose) -> FloatArray:
    """(3,) metres, where the base of the middle finger is: about the middle of the hand."""
    import cv2

    rest = hand.rest.numpy()[:, 0] + hand.rest_basis.numpy() @ pose.betas
    turn = cv2.Rodrigues(pose.rotations[0].astype(np.float64))[0]
    middle = turn @ (rest[_MIDDLE] - rest[:3]) + rest[:3] + pose.transl
    return np.asarray(middle, np.float32)


def _hands(poses: dict[int, ManoPose]) -> dict[int, SceneHand]:
    return {side: SceneHand(side, pose=poses[side]) for side in (LEFT, RIGHT) if side in poses}
