"""InterHand2.6M as published, read unmodified: version 1.0, at 5 or 30 frames a second."""

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datamodules.base import FolderData
from datamodules.hand_models import absolute, find_models, is_twin, moved, say_no_mesh
from datamodules.interhand.files import HAND_TYPES, PARTS, Fps, Part, find_files, parts_of
from datamodules.interhand.index import Camera, InterHandIndex, of_whole_hands
from datamodules.photos import of_size, read_photo
from datamodules.scene import BoolArray, ByteArray, HandModels, IntArray, ManoPose, Scene, SceneHand, Scenes, Split
from zoo.hands.skeleton import INTERHAND_TO_SNAP, LEFT, RIGHT

Hands = Literal["all", "single", "interacting"]
TIPS = (745, 317, 445, 556, 673)  # vertices of MANO that are thumb to pinky tip in InterHand2.6M, of both hands
JOINTS_OF = {RIGHT: np.array(INTERHAND_TO_SNAP), LEFT: np.array(INTERHAND_TO_SNAP) + 21}  # SNAP-21 of the 42
METRES = 1e-3  # a millimetre
_BLOCK = 1 << 16  # rows looked at together


class InterHandScenes(Scenes):
    """Images of one part. A hand is in its scene if enough of its joints are seen, whatever the picture is labelled.

    Args:
        index: Their annotations.
        models: Whose parameters the dataset stores; None leaves poses out.
        hands: Pictures labelled as of one hand, as of interacting hands, or all.
        min_joints: How many joints of a hand must be valid in space and seen.
        subset: A file with one annotation id a line, to which the scenes are limited.
    """

    def __init__(
        self,
        index: InterHandIndex,
        models: HandModels | None = None,
        *,
        hands: Hands = "all",
        min_joints: int = 4,
        subset: Path | None = None,
    ) -> None:
        self.index = index
        self.models = models
        self.hands = hands
        self.min_joints = min_joints
        self.subset = subset

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "rows"}  # workers find them themselves

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def rows(self) -> IntArray:
        """The row of each scene in the index."""
        rows = np.arange(len(self.index)) if self.subset is None else self.index.rows(read_ids(self.subset))
        if self.hands != "all":
            interacting = self.index.arrays["hand_type"][rows] == HAND_TYPES.index("interacting")
            rows = rows[interacting == (self.hands == "interacting")]
        if not len(rows):
            raise ValueError(
                f"{self.index.files.data[0]}: of {len(self.index)} annotations none is left for --data.hands "
                f"{self.hands}{'' if self.subset is None else f' and {self.subset}'}. Ask for others."
            )
        return rows

    def sides(self) -> BoolArray:
        blocks = range(0, len(self.rows), _BLOCK)
        return np.concatenate([self._there(self.rows[start : start + _BLOCK]) for start in blocks])

    def read(self, index: int, *, image: bool = True, mask: bool = False) -> Scene:
        row = int(self.rows[index])
        camera = self.index.camera(row)
        size = (int(self.index.arrays["height"][row]), int(self.index.arrays["width"][row]))
        there = self._there(np.array([row]))[0]
        return Scene(
            index=index,
            size=size,
            intrinsics=camera.intrinsics,
            hands={side: self._hand(row, side, camera) for side in (LEFT, RIGHT) if there[side]},
            image=self.picture(index) if image else None,
            name=f"{self.index.files.part}/{self.index.name(row)}",
        )

    def picture(self, index: int) -> ByteArray:
        row = int(self.rows[index])
        height, width = int(self.index.arrays["height"][row]), int(self.index.arrays["width"][row])
        path = self.index.path(row)
        return of_size(read_photo(path), (height, width), path)

    def _there(self, rows: IntArray) -> BoolArray:
        """(m, 2) left and right: enough joints are seen; or nothing is known of them, but a fit and the label are."""
        known = of_whole_hands(self.index.frame_valid(rows))
        seen = known & self.index.view_valid(rows)
        hand_type = self.index.arrays["hand_type"][rows]
        out = np.zeros((len(rows), 2), np.bool_)
        for side, joints in JOINTS_OF.items():
            named = hand_type != HAND_TYPES.index("right" if side == LEFT else "left")
            fitted = (self.models is not None) & named & self.index.has_fit(rows)[:, side] & ~known[:, joints].any(1)
            out[:, side] = (seen[:, joints].sum(1) >= self.min_joints) | fitted
        return out

    def _hand(self, row: int, side: int, camera: Camera) -> SceneHand:
        rows = np.array([row])
        known = of_whole_hands(self.index.frame_valid(rows))[0, JOINTS_OF[side]]
        seen = known & self.index.view_valid(rows)[0, JOINTS_OF[side]]
        joints = np.where(known[:, None], self.index.joints(rows)[0, JOINTS_OF[side]] * METRES, 0).astype(np.float32)
        rays = np.where(known[:, None], joints, np.array((0, 0, 1), np.float32)) @ camera.intrinsics.T
        labelled = bool(known.any())
        return SceneHand(
            side,
            joints=joints if labelled else None,
            joints_valid=known if labelled else None,
            joints2d=rays[:, :2] / rays[:, 2:] if labelled else None,
            joints2d_valid=seen if labelled else None,
            pose=fitted_pose(self.index, self.models, row, side, camera),
        )


def models_of(root: Path, mano: Path | None) -> HandModels | None:
    """Whose parameters the dataset in a folder stores; MANO's left hand has its shape directions mirrored.

    Args:
        root: The dataset's folder.
        mano: Folder of MANO_RIGHT and MANO_LEFT, or None.
    """
    return find_models(root, mano, TIPS)


def fitted_pose(
    index: InterHandIndex, models: HandModels | None, row: int, side: int, camera: Camera
) -> ManoPose | None:
    """MANO's parameters of a hand in the frame of a camera; None where there are none or the model is not known.

    Args:
        index: Of the hand's part.
        models: Whose parameters they are.
        row: Of the index.
        side: 0 = left, 1 = right.
        camera: Of the row.
    """
    if models is None or not index.has_fit(np.array([row]))[0, side]:
        return None
    numbers = index.fit(row, side)
    pose = ManoPose(absolute(models[side], numbers[:48]), numbers[48:58], numbers[58:])
    rotation = camera.rotation.astype(np.float32)
    return moved(models[side], pose, rotation, (-camera.rotation @ camera.position * METRES).astype(np.float32))


def read_ids(path: Path) -> IntArray:
    """The annotation ids in a text file, one a line."""
    try:
        text = path.read_text()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is not there. Give a file with one annotation id a line.") from error
    try:
        return np.array([int(line) for line in text.split()], np.int64)
    except ValueError as error:
        raise ValueError(f"{path} is not one annotation id a line ({error}). Give another file.") from error


class InterHand(FolderData):
    """InterHand2.6M: two interacting or single hands from many cameras (Moon et al. 2020).

    Validation is its `val` part, test and prediction its `test` part.

    Args:
        root: Folder that holds `images/` and `annotations/`.
        fps: Which annotations to take where both releases are in one folder.
        hands: Pictures labelled as of one hand, as of interacting hands, or all.
        min_joints: How many joints of a hand must be valid and seen for it to be used; a hand without its wrist has
            none.
        subsets: By split, a text file with one annotation id a line; the split is limited to these.
        options: Of `FolderData`.
    """

    title = "InterHand2.6M"
    source = "version 1.0 (images and annotations) from the authors' page"

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        fps: Fps = 5,
        hands: Hands = "all",
        min_joints: int = 4,
        subsets: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(root, **options)
        if not 1 <= min_joints <= 21:
            raise ValueError(f"min_joints={min_joints}: a hand has 21 joints. Set --data.min_joints from 1 to 21.")
        if unknown := set(subsets or ()) - {"train", "val", "test", "predict"}:
            raise ValueError(
                f"subsets names {', '.join(sorted(unknown))}, which is no split. Name train, val, test or predict."
            )
        self.fps = fps
        self.hands = hands
        self.min_joints = min_joints
        self.subsets = {split: Path(path).expanduser() for split, path in (subsets or {}).items()}

    def prepare_data(self) -> None:
        """Indexes the annotations once, before any other process needs them."""
        for part in parts_of(self.root) or PARTS:
            self.index(part).folder  # noqa: B018

    def index(self, part: Part) -> InterHandIndex:
        """The annotations of a part."""
        return InterHandIndex(find_files(self.root, part, self.fps), self.cache)

    @property
    def tips(self) -> tuple[int, ...] | None:
        """The vertices of MANO that the labels use as thumb to pinky tip; a twin uses its own hand's."""
        return None if is_twin(self.root) else TIPS

    @cached_property
    def models(self) -> HandModels | None:
        """Whose parameters the dataset stores: a twin's own hand, or MANO where it was given."""
        return models_of(self.root, self.mano)

    def scenes(self, split: Split) -> InterHandScenes:
        index = self.index("test" if split == "predict" else split)
        if self.models is None and index.files.mano is not None:
            say_no_mesh(self.root)
        return InterHandScenes(
            index, self.models, hands=self.hands, min_joints=self.min_joints, subset=self.subsets.get(split)
        )
