"""Tens of thousands of little label pickles of HO-3D, read once into one table that is mapped into memory.

The table is kept as the files say it: metres, OpenGL camera (y up, the hand at negative z), MANO's joint order with the
tips last. `datamodules/ho3d/data.py` converts.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datamodules.cached import keep
from zoo.hands.unpickle import decode, read_tree

Part = Literal["train", "evaluation"]
Table = NDArray[Any]  # structured, see `read_metas`

SHAPES: dict[str, tuple[int, ...]] = {
    "camera": (3, 3),  # pixels
    "joints": (21, 3),  # of evaluation frames only the first, the root
    "pose": (48,),  # absolute axis-angle
    "betas": (10,),
    "transl": (3,),
    "box": (4,),  # left, top, right, bottom; evaluation frames only
}
COLUMNS: list[Any] = [("labelled", "?"), *((name, "f4", shape) for name, shape in SHAPES.items())]
KEYS: dict[Part, dict[str, str]] = {
    "train": {
        "camMat": "camera",
        "handJoints3D": "joints",
        "handPose": "pose",
        "handBeta": "betas",
        "handTrans": "transl",
    },
    "evaluation": {"camMat": "camera", "handJoints3D": "joints", "handBoundingBox": "box"},
}


def read_meta(path: Path, part: Part) -> dict[str, NDArray[np.float32]] | None:
    """Reads one label file, running nothing that it names.

    Args:
        path: The pickle.
        part: Evaluation files hold the root joint and a box, training files a whole hand.

    Returns:
        Arrays by column of the table, (1, 3) joints of an evaluation file; None: a label that is needed is None.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It is damaged, asks for code to be run, or lacks a label.
    """
    tree = read_tree(path)
    arrays = {}
    for key, column in KEYS[part].items():
        if key not in tree:
            raise ValueError(
                f"{path} has no {key}, which a file of the {part} part of HO-3D needs. It has "
                f"{', '.join(map(str, tree)) or 'nothing'}. Unpack the archive again."
            )
        if tree[key] is None:
            return None
        shape = SHAPES[column]
        try:
            values = decode(tree[key]).astype(np.float32).ravel()  # vectors may be columns
        except Exception as error:
            raise ValueError(f"{path}: {key} cannot be read as an array: {error}.") from None
        if column == "joints" and part == "evaluation":
            shape, values = (1, 3), values[:3]
        if values.size != np.prod(shape) or not np.isfinite(values).all():
            raise ValueError(
                f"{path}: {key} has {values.size} numbers, which are not {' x '.join(map(str, shape))} or not finite. "
                "Unpack the archive again."
            )
        arrays[column] = values.reshape(shape)
    return arrays


def read_metas(
    paths: Sequence[Path], names: Sequence[str], part: Part, *, cache: Path | None = None, source: Path
) -> Path:
    """Makes the table of a part, or finds it: it is kept until a label file or the list of frames changes.

    Args:
        paths: The label file of each frame.
        names: Of the frames.
        part: `train` or `evaluation`.
        cache: Folder for tables; None is the user's cache.
        source: The list of frames; names the table.

    Returns:
        An npy file for `numpy.load(..., mmap_mode="r")`: for each frame its `name`, whether it is `labelled`, and what
        `SHAPES` lists.

    Raises:
        ValueError: A label file is damaged.
        OSError: The table cannot be written.
    """
    columns = np.dtype([("name", f"S{max(len(name.encode()) for name in names)}"), *COLUMNS])

    def write(draft: Path) -> None:
        with draft.open("wb") as out:
            np.save(out, _read(paths, names, part, columns))

    return keep(
        write,
        cache=cache,
        kind="ho3d",
        stem=f"ho3d-{part}",
        source=source.resolve(),
        state=_state(paths, names),
        suffix=".npy",
        told=("The table of HO-3D's labels", f"{columns.itemsize * len(paths) / 1e6:.0f} MB"),
    )


def _read(paths: Sequence[Path], names: Sequence[str], part: Part, columns: np.dtype[Any]) -> Table:
    table = np.zeros(len(paths), columns)
    table["name"] = [name.encode() for name in names]

    def fill(row: int) -> None:
        with suppress(FileNotFoundError):
            if (found := read_meta(paths[row], part)) is not None:
                for column, values in found.items():
                    table[column][row, : len(values)] = values
                table["labelled"][row] = True

    with ThreadPoolExecutor(8) as pool:  # files of a cold disk come faster side by side
        rows = tqdm(pool.map(fill, range(len(paths))), f"Reading {part} labels", len(paths), unit=" files", delay=5)
        for _ in rows:
            pass
    return table


def _state(paths: Sequence[Path], names: Sequence[str]) -> bytes:
    """What the table hangs on: its columns, the frames and their order, size and time of every label file."""
    stats = np.full((len(paths), 2), -1, np.int64)
    for row, path in enumerate(paths):
        with suppress(FileNotFoundError):
            stat = os.stat(path)
            stats[row] = stat.st_size, stat.st_mtime_ns
    return b"\n".join((repr(COLUMNS).encode(), "\n".join(names).encode(), stats.tobytes()))
