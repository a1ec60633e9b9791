"""Plain arrays of 21 joints, from .npy, .npz, .txt, .csv or .json files."""

import re
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo.commands.tasks.case import Floats
from zoo.commands.tasks.coco import load_json

SUFFIXES = (".npy", ".npz", ".txt", ".csv", ".json")
# What reading a damaged file may raise; RuntimeError where its archive is encrypted or packed in an unknown way.
DAMAGED = (ValueError, TypeError, EOFError, OSError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
KEYS = ("keypoints", "joints2d", "keypoints2d", "pixels", "joints", "joints3d", "skeleton", "xyz", "points")


class Table(NamedTuple):
    """Skeletons of a file, and what else it says: side, image, width, height, intrinsics."""

    points: Floats  # (n, 21, 2 or 3)
    extras: dict[str, Any]


def read_table(file: Path) -> Table:
    """One skeleton, or several one after the other; rows of 63 numbers are skeletons too.

    Raises:
        ValueError: for anything else; it says what the file holds.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{file.name} is no array known here. Use {', '.join(SUFFIXES)}.")
    try:
        array, extras = _content(file)
        array = np.asarray(array, np.float32)
    except FileNotFoundError:
        raise
    except DAMAGED as error:
        why = "it is damaged, or holds objects, which are never unpickled" if "pickle" in str(error) else error
        raise ValueError(f"{file} cannot be read as an array of numbers ({why}). Is it whole?") from error
    return Table(_skeletons(file, array), extras)


def table_of(content: Any, file: Path) -> Table:
    """The same, of parsed JSON."""
    array, extras = _pick(content)
    try:
        return Table(_skeletons(file, np.asarray(array, np.float32)), extras)
    except TypeError as error:
        raise ValueError(f"{file} holds no numbers where the joints should be ({error}).") from error


def _content(file: Path) -> tuple[Any, dict[str, Any]]:
    suffix = file.suffix.lower()
    if suffix == ".npy":
        return np.load(file, allow_pickle=False), {}
    if suffix == ".npz":
        with np.load(file, allow_pickle=False) as arrays:
            return _pick({key: arrays[key] for key in arrays.files})
    if suffix == ".json":
        return _pick(load_json(file))
    return _lines(file.read_text("utf-8-sig")), {}


def _pick(content: Any) -> tuple[Any, dict[str, Any]]:
    if not isinstance(content, dict):
        return content, {}
    key = next((name for name in KEYS if name in content), None)
    if key is None and len(content) == 1:
        key = next(iter(content))
    if key is None:
        raise ValueError(f"it has {', '.join(map(str, list(content)[:6])) or 'nothing'}, and none of {', '.join(KEYS)}")
    return content[key], {name: value for name, value in content.items() if name != key}


def _lines(text: str) -> NDArray[np.float64]:
    """Numbers between commas, semicolons, tabs or spaces; a first line of words is a header, # starts a comment."""
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines()):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        fields = re.split(r"\s*[,;\t]\s*|\s+", line)
        try:
            rows.append([float(field) if field else float("nan") for field in fields])
        except ValueError:
            if rows or number > 0 or any(is_number(field) for field in fields):
                raise
    if len({len(row) for row in rows}) > 1:
        raise ValueError("its lines have different numbers of values")
    return np.array(rows)


def is_number(text: str) -> bool:
    """Whether a field of a line is a number; a line that has one is no header."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _skeletons(file: Path, array: Floats) -> Floats:
    if array.ndim == 1 and array.size in (42, 63):
        array = array[None]
    if array.ndim == 2 and array.shape[1] in (42, 63):
        array = array.reshape(len(array), 21, -1)
    if array.ndim == 2 and array.shape[1] in (2, 3) and len(array) and len(array) % 21 == 0:
        array = array.reshape(-1, 21, array.shape[1])
    if array.ndim == 4 and array.shape[2] == 21:  # our own results: hands, hypotheses
        array = array[:, 0]
    if array.ndim != 3 or array.shape[1] != 21 or array.shape[2] not in (2, 3) or not len(array):
        shape = "x".join(map(str, array.shape)) or "one number"
        raise ValueError(f"{file} holds {shape}{' numbers' if array.ndim else ''}; a hand is 21x3, joints in rows.")
    return array
