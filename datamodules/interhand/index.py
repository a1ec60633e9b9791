"""InterHand2.6M's annotations by number: memory-mapped, so that a start takes no time and workers share their pages."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from datamodules.cached import keep
from datamodules.interhand.files import HAND_TYPES, Files
from datamodules.interhand.indexer import JOINTS, NAME, write_index
from datamodules.scene import BoolArray, FloatArray, IntArray

Rows = IntArray | slice
ROOTS = {0: 41, 1: 20}  # the wrist of each side among the 42 joints
_VERSION = "2"  # of what is written


class Camera(NamedTuple):
    """X_camera = rotation @ (X_world - position), then pixels as `intrinsics` says."""

    rotation: NDArray[np.float64]  # (3, 3)
    position: NDArray[np.float64]  # (3,) millimetres
    intrinsics: FloatArray  # (3, 3) pixels


class InterHandIndex:
    """The annotations of one part, ordered by their ids. A row is an annotation together with its image.

    Args:
        files: Of that part; they are read on first use, and again only when they changed.
        cache: Folder for the index; None is the user's cache.
        progress: Shows bars while files are read.
    """

    def __init__(self, files: Files, cache: Path | None = None, *, progress: bool = True) -> None:
        self.files = files
        self.cache = cache
        self.progress = progress

    def __getstate__(self) -> dict[str, object]:
        return {name: vars(self)[name] for name in ("files", "cache", "progress")}  # workers map the arrays themselves

    def __len__(self) -> int:
        return len(self.arrays["annotation_id"])

    @cached_property
    def folder(self) -> Path:
        """Where the arrays are."""
        stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in self.files.all]
        return keep(
            self._write,
            cache=self.cache,
            kind="interhand",
            stem=self.files.part,
            source=self.files.data[0].resolve(),
            state=f"{_VERSION} {stats}",
            told=(f"The index of {self.files.data[0]}", "about a tenth of the file's size"),
        )

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Columns by name, mapped read-only."""
        return {path.stem: np.load(path, mmap_mode="r") for path in self.folder.glob("*.npy")}

    @cached_property
    def tables(self) -> dict[str, Any]:
        """`cameras`: capture and name of each; `seqs`: names; `images`: how many were listed."""
        return orjson.loads((self.folder / "tables.json").read_bytes())

    def rows(self, annotation_ids: Sequence[int] | IntArray) -> IntArray:
        """The rows of annotations.

        Raises:
            ValueError: One is not there.
        """
        wanted, ids = np.asarray(annotation_ids, np.int64), self.arrays["annotation_id"]
        places = np.searchsorted(ids, wanted)
        found = places < len(ids)
        found[found] = ids[places[found]] == wanted[found]
        if not found.all():
            raise ValueError(
                f"Annotation {wanted[~found][0]} (and {int((~found).sum()) - 1} more) is not in {self.files.data[0]}. "
                f"Take ids of the {self.files.part} part and of its frame rate."
            )
        return places

    def path(self, row: int) -> Path:
        """The image of a row."""
        return self.files.images / self.name(row)

    def name(self, row: int) -> str:
        """The image of a row as the annotations name it; by rule, except where they do not follow it."""
        number = int(self.arrays["name"][row])
        if number >= 0:
            start, end = self.arrays["name_end"][number : number + 2].tolist()
            return bytes(self.arrays["name_text"][start:end]).decode()
        capture, camera = self.tables["cameras"][self.arrays["camera"][row]]
        seq = self.tables["seqs"][self.arrays["seq"][row]]
        return NAME.format(capture, seq, camera, self.arrays["frame_number"][row])

    def hand_type(self, row: int) -> str:
        """`right`, `left` or `interacting`, as labelled."""
        return HAND_TYPES[self.arrays["hand_type"][row]]

    def camera(self, row: int) -> Camera:
        """The camera of a row.

        Raises:
            ValueError: It has no numbers.
        """
        number = int(self.arrays["camera"][row])
        if not self.arrays["camera_known"][number]:
            capture, name = self.tables["cameras"][number]
            raise ValueError(
                f"{self.files.camera} has no camera {name} of capture {capture}, but {self.name(row)} was taken with "
                "it. Unpack the annotations again or change --data.root."
            )
        intrinsics = np.eye(3, dtype=np.float32)
        intrinsics[[0, 1], [0, 1]] = self.arrays["focal"][number]
        intrinsics[:2, 2] = self.arrays["princpt"][number]
        return Camera(self.arrays["camrot"][number], self.arrays["campos"][number], intrinsics)

    def joints(self, rows: Rows) -> NDArray[np.float64]:
        """(m, 42, 3) millimetres in the frame of each row's camera, right hand first; nonsense where not valid."""
        camera = self.arrays["camera"][rows]
        world = self.arrays["world"][self.arrays["frame"][rows]] - self.arrays["campos"][camera][:, None]
        return np.einsum("nij,nkj->nki", self.arrays["camrot"][camera], world)

    def view_valid(self, rows: Rows) -> BoolArray:
        """(m, 42) whether the annotation of the image calls a joint valid: known, and seen by this camera."""
        return _flags(self.arrays["view_valid"][rows])

    def frame_valid(self, rows: Rows) -> BoolArray:
        """(m, 42) whether the 3D label of the frame calls a joint valid, whichever camera."""
        frame = self.arrays["frame"][rows]
        return _flags(self.arrays["frame_valid"][frame]) & (frame >= 0)[:, None]

    def has_fit(self, rows: Rows) -> BoolArray:
        """(m, 2) whether MANO's parameters of the left (0) and the right (1) hand are there."""
        frame = self.arrays["frame"][rows]
        return np.asarray(self.arrays["has_mano"][frame] & (frame >= 0)[:, None])

    def fit(self, row: int, side: int) -> FloatArray:
        """(61,) pose, shape, translation in the world frame, metres; pose relative to MANO's mean pose."""
        return np.array(self.arrays["mano"][self.arrays["frame"][row], side])

    def _write(self, draft: Path) -> None:
        draft.mkdir()
        write_index(self.files, draft, progress=self.progress)


def of_whole_hands(valid: BoolArray) -> BoolArray:
    """(m, 42) joint validity where a hand without a valid wrist has no valid joint: every published loader's rule."""
    wrists = np.repeat(valid[:, [ROOTS[1], ROOTS[0]]], JOINTS // 2, axis=1)
    return valid & wrists


def _flags(packed: NDArray[np.uint8]) -> BoolArray:
    return np.unpackbits(packed, axis=1, count=JOINTS).astype(np.bool_)
