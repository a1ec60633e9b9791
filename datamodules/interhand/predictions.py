"""Our format of predictions for InterHand2.6M, which has no official one: arrays by annotation id.

A `.npz` file, a folder of `.npy` files (read piece by piece) or a `.json` file (an object with one object of the same
names for each annotation id) with

- `annotation_id` (n,), in any order; in JSON the name of the object;
- `joints` (n, 42, 3), in the dataset's order: the right hand's 21, thumb tip first and wrist last, then the left's;
- `vertices` (n, 2, 778, 3), optional: MANO's meshes, right, left;
- `handedness` (n, 2), optional: scores from 0 to 1 that there is a right hand, a left hand;
- `rel_trans` (n, 3), optional: left wrist - right wrist; without it the joints say it.

Millimetres in the frame of the image's camera. A hand that is not there may be anything finite.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.json_stream import entries
from datamodules.scene import FloatArray, IntArray
from datamodules.submissions import json_file

SHAPES: dict[str, tuple[int, ...]] = {
    "joints": (42, 3),
    "vertices": (2, 778, 3),
    "handedness": (2,),
    "rel_trans": (3,),
}
_ID = "annotation_id"
_BLOCK = 2048  # rows that are looked at together


class TwoHandPredictions(NamedTuple):
    """What was predicted of n annotations, as the module's docstring says; None: nothing."""

    path: Path
    ids: IntArray
    joints: FloatArray
    vertices: FloatArray | None
    handedness: FloatArray | None
    rel_trans: FloatArray | None

    def rows(self, ids: IntArray, what: str) -> IntArray:
        """Where the predictions of annotations are.

        Args:
            ids: Of the annotations that are scored.
            what: They are, for the message.

        Raises:
            ValueError: One of them was not predicted.
        """
        order = np.argsort(self.ids)
        place = np.searchsorted(self.ids, ids, sorter=order).clip(max=len(order) - 1)
        rows = np.asarray(order[place], np.int64)
        absent = ids[self.ids[rows] != ids]
        if len(absent):
            raise ValueError(
                f"{self.path} has {len(self.ids)} predictions; {len(absent)} of the {len(ids)} annotations of {what} "
                f"have none, the first is {absent[0]}. Predict all of them, or pass the --split or --ids that they "
                "are of."
            )
        return rows


def read_predictions(path: Path) -> TwoHandPredictions:
    """Reads predictions.

    Args:
        path: A `.npz` or `.json` file, a `.zip` of one `.json` file, or a folder of `.npy` files.

    Raises:
        ValueError: It is not in the format; says what is wrong.
    """
    arrays = _folder(path) if path.is_dir() else _npz(path) if _is_npz(path) else _json(path)
    unknown = sorted(set(arrays) - {_ID, *SHAPES})
    if unknown or not {_ID, "joints"} <= set(arrays):
        raise ValueError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}. It must hold {_ID} and joints, and may hold "
            f"vertices, handedness and rel_trans{f', but no {unknown[0]}' if unknown else ''}. Name the arrays so."
        )
    ids = np.asarray(arrays.pop(_ID))
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer) or not len(ids):
        raise ValueError(f"{path}: {_ID} is {_shape(ids.shape)} of {ids.dtype}. It must be a list of whole numbers.")
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"{path}: annotation {values[counts > 1][0]} was predicted twice. Leave one out.")
    for name, array in arrays.items():
        _check(path, name, array, len(ids))
    return TwoHandPredictions(path, ids.astype(np.int64), arrays["joints"], *map(arrays.get, list(SHAPES)[1:]))


def _check(path: Path, name: str, array: NDArray[Any], count: int) -> None:
    wanted = (count, *SHAPES[name])
    if array.shape != wanted or not np.issubdtype(array.dtype, np.floating):
        raise ValueError(
            f"{path}: {name} is {_shape(array.shape)} of {array.dtype}. For {count} annotations it must be "
            f"{_shape(wanted)} of real numbers. Write it in that shape."
        )
    for start in range(0, count, _BLOCK):
        block = np.asarray(array[start : start + _BLOCK], np.float64)
        bad = ~np.isfinite(block).reshape(len(block), -1).all(1)
        if bad.any():
            raise ValueError(
                f"{path}: row {start + int(bad.argmax())} of {name} is not finite. Every number must be. Predict it "
                "again, or write zeros for it."
            )


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"


def _is_npz(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".npy") for name in archive.namelist())


def _npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a whole .npz file of plain arrays ({error}). Write it again.") from error


def _folder(path: Path) -> dict[str, NDArray[Any]]:
    try:
        return {file.stem: np.load(file, mmap_mode="r", allow_pickle=False) for file in sorted(path.glob("*.npy"))}
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} holds what is no whole .npy file ({error}). Write it again.") from error


def _json(path: Path) -> dict[str, NDArray[Any]]:
    ids: list[int] = []
    rows: dict[str, list[FloatArray]] = {}
    with json_file(path) as (file, name):
        for (key, *_), value in entries(file, 1, progress=True):
            if not isinstance(key, str) or not key.isdecimal() or not isinstance(value, Mapping):
                raise ValueError(
                    f"{name}: {key!r} is no annotation id with an object. Write {{annotation id: {{joints: ...}}}}."
                )
            if ids and set(value) != set(rows):
                raise ValueError(
                    f"{name}: annotation {key} holds {', '.join(value)}, but the first one {', '.join(rows)}. All must "
                    "hold the same."
                )
            ids.append(int(key))
            for what, numbers in value.items():
                try:
                    rows.setdefault(what, []).append(np.asarray(numbers, np.float32))
                except (TypeError, ValueError) as error:
                    raise ValueError(
                        f"{name}: {what} of annotation {key} is no regular list of numbers. Write it again."
                    ) from error
    try:
        return {_ID: np.array(ids, np.int64)} | {what: np.stack(arrays) for what, arrays in rows.items()}
    except ValueError as error:
        raise ValueError(f"{path}: its annotations have arrays of different shapes. Write all in one shape.") from error
