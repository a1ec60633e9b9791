"""HO-3D v2 and v3 as published, read unmodified; converted to OpenCV's camera and SNAP-21 order on the way in."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.base import FolderData, held_out_part
from datamodules.hand_models import find_models, moved, say_no_mesh
from datamodules.ho3d.files import EVAL_SOURCE, SIZE, TIPS, HO3DPart
from datamodules.ho3d.masks import Masks
from datamodules.photos import of_size, read_photo
from datamodules.scene import BoolArray, ByteArray, HandModels, IntArray, ManoPose, Scene, SceneHand, Scenes, Split
from zoo.hands.skeleton import MANO_TIPS_TO_SNAP, RIGHT, WRIST

FLIP = np.diag((1.0, -1.0, -1.0)).astype(np.float32)  # OpenGL's camera to OpenCV's: half a turn about x
_ORDER = list(MANO_TIPS_TO_SNAP)
_HERE = np.zeros(3, np.float32)
_ROOT_ONLY = np.arange(21) == WRIST


class HO3DScenes(Scenes):
    """Frames of one part.

    Args:
        part: Where they are.
        rows: Which frames of its list, (n,).
        models: Whose parameters the labels are, where they are known.
        margin: Side of a crop over the longer side of the published box of an evaluation frame.
    """

    def __init__(self, part: HO3DPart, rows: IntArray, models: HandModels | None = None, margin: float = 1.5) -> None:
        self.part = part
        self.rows = rows
        self.models = models
        self.margin = margin
        self.masks = Masks(part)

    def __len__(self) -> int:
        return len(self.rows)

    def sides(self) -> BoolArray:
        return np.tile(np.arange(2) == RIGHT, (len(self), 1))

    def read(self, index: int, *, image: bool = True, mask: bool = False) -> Scene:
        row = int(self.rows[index])
        name = self.part.name(row)
        return Scene(
            index=index,
            size=SIZE,
            intrinsics=np.array(self.part.table["camera"][row]),
            hands={RIGHT: self._hand(row) if self.part.part == "train" else self._evaluated(row)},
            image=self.picture(index) if image else None,
            mask=self.masks.read(name) if mask else None,
            name=f"{self.part.part}/{name}",
        )

    def picture(self, index: int) -> ByteArray:
        path = self.part.image(self.part.name(int(self.rows[index])))
        return of_size(read_photo(path), SIZE, path)

    def _hand(self, row: int) -> SceneHand:
        """A training frame's; its crop goes around its joints."""
        labels = self.part.table[row]
        pose = None
        if self.models is not None:
            stored = ManoPose(labels["pose"].reshape(16, 3).copy(), labels["betas"].copy(), labels["transl"])
            pose = moved(self.models[RIGHT], stored, FLIP, _HERE)
        return SceneHand(RIGHT, joints=labels["joints"][_ORDER] @ FLIP, pose=pose)

    def _evaluated(self, row: int) -> SceneHand:
        """An evaluation frame's: the root, or all that the published labels say; its crop is the published box."""
        labels = self.part.table[row]
        corners = labels["box"].reshape(2, 2)
        half = self.margin * (corners[1] - corners[0]) / 2
        box = np.concatenate((corners.mean(0) - half, corners.mean(0) + half))
        truth = self.part.truth
        if "xyz" not in truth:
            return SceneHand(RIGHT, joints=labels["joints"] @ FLIP, joints_valid=_ROOT_ONLY, box=box)
        vertices = truth["verts"][row] @ FLIP if "verts" in truth else None
        return SceneHand(RIGHT, vertices=vertices, joints=truth["xyz"][row][_ORDER] @ FLIP, box=box)


class HO3D(FolderData):
    """HO-3D version 2 or 3: right hands that hold an object, 66,034 or 83,325 training frames (Hampali et al. 2020).

    Hands are MANO parameters and joints of the kinematic tree; meshes need MANO (`mano`). Validation and test are the
    evaluation part when its labels are there; otherwise whole recordings are kept out of training for validation.

    Args:
        root: Folder that holds `train/`, `evaluation/`, `train.txt` and `evaluation.txt`.
        eval_root: Folder of evaluation_xyz.json and evaluation_verts.json; None looks in `root`.
        val_fraction: Part of the training frames that is held out, at least, when there are no evaluation labels.
        options: Of `FolderData`.
    """

    title = "HO-3D"
    source = "HO3D_v3 or HO3D_v2 from its authors' page"

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        eval_root: str | os.PathLike[str] | None = None,
        val_fraction: float = 0.05,
        **options: Any,
    ) -> None:
        super().__init__(root, **options)
        self.eval_root = None if eval_root is None else Path(eval_root).expanduser()
        self.val_fraction = held_out_part(val_fraction)

    def prepare_data(self) -> None:
        """Reads the label files once, before any other process needs them."""
        evaluation = self.evaluation
        if evaluation is not None:
            evaluation.file  # noqa: B018
            evaluation.check_truth()
        if evaluation is None or (self.root / "train.txt").is_file():
            self.training.file  # noqa: B018

    @cached_property
    def training(self) -> HO3DPart:
        """The training part."""
        return HO3DPart(self.root, "train", cache=self.cache)

    @cached_property
    def evaluation(self) -> HO3DPart | None:
        """The evaluation part, or None where there is none."""
        if self.eval_root is not None and not (self.eval_root / "evaluation_xyz.json").is_file():
            raise FileNotFoundError(f"{self.eval_root / 'evaluation_xyz.json'} is not there. {EVAL_SOURCE}.")
        if not (self.root / "evaluation.txt").is_file():
            return None
        return HO3DPart(self.root, "evaluation", self.eval_root, self.cache)

    @property
    def tips(self) -> tuple[int, ...] | None:
        """The vertices that the labels use as thumb to pinky tip; a twin's are its own hand's."""
        return TIPS if self.models is None else self.models[RIGHT].tips

    @cached_property
    def models(self) -> HandModels | None:
        """Whose parameters the labels are: a twin's own hand, or MANO where it was given."""
        return find_models(self.root, self.mano, TIPS)

    def scenes(self, split: Split) -> Scenes:
        evaluation = self.evaluation
        labelled = evaluation is not None and "xyz" in evaluation.truth
        if evaluation is not None and (split == "predict" or (split in ("val", "test") and labelled)):
            evaluation.check_truth()
            return self._of(evaluation, evaluation.rows)
        if split in ("test", "predict"):
            lack = f"evaluation.txt is not there. Get {self.source}" if evaluation is None else EVAL_SOURCE
            raise FileNotFoundError(f"{self.root} cannot be used for {split}: {lack}.")
        rows = self.training.rows
        if not labelled:
            rows = split_recordings(self.training, self.val_fraction)[split == "val"]
        if self.models is None:
            say_no_mesh(self.root)
        return self._of(self.training, rows)

    def _of(self, part: HO3DPart, rows: IntArray) -> HO3DScenes:
        if self.images:
            part.check_images()
        return HO3DScenes(part, rows, self.models, self.margin)


def split_recordings(part: HO3DPart, fraction: float) -> tuple[IntArray, IntArray]:
    """Rows for training and rows that are held out: whole recordings, the shortest first, until they are enough.

    A recording is every sequence whose name differs in the last digit alone: those are cameras that saw the same hand.

    Args:
        part: The training part.
        fraction: Of the frames, at least, to hold out.
    """
    rows = part.rows
    names = np.array([part.name(int(row)).partition("/")[0] for row in rows])
    recordings = np.array([name[:-1] if name[-1].isdigit() else name for name in names])
    found, counts = np.unique(recordings, return_counts=True)
    order = np.argsort(counts, kind="stable")
    enough = int(np.searchsorted(np.cumsum(counts[order]), fraction * len(rows))) + 1
    if enough >= len(found):
        raise ValueError(
            f"{part.root} has {len(found)} recordings ({', '.join(found[:5])}), of which {enough} would be held out: "
            "none is left. Set --data.val_fraction lower or take more data."
        )
    late = np.isin(recordings, found[order[:enough]])
    return rows[~late], rows[late]
