"""AttentionHand's folders as scenes: photographs, pictures of the hands in them as meshes, and a sentence each."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from datamodules.attentionhand.files import MODALITIES, AttentionHandFolder, file_id, read_sentence
from datamodules.attentionhand.labels import read_labels
from datamodules.base import FolderData, held_out_part
from datamodules.hand_models import find_models, say_no_mesh
from datamodules.photos import photo_size, read_photo
from datamodules.scene import BoolArray, ByteArray, FloatArray, HandModels, IntArray, Scene, Scenes, Split

TRAINING, INFERENCE = "data", "samples"  # where the authors' code expects them, in the folder that it runs in


class AttentionHandScenes(Scenes):
    """Rows of a folder. Hands are those that a row has labels of: none in what the authors published.

    A picture of meshes does not say which hand is left, so nothing is made up: such a scene has `mesh_image` and no
    `hands`, and `mesh_boxes.local_box` finds where they are. Its camera is made up, and no label hangs on it.

    Args:
        folder: Where they are.
        numbers: Of the rows, (n,).
        models: Whose parameters the labels have, where they are known.
    """

    def __init__(self, folder: AttentionHandFolder, numbers: IntArray, models: HandModels | None = None) -> None:
        self.folder = folder
        self.numbers = numbers
        self.models = models

    def __len__(self) -> int:
        return len(self.numbers)

    def sides(self) -> BoolArray:
        return self.folder.facts.sides[self.numbers]

    def read(self, index: int, *, image: bool = True, mask: bool = False) -> Scene:
        """Reads a scene; `image` is both the photograph and the picture of the meshes, `mask` is never there."""
        number = int(self.numbers[index])
        row = self.folder.row(number)
        camera, hands = read_labels(row.get("labels"), self.folder.where(number))
        path = self.folder.find("rgb" if "rgb" in row else "mesh", row.get("rgb", row["mesh"]))
        photo = read_photo(path) if image and "rgb" in row else None
        meshes = read_photo(self.folder.find("mesh", row["mesh"])) if image else None
        first = photo if photo is not None else meshes
        size = photo_size(path) if first is None else first.shape[:2]
        return Scene(
            index=index,
            size=size,
            intrinsics=nominal_camera(size) if camera is None else camera,
            hands=hands,
            image=photo,
            caption=read_sentence(self.folder.find("text", row["text"])),
            mesh_image=None if meshes is None else _fitted(meshes, size),
            name=file_id(row["text"]),
        )

    def picture(self, index: int) -> ByteArray | None:
        row = self.folder.row(int(self.numbers[index]))
        return read_photo(self.folder.find("rgb", row["rgb"])) if "rgb" in row else None


def nominal_camera(size: tuple[int, int]) -> FloatArray:
    """(3, 3) the camera of a picture whose own is not known: focal length of the longer side, centred.

    Args:
        size: Height and width, pixels.
    """
    height, width = size
    focal = max(size)
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]], np.float32)


def split_rows(folder: AttentionHandFolder, val_fraction: float, seed: int) -> tuple[IntArray, IntArray]:
    """Rows to train on and rows held out, of those that have a photograph.

    Which are held out hangs on the seed and on their file ids alone: rows of one id stay together, and a folder that
    grows keeps what it has, but for the few that make up the fraction.

    Args:
        folder: Of rows.
        val_fraction: Part of the file ids that is held out; at least one is.
        seed: Other seeds hold out others.
    """
    facts = folder.facts
    rows = np.flatnonzero(facts.pictured)
    if not len(rows):
        raise FileNotFoundError(
            f'{folder.path}: none of its {len(folder)} lines has "rgb", so there is nothing to train on or to validate '
            f"with. Use it with predict (data draw: --split predict), or pass a folder of photographs with --data.root."
        )
    odd = np.random.default_rng(seed).integers(0, 2**63, 2, np.uint64) * np.uint64(2) + np.uint64(1)
    keys = (facts.ids[rows] * odd).sum(1)  # as good as random, and the same whatever else is in the folder
    names, group = np.unique(keys, return_inverse=True)
    held_out = max(1, round(len(names) * val_fraction))
    if held_out >= len(names):
        raise ValueError(
            f"{folder.path} has {len(names)} examples, of which {held_out} are held out: none is left. Set "
            "--data.val_fraction lower or take more data."
        )
    return rows[group >= held_out], rows[group < held_out]


class AttentionHandData(FolderData):
    """Folders as AttentionHand's code reads them: its own data, or pictures that a data factory made.

    Args:
        root: Folder of a `modalities.json`, or the one above its `data` (training) and `samples` (to predict).
        val_fraction: Part of the examples that is held out for validation and test.
        val_seed: Other seeds hold out others.
        options: Of `FolderData`.
    """

    title = "AttentionHand"
    source = "the data set that its authors' repository links to, or write one with `data synth attentionhand`"

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        val_fraction: float = 0.05,
        val_seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(root, **options)
        self.val_fraction = held_out_part(val_fraction)
        self.val_seed = val_seed

    def prepare_data(self) -> None:
        """Reads every line once, so that a wrong one is told before training starts."""
        self.folder("train" if (part_of(self.root, "train") / MODALITIES).is_file() else "predict").facts  # noqa: B018

    def folder(self, split: Split) -> AttentionHandFolder:
        """The rows of a split, before any is held out."""
        return self._predict if split == "predict" else self._train

    @cached_property
    def _train(self) -> AttentionHandFolder:
        return AttentionHandFolder(part_of(self.root, "train"))

    @cached_property
    def _predict(self) -> AttentionHandFolder:
        return AttentionHandFolder(part_of(self.root, "predict"))

    @cached_property
    def models(self) -> HandModels | None:
        """Whose parameters the labels have: a twin's or a factory's own hand, or MANO where it was given."""
        return find_models(self.root, self.mano)

    def scenes(self, split: Split) -> Scenes:
        folder = self.folder(split)
        if folder.facts.posed.any() and self.models is None:
            say_no_mesh(self.root)
        if split == "predict":
            return AttentionHandScenes(folder, np.arange(len(folder)), self.models)
        train, held_out = split_rows(folder, self.val_fraction, self.val_seed)
        return AttentionHandScenes(folder, train if split == "train" else held_out, self.models)


def part_of(root: Path, split: Split) -> Path:
    """The folder of a split: the one given, or the one in it that the authors' code reads.

    Args:
        root: What the user gave.
        split: Training rows are in `data`, those to predict in `samples`, or in `data` where there are none.
    """
    if (root / MODALITIES).is_file():
        return root
    parts = (INFERENCE, TRAINING) if split == "predict" else (TRAINING,)
    return next((root / part for part in parts if (root / part / MODALITIES).is_file()), root)


def _fitted(meshes: ByteArray, size: tuple[int, int]) -> ByteArray:
    """The picture of the meshes in the size of the photograph: the authors stretch both to one square."""
    height, width = size
    if meshes.shape[:2] == (height, width):
        return meshes
    return np.asarray(cv2.resize(meshes, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
