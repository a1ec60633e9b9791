"""Turns InterHand2.6M's annotation files into arrays, in one pass over gigabytes of text and in little memory."""

import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.interhand.cameras import Cameras
from datamodules.interhand.files import HAND_TYPES, UNPACK, Files, finite, unreadable
from datamodules.json_stream import entries
from zoo.hands.skeleton import LEFT, RIGHT

SIDES = {LEFT: "left", RIGHT: "right"}
JOINTS = 42  # right hand 0 to 20, left hand 21 to 41, tips first, wrist last
NAME = "Capture{}/{}/cam{}/image{}.jpg"
_BYTES = -(-JOINTS // 8)  # of packed flags
_CHUNK = 1 << 14  # rows held as Python objects
_IMAGE = np.dtype(
    [
        ("image_id", "i8"),
        ("camera", "i4"),
        ("frame_number", "i8"),
        ("seq", "i4"),
        ("subject", "i2"),
        ("width", "i2"),
        ("height", "i2"),
        ("name", "i4"),
    ]
)
_ANNOTATION = np.dtype(
    [
        ("annotation_id", "i8"),
        ("image_id", "i8"),
        ("hand_type", "u1"),
        ("hand_type_valid", "?"),
        ("bbox", "f4", (4,)),
        ("view_valid", "u1", (_BYTES,)),
    ]
)
_FRAME_BITS = 40  # of a key: capture, then frame
_TYPES = {name: number for number, name in enumerate(HAND_TYPES)}
_MANO = {"pose": 48, "shape": 10, "trans": 3}


def write_index(files: Files, folder: Path, *, progress: bool = True) -> None:
    """Writes one array file for each column of each table, and `tables.json`.

    Args:
        files: What to read.
        folder: New, to be renamed once it is whole.
        progress: Shows bars after five seconds.
    """
    cameras = Cameras(files)
    images, annotations, tables = _read_data(files, folder, cameras, progress)
    frames = _read_frames(files, progress)
    keys = frames.pop("key")
    of_image = _join(files, images, annotations)
    order = np.argsort(annotations["annotation_id"], kind="stable")
    if len(order) and (np.diff(annotations["annotation_id"][order]) == 0).any():
        raise ValueError(f"{files.data[0]}: two annotations have one id. {UNPACK}")
    columns: dict[str, NDArray[Any]] = {name: annotations[name][order] for name in annotations.dtype.names or ()}
    of_image = of_image[order]
    columns |= {name: images[name][of_image] for name in images.dtype.names or () if name != "image_id"}
    captures = np.array([capture for capture, _ in cameras.numbers], np.int64)
    wanted = captures[columns["camera"]] << _FRAME_BITS | columns["frame_number"]
    columns["frame"] = _places(keys, wanted)
    for name, values in (columns | frames | cameras.columns()).items():
        np.save(folder / f"{name}.npy", values)
    tables |= {"cameras": list(cameras.numbers), "images": len(images)}
    (folder / "tables.json").write_text(json.dumps(tables))
    del images, annotations  # mapped from the raw files
    for raw in folder.glob("*.raw"):
        raw.unlink()


def _read_data(
    files: Files, folder: Path, cameras: Cameras, progress: bool
) -> tuple[NDArray[Any], NDArray[Any], dict[str, Any]]:
    """Images and annotations as they come, through files, because at 30 frames a second they take a gigabyte."""
    seqs: dict[str, int] = {}
    ends = [0]  # of the file names that do not follow the rule
    with (
        (folder / "names.raw").open("wb") as names,
        _Rows(folder / "images.raw", _IMAGE) as images,
        _Rows(folder / "annotations.raw", _ANNOTATION) as annotations,
    ):
        for path in files.data:
            for (section, *_), entry in entries(path, 2, progress=progress):
                try:
                    if section == "images":
                        images.add(_image(entry, cameras, seqs, names, ends))
                    elif section == "annotations":
                        annotations.add(_annotation(entry))
                except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
                    which = entry.get("id") if isinstance(entry, dict) else entry
                    raise unreadable(path, f"{str(section)[:-1]} {which}", error) from error
    np.save(folder / "name_text.npy", np.fromfile(folder / "names.raw", np.uint8))
    np.save(folder / "name_end.npy", np.array(ends, np.int64))
    if not images.count or not annotations.count:
        raise ValueError(
            f"{files.data[0]} has {images.count} images and {annotations.count} annotations: nothing to read. {UNPACK}"
        )
    return images.mapped(), annotations.mapped(), {"seqs": list(seqs)}


class _Rows:
    """Rows that go to a file a chunk at a time."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.path, self.dtype = path, dtype
        self.count = 0
        self.waiting: list[tuple[Any, ...]] = []

    def __enter__(self) -> "_Rows":
        self.file = self.path.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        with self.file:
            self._flush()

    def add(self, row: tuple[Any, ...]) -> None:
        self.waiting.append(row)
        if len(self.waiting) == _CHUNK:
            self._flush()

    def _flush(self) -> None:
        np.array(self.waiting, self.dtype).tofile(self.file)
        self.count += len(self.waiting)
        self.waiting.clear()

    def mapped(self) -> NDArray[Any]:
        return np.memmap(self.path, self.dtype, "r")


def _image(
    entry: dict[str, Any], cameras: Cameras, seqs: dict[str, int], names: Any, ends: list[int]
) -> tuple[Any, ...]:
    capture, camera, frame = int(entry["capture"]), str(entry["camera"]), int(entry["frame_idx"])
    seq, name = entry.get("seq_name", ""), -1
    if entry["file_name"] != NAME.format(capture, seq, camera, frame):
        name = len(ends) - 1
        ends.append(ends[-1] + names.write(entry["file_name"].encode()))
    return (
        int(entry["id"]),
        cameras.number(capture, camera),
        frame,
        seqs.setdefault(seq, len(seqs)),
        int(entry.get("subject", -1)),
        int(entry["width"]),
        int(entry["height"]),
        name,
    )


def _annotation(entry: dict[str, Any]) -> tuple[Any, ...]:
    x, y, width, height = entry.get("bbox") or (0, 0, 0, 0)
    return (
        int(entry["id"]),
        int(entry["image_id"]),
        _TYPES[entry["hand_type"]],
        bool(entry.get("hand_type_valid", True)),
        (float(x), float(y), float(width), float(height)),
        _bits(entry["joint_valid"]),
    )


def _bits(valid: Sequence[Any]) -> tuple[int, ...]:
    """42 flags, whether ints or booleans, each in a list of its own or not, as packed bytes."""
    try:
        flags = bytes(chain.from_iterable(valid))
    except TypeError:
        flags = np.array(valid).astype(np.bool_).tobytes()
    return _pack(flags)


@lru_cache(_CHUNK)
def _pack(flags: bytes) -> tuple[int, ...]:
    if len(flags) != JOINTS:
        raise ValueError(f"joint_valid has {len(flags)} flags where {JOINTS} joints have one each")
    return tuple(np.packbits(np.frombuffer(flags, np.uint8)).tolist())


def _read_frames(files: Files, progress: bool) -> dict[str, NDArray[Any]]:
    """World joints and MANO's parameters of every (capture, frame) that has either, sorted by its key."""
    joints: dict[int, tuple[NDArray[np.float32], tuple[int, ...]]] = {}
    for (capture, frame), entry in entries(files.joints, 2, progress=progress):
        try:
            world = np.array(entry["world_coord"], np.float32).reshape(JOINTS, 3)
            valid = _bits(entry["joint_valid"])
            finite(world[np.unpackbits(np.array(valid, np.uint8), count=JOINTS) > 0], "world_coord")
            joints[_key(capture, frame)] = world, valid
        except (KeyError, TypeError, ValueError) as error:
            raise unreadable(files.joints, f"frame {frame} of capture {capture}", error) from error
    fits = {} if files.mano is None else _read_fits(files.mano, progress)
    if not joints:
        raise ValueError(f"{files.joints} has no frames: nothing to read. {UNPACK}")
    keys = np.array(sorted({*joints, *(key for key, _ in fits)}), np.int64)
    rows = {key: row for row, key in enumerate(keys.tolist())}
    out: dict[str, NDArray[Any]] = {
        "key": keys,
        "world": np.zeros((len(keys), JOINTS, 3), np.float32),
        "frame_valid": np.zeros((len(keys), _BYTES), np.uint8),
        "mano": np.zeros((len(keys), 2, sum(_MANO.values())), np.float32),
        "has_mano": np.zeros((len(keys), 2), np.bool_),
    }
    for key, (world, valid) in joints.items():
        out["world"][rows[key]], out["frame_valid"][rows[key]] = world, valid
    for (key, side), numbers in fits.items():
        out["mano"][rows[key], side], out["has_mano"][rows[key], side] = numbers, True
    return out


def _key(capture: object, frame: object) -> int:
    return int(str(capture)) << _FRAME_BITS | int(str(frame))  # frames are written with leading zeros or without


def _read_fits(path: Path, progress: bool) -> dict[tuple[int, int], NDArray[np.float32]]:
    """MANO's 61 numbers by key and side; a hand without is null, or left out, or its whole frame is."""
    fits = {}
    for (capture, frame), entry in entries(path, 2, progress=progress):
        try:
            for side in (LEFT, RIGHT):
                if (fit := (entry or {}).get(SIDES[side])) is not None:
                    parts = [np.array(fit[name], np.float32).reshape(size) for name, size in _MANO.items()]
                    fits[_key(capture, frame), side] = finite(np.concatenate(parts), SIDES[side])
        except (KeyError, TypeError, ValueError) as error:
            raise unreadable(path, f"frame {frame} of capture {capture}", error) from error
    return fits


def _join(files: Files, images: NDArray[Any], annotations: NDArray[Any]) -> NDArray[np.int64]:
    """The row of each annotation's image: found by id, because the two lists need not have one order."""
    ids = np.array(images["image_id"])
    order = np.argsort(ids, kind="stable")
    if (np.diff(ids[order]) == 0).any():
        raise ValueError(f"{files.data[0]}: two images have one id. {UNPACK}")
    places = _places(ids[order], annotations["image_id"])
    if (places < 0).any():
        lost = annotations[int(np.argmax(places < 0))]
        raise ValueError(
            f"{files.data[0]}: annotation {lost['annotation_id']} belongs to image {lost['image_id']}, which is not "
            f"there. {UNPACK}"
        )
    return order[places]


def _places(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each wanted key is among sorted keys; -1 where it is not."""
    if not len(keys):
        return np.full(len(wanted), -1, np.int64)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, places, -1)
