"""What InterHand2.6M's evaluations compare with: joints in millimetres, meshes, and which of them count."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.hand_models import pose_hands
from datamodules.interhand.data import fitted_pose, models_of
from datamodules.interhand.files import HAND_TYPES, Fps, Part, find_files
from datamodules.interhand.index import InterHandIndex, Rows, of_whole_hands
from datamodules.scene import BoolArray, FloatArray, HandModels, IntArray
from zoo.hands.skeleton import LEFT, RIGHT

_MILLIMETRES = 1e3  # a metre


@dataclass(frozen=True)
class Truth:
    """Ground truth of n annotations, in their order. `at` are positions among these n: a slice, or an int array.

    Joints are the dataset's own: 42, right hand 0 to 20 and left hand 21 to 41, tips first, wrists 20 and 41
    (`zoo.hands.skeleton.INTERHAND_TO_SNAP` reorders the 21 of one hand). Everything is in the frame of the image's
    camera (x right, y down, z forward) and in millimetres. Hands by side are 0 = left, 1 = right.

    Args:
        index: Where the annotations are.
        rows: (n,) their rows in it.
        models: Whose parameters the fits are; None: there are no meshes.
    """

    index: InterHandIndex
    rows: IntArray
    models: HandModels | None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def annotation_ids(self) -> IntArray:
        """(n,)."""
        return np.asarray(self.index.arrays["annotation_id"][self.rows])

    @cached_property
    def hand_type(self) -> NDArray[Any]:
        """(n,) "right", "left" or "interacting", as labelled."""
        return np.array(HAND_TYPES)[self.index.arrays["hand_type"][self.rows]]

    @cached_property
    def hand_type_valid(self) -> BoolArray:
        """(n,) whether `hand_type` may be scored."""
        return np.asarray(self.index.arrays["hand_type_valid"][self.rows])

    def joints(self, at: Rows) -> NDArray[np.float64]:
        """(m, 42, 3) captured joints; without meaning where `frame_valid` is False."""
        return self.index.joints(self.rows[at])

    def view_valid(self, at: Rows, *, whole_hands: bool = True) -> BoolArray:
        """(m, 42) InterNet's joint validity: `joint_valid` of the image's annotation.

        Args:
            at: Which annotations.
            whole_hands: A hand whose wrist is not valid has no valid joint, as every published loader has it.
        """
        valid = self.index.view_valid(self.rows[at])
        return of_whole_hands(valid) if whole_hands else valid

    def frame_valid(self, at: Rows, *, whole_hands: bool = True) -> BoolArray:
        """(m, 42) InterWild's joint validity: `joint_valid` of the frame in joint_3d.json, whichever camera.

        Args:
            at: Which annotations.
            whole_hands: As in `view_valid`.
        """
        valid = self.index.frame_valid(self.rows[at])
        return of_whole_hands(valid) if whole_hands else valid

    def has_mesh(self, at: Rows) -> BoolArray:
        """(m, 2) by side, whether the frame has MANO parameters of the hand (and the hand models are known)."""
        has = self.index.has_fit(self.rows[at])
        return has if self.models is not None else np.zeros_like(has)

    def vertices(self, at: Rows) -> FloatArray:
        """(m, 2, 778, 3) by side, meshes of the MANO fits; zeros where `has_mesh` is False.

        20 kB an annotation: ask for some thousands at a time.
        """
        rows = self.rows[at]
        out = np.zeros((len(rows), 2, 778, 3), np.float32)
        found = [
            (place, side, pose)
            for place, row in enumerate(rows.tolist())
            for side in (LEFT, RIGHT)
            if (pose := fitted_pose(self.index, self.models, row, side, self.index.camera(row))) is not None
        ]
        if found and self.models is not None:
            places, sides, poses = zip(*found, strict=True)
            out[list(places), list(sides)] = pose_hands(self.models, sides, poses)[0].numpy() * _MILLIMETRES
        return out

    def intrinsics(self, at: Rows) -> FloatArray:
        """(m, 3, 3) pixels."""
        return np.stack([self.index.camera(row).intrinsics for row in self.rows[at].tolist()])

    def boxes(self, at: Rows) -> FloatArray:
        """(m, 4) the stored box: left, top, width, height in pixels, 1.2 times the tight one of the valid joints."""
        return np.asarray(self.index.arrays["bbox"][self.rows[at]])

    def path(self, at: int) -> Path:
        """The image of one annotation."""
        return self.index.path(int(self.rows[at]))


def truth(
    root: Path,
    part: Part,
    annotation_ids: Sequence[int] | IntArray | None = None,
    *,
    mano: Path | None = None,
    cache: Path | None = None,
    fps: Fps = 5,
) -> Truth:
    """Ground truth of annotations of InterHand2.6M.

    Args:
        root: The dataset's folder.
        part: "train", "val" or "test".
        annotation_ids: Which, in which order (`read_ids` reads InterWild's lists); None: all, ordered by id.
        mano: Folder of MANO_RIGHT and MANO_LEFT; without it only twins have meshes.
        cache: Folder for the index; None is the user's cache.
        fps: See `find_files`.

    Raises:
        FileNotFoundError: The part's annotations are not there.
        ValueError: An id is not among them.
    """
    index = InterHandIndex(find_files(Path(root), part, fps), cache)
    rows = np.arange(len(index)) if annotation_ids is None else index.rows(annotation_ids)
    return Truth(index, rows, models_of(Path(root), mano))
