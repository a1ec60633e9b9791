"""What FreiHAND's and HO3D's servers take: `pred.json`, a list of all joints and a list of all meshes, or it zipped."""

import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import orjson

from datamodules.json_stream import PIECE, Keys, entries
from datamodules.scene import FloatArray

FILE, ARCHIVE = "pred.json", "pred.zip"
_SHAPES = ((21, 3), (778, 3))
_KINDS = ("joints", "meshes")
_LAYOUT = "a list of two lists, n x 21 x 3 joints and n x 778 x 3 vertices"
_PRECISION = np.float32


class Submission(NamedTuple):
    """Predictions in the order, axes and unit of a server."""

    joints: FloatArray  # (n, 21, 3)
    vertices: FloatArray  # (n, 778, 3)


def read_submission(path: Path, samples: int, server: str) -> Submission:
    """Reads `pred.json`, or a zip that holds exactly one JSON file at its top, with memory for its numbers only.

    Args:
        path: The file.
        samples: How many the server needs.
        server: Its name, for messages.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such file; says what is wrong and how to mend it.
    """
    found = Submission(*(np.zeros((samples, *shape), _PRECISION) for shape in _SHAPES))
    counts = [0, 0]
    with json_file(path) as (file, name):
        for keys, value in _entries(file, name):
            kind, number = _place(keys, value, name)
            entry = _array(value, number, kind, name)
            if number < samples:
                found[kind][number] = entry
            counts[kind] = number + 1
    for kind, count in enumerate(counts):
        if count != samples:
            raise ValueError(
                f"{name} holds {count} {_KINDS[kind]}, but {server} has {samples} samples. Predict all of them, in its "
                "order and nothing else, or pass the --root, --split or --version that the predictions are of."
            )
        bad = np.flatnonzero(~np.isfinite(found[kind]).reshape(samples, -1).all(1))
        if len(bad):
            raise ValueError(_not_finite(name, f"{len(bad)} {_KINDS[kind]}, the first is number {bad[0]}, that are"))
    return found


def write_submission(folder: Path, joints: FloatArray, vertices: FloatArray) -> tuple[Path, Path]:
    """Writes `pred.json` and `pred.zip`, which holds it at its top, as `zip -j` does; each whole or not at all.

    Args:
        folder: Made if it is not there.
        joints: (n, 21, 3) in the server's unit, order and axes.
        vertices: (n, 778, 3) likewise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, archive = folder / FILE, folder / ARCHIVE
    draft = folder / f".{FILE}.{os.getpid()}.tmp"
    try:
        with draft.open("wb") as out:
            for start, array in ((b"[[", joints), (b"], [", vertices)):
                out.write(start)
                for number, entry in enumerate(np.ascontiguousarray(array, _PRECISION)):
                    out.write(b", " * bool(number) + orjson.dumps(entry, option=orjson.OPT_SERIALIZE_NUMPY))
            out.write(b"]]")
        os.replace(draft, file)
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
            packed.write(file, FILE)
        os.replace(draft, archive)
    finally:
        draft.unlink(missing_ok=True)
    return file, archive


@contextmanager
def json_file(path: Path) -> Iterator[tuple[Path, str]]:
    """A JSON file, unpacked for as long as it is needed if it is zipped, and its name for messages.

    Raises:
        FileNotFoundError: There is none.
        ValueError: The archive holds anything but one JSON file at its top.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not {'a file' if path.exists() else 'there'}. Give the one file with --pred."
        )
    if not zipfile.is_zipfile(path):
        if path.suffix.lower() == ".zip":
            raise ValueError(f"{path} is not a whole zip archive. Zip it again: zip -j {path.name} {FILE}.")
        yield path, str(path)
        return
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as place:
        members = [info.filename for info in archive.infolist() if not info.is_dir()]
        top = [name for name in members if PurePosixPath(name).name == name and name.endswith(".json")]
        if len(top) != 1 or len(members) != 1:
            raise ValueError(
                f"{path} holds {', '.join(members[:5]) or 'nothing'}; servers take exactly one JSON file, at its top. "
                f"Zip it again: zip -j {path.name} {FILE}."
            )
        unpacked = Path(place, top[0])
        try:
            with archive.open(top[0]) as packed, unpacked.open("wb") as out:
                shutil.copyfileobj(packed, out, PIECE)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path} is damaged ({error}). Zip it again: zip -j {path.name} {FILE}.") from error
        yield unpacked, f"{path}/{top[0]}"


def _entries(file: Path, name: str) -> Iterator[tuple[Keys, Any]]:
    try:
        yield from entries(file, 2, progress=True)
    except ValueError as error:
        if word := _unfinite_word(file):
            raise ValueError(_not_finite(name, f"the word {word}: a number that is")) from error
        raise ValueError(str(error).replace(str(file), name).replace("Copy or unpack", "Write")) from error


def _place(keys: Keys, value: Any, name: str) -> tuple[int, int]:
    """Which of the two lists an entry is in, and where."""
    kind, number = keys
    if not isinstance(kind, int) or not isinstance(number, int):
        raise ValueError(f"{name} holds names such as {kind!r}. It must be {_LAYOUT}. Leave the names out.")
    if kind > 1 or (isinstance(value, list) and len(value) == 3 and not isinstance(value[0], list)):
        raise ValueError(f"{name} is a list of samples. It must be {_LAYOUT}. Write [all joints, all meshes].")
    return kind, number


def _array(value: Any, number: int, kind: int, name: str) -> FloatArray:
    try:
        entry = np.asarray(value, _PRECISION)
    except (TypeError, ValueError):
        entry = np.zeros(0, _PRECISION)
    if entry.shape == _SHAPES[kind]:
        return entry
    found = " x ".join(map(str, entry.shape)) if entry.size else "no regular list of numbers"
    swapped = entry.shape == _SHAPES[1 - kind]
    raise ValueError(
        f"{name}: number {number} of the {_KINDS[kind]} is {found}, not {' x '.join(map(str, _SHAPES[kind]))}. The "
        f"file must be {_LAYOUT}. {'Swap the two lists' if swapped else 'Write every sample in that shape'}."
    )


def _unfinite_word(file: Path) -> str:
    """NaN or Infinity, as Python's json writes them, if the file holds any."""
    with file.open("rb") as text:
        while piece := text.read(PIECE):
            if found := re.search(rb"NaN|-?Infinity", piece):
                return found[0].decode()
    return ""


def _not_finite(name: str, what: str) -> str:
    return (
        f"{name} holds {what} not finite. Every number must be. Predict those samples again, or write zeros for them."
    )
