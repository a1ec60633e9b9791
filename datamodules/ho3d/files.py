"""The files of HO-3D's layout, versions 2 and 3: which frames a part has, where each file of a frame is.

Hampali et al. 2020, https://github.com/shreyashampali/ho3d. `train.txt` and `evaluation.txt` say which frames there are
and in what order: folders hold more, frames without labels among them. Version 2 has PNG images, version 3 JPEG.
"""

import logging
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from datamodules.ho3d.metas import Part, Table, read_metas
from datamodules.json_arrays import JsonArray
from datamodules.photos import missing
from datamodules.report import listed
from datamodules.scene import FloatArray, IntArray

Version = Literal["v2", "v3"]
SUFFIXES: dict[Version, str] = {"v2": ".png", "v3": ".jpg"}
SIZE = 480, 640  # of every image, pixels
TIPS = 744, 333, 444, 555, 672  # vertices of MANO that the labels use as thumb to pinky tip
LABELS: dict[str, tuple[int, ...]] = {"xyz": (21, 3), "verts": (778, 3)}
EVAL_SOURCE = (
    "evaluation_xyz.json and evaluation_verts.json are a download of their own (November 2024): put them into the "
    "dataset's folder or pass their folder with --data.eval_root"
)
_FRAME = re.compile(r"[^/\\\s]+/\d{4,}")
_NAMED = re.compile(r"HO-?3D_(v[23])", re.IGNORECASE)


class EvaluationTruth(NamedTuple):
    """What HO-3D's evaluation frames are scored against, as the files say it.

    Args:
        names: (n,) `SEQUENCE/0123`, in the order of evaluation.txt, in which predictions are handed in.
        xyz: (n, 21, 3) joints, metres, OpenGL camera (y up, negative z), MANO's order with the tips last.
        verts: (n, 778, 3) meshes of MANO, metres, the same camera, or None where they are not there.
        version: `v2` or `v3`.
    """

    names: list[str]
    xyz: FloatArray
    verts: FloatArray | None
    version: Version


def evaluation_truth(root: Path, eval_root: Path | None = None, cache: Path | None = None) -> EvaluationTruth:
    """The published evaluation labels, unconverted: for scoring as the dataset's authors do.

    To compare ours (SNAP-21, OpenCV) with them: `ours[:, SNAP_TO_MANO_TIPS] * (1, -1, -1)`.

    Args:
        root: The dataset's folder.
        eval_root: Folder of the label files; None is `root`.
        cache: Folder for parsed label files; None is the user's cache.

    Returns:
        Arrays that are mapped into memory, read-only.

    Raises:
        FileNotFoundError: There are no such labels, or no evaluation.txt.
        ValueError: They are damaged or belong to another version of the dataset.
    """
    part = HO3DPart(root, "evaluation", eval_root, cache)
    if "xyz" not in part.truth:
        raise FileNotFoundError(f"{part.paths['xyz']} is not there. {EVAL_SOURCE}.")
    part.check_truth()
    verts = part.truth["verts"].array if "verts" in part.truth else None
    return EvaluationTruth(part.names, part.truth["xyz"].array, verts, part.version)


class HO3DPart:
    """The files of the training or the evaluation part.

    Args:
        root: The dataset's folder.
        part: `train` or `evaluation`.
        labels: Folder of the evaluation labels; None is `root`.
        cache: Folder for tables of labels; None is the user's cache.
    """

    def __init__(self, root: Path, part: Part, labels: Path | None = None, cache: Path | None = None) -> None:
        self.root = Path(root)
        self.part = part
        self.cache = cache
        self.list = self.root / f"{part}.txt"
        if not self.list.is_file():
            inner = sorted(path.parent for path in self.root.glob(f"*/{part}.txt"))
            raise FileNotFoundError(
                f"{self.list} is not there, but HO-3D lists its {part} frames in it. "
                + (
                    f"Pass --data.root {inner[-1]}, which has it."
                    if inner
                    else "Unpack HO3D_v3 or HO3D_v2 (from its authors' page) and pass its folder with --data.root."
                )
            )
        folder = Path(labels or root)
        self.paths = {kind: folder / f"evaluation_{kind}.json" for kind in LABELS}
        self.truth = {
            kind: JsonArray(path, LABELS[kind], cache)
            for kind, path in self.paths.items()
            if part == "evaluation" and path.is_file()
        }

    def __getstate__(self) -> dict[str, object]:
        """What a loader's worker needs: where the table is, not what it says."""
        self.file  # noqa: B018
        return {name: value for name, value in vars(self).items() if name not in ("table", "names", "rows")}

    @cached_property
    def names(self) -> list[str]:
        """`SEQUENCE/0123` of each frame, in the published order."""
        names = self.list.read_text("utf-8", errors="replace").split()
        wrong = next((i for i, name in enumerate(names) if not _FRAME.fullmatch(name)), None)
        if wrong is not None:
            raise ValueError(
                f"{self.list}: entry {wrong + 1} of {len(names)} is {names[wrong]!r}, not SEQUENCE/0123: the file is "
                "cut short or another one. Unpack it again or change --data.root."
            )
        if not names:
            raise ValueError(f"{self.list} lists no frames. Unpack the archive again or change --data.root.")
        return names

    def folder(self, name: str, kind: str) -> Path:
        """Where the files of a kind of a frame's sequence are; `kind` is rgb, meta or seg."""
        return self.root / self.part / name.partition("/")[0] / kind

    def name(self, row: int) -> str:
        """The name of a frame, from the table."""
        return bytes(self.table["name"][row]).decode()

    @cached_property
    def file(self) -> Path:
        """The table of labels; it is made when it is not there."""
        paths = [self.folder(name, "meta") / f"{name.rpartition('/')[2]}.pkl" for name in self.names]
        return read_metas(paths, self.names, self.part, cache=self.cache, source=self.list)

    @cached_property
    def table(self) -> Table:
        """A row for each frame of the list, mapped into memory; columns: `name`, `labelled` and `metas.SHAPES`."""
        return np.load(self.file, mmap_mode="r")

    @cached_property
    def rows(self) -> IntArray:
        """Rows of frames that have labels, (n,).

        Raises:
            FileNotFoundError: An evaluation frame has none; training frames are left out with a warning.
        """
        labelled = np.array(self.table["labelled"])
        without = np.flatnonzero(~labelled)
        if not len(without):
            return np.arange(len(labelled))
        first = self.name(int(without[0]))
        path = self.folder(first, "meta") / f"{first.rpartition('/')[2]}.pkl"
        what = f"{len(without)} of {len(labelled)} frames of {self.list} have no labels: {path}"
        if self.part == "evaluation" or len(without) == len(labelled):
            raise FileNotFoundError(
                f"{what} is not there or says None. Unpack the archive again or change --data.root."
            )
        logging.getLogger("zoo").warning("%s and on; they are left out.", what)
        return np.flatnonzero(labelled)

    @cached_property
    def version(self) -> Version:
        """`v2` (PNG) or `v3` (JPEG), by the folder's name or else by the images."""
        if named := _NAMED.search(self.root.resolve().name):
            return "v2" if named[1].lower() == "v2" else "v3"
        first = self.names[0]
        path = self.folder(first, "rgb") / f"{first.rpartition('/')[2]}.png"
        return "v2" if path.is_file() else "v3"

    def image(self, name: str) -> Path:
        """The image of a frame; one of the other version's kind if only that is there."""
        stem = self.folder(name, "rgb") / name.rpartition("/")[2]
        own = stem.with_suffix(SUFFIXES[self.version])
        other = stem.with_suffix(SUFFIXES["v3" if self.version == "v2" else "v2"])
        return own if own.is_file() or not other.is_file() else other

    @cached_property
    def without_image(self) -> list[str]:
        """Frames of the list whose image is not there."""
        there = {
            f"{sequence}/{entry.name.rpartition('.')[0]}"
            for sequence in {name.partition("/")[0] for name in self.names}
            if (folder := self.folder(f"{sequence}/", "rgb")).is_dir()
            for entry in os.scandir(folder)
            if entry.name.endswith(tuple(SUFFIXES.values()))
        }
        return [name for name in self.names if name not in there]

    def check_images(self) -> None:
        """Says so before training starts when images are not there."""
        if self.without_image:
            raise FileNotFoundError(
                f"{missing(self.image(self.without_image[0]))} {listed(self.without_image, 'frames without an image')}."
            )

    def check_truth(self) -> None:
        """The evaluation labels must be of these frames."""
        for kind, array in self.truth.items():
            if len(array) != len(self.names):
                raise ValueError(
                    f"{self.paths[kind]} has {len(array)} entries where {self.list} has {len(self.names)}. Version 2 "
                    "has 11,524, version 3 has 20,137: take the labels of this one, which is "
                    f"{self.version}, or change --data.eval_root."
                )
