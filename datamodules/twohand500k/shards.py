"""Our own layout of pairs of hands: `*.npz` files ("shards") in the folder, or in its `train`, `val`, `test`.

| key | shape | what |
|---|---|---|
| `left_global_orient`, `right_...` | (n, 3) | root rotation, axis-angle, radians |
| `left_hand_pose` | (n, 45) | 15 finger joints in MANO order, axis-angle, radians |
| `left_betas` | (n, 10) | shape, standard deviations |
| `left_transl` | (n, 3) | in `unit`; the root turns about its own joint, and this moves everything |
| `left_valid` | (n,) bool | whether the hand is there |
| `unit` | text | `m`, `cm` or `mm` |
| `frame` | text | `opencv` (x right, y down, z forward) or `opengl` (x right, y up, z backward) |
| `flat_hand_mean` | bool | whether a hand pose of zeros is the flat hand; else it is MANO's mean pose |
| `left_shapedirs_fix` | bool | whether left betas belong to a model with mirrored shape directions (smplx issue 48) |

Every key must be there, in every shard, and the last four must be the same in all. Arrays are plain numbers or text:
nothing is unpickled.
"""

import os
import zipfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np

from datamodules.scene import BoolArray, FloatArray
from datamodules.twohand500k.conventions import (
    FRAMES,
    NUMBERS,
    SIDES,
    UNITS,
    WHY,
    WIDTH,
    Block,
    Conventions,
    Source,
    block,
)

METADATA = ("unit", "frame", "flat_hand_mean", "left_shapedirs_fix")
ARRAYS: dict[str, tuple[int, ...]] = {
    **{f"{side}_{name}": (width,) for side in SIDES for name, width in NUMBERS.items()},
    **{f"{side}_valid": () for side in SIDES},
}


@final
class Shards(Source):
    """Shards of our own layout."""

    @cached_property
    def conventions(self) -> Conventions:
        told = self._first
        return Conventions(FRAMES[told["frame"]], told["flat_hand_mean"], told["left_shapedirs_fix"])

    @cached_property
    def _first(self) -> dict[str, Any]:
        return _metadata(read_npz(self.files[0], METADATA), self.files[0])

    def read(self, path: Path) -> Block:
        arrays = read_npz(path, (*ARRAYS, *METADATA))
        metadata = _metadata(arrays, path)
        if metadata != self._first:
            raise ValueError(
                f"{path} has {metadata}, but {self.files[0].name} has {self._first}. All shards of a dataset must "
                "agree: convert one of them."
            )
        n = len(arrays["left_valid"]) if arrays["left_valid"].ndim else 0
        for key, shape in ARRAYS.items():
            if arrays[key].shape != (n, *shape) or arrays[key].dtype.kind not in ("b" if not shape else "fiu"):
                kind = "booleans" if not shape else "numbers"
                raise ValueError(f"{path}: {key} is {_kind(arrays[key])}; it must be {(n, *shape)} {kind}.")
        hands = np.stack([np.concatenate([arrays[f"{side}_{name}"] for name in NUMBERS], 1) for side in SIDES], 1)
        hands = hands.astype(np.float32)
        hands[..., -3:] *= UNITS[metadata["unit"]]
        return block(hands, np.stack([arrays[f"{side}_valid"] for side in SIDES], 1), path)


def write_shard(
    path: Path,
    hands: FloatArray,
    valid: BoolArray,
    *,
    unit: str,
    frame: str,
    flat_hand_mean: bool,
    left_shapedirs_fix: bool,
) -> None:
    """Writes a shard; it is there only once it is whole.

    Args:
        path: `*.npz`.
        hands: (n, 2, 61) by side: root rotation 3, hand pose 45, betas 10, translation 3.
        valid: (n, 2) whether that hand is there.
        unit: Of the translations: m, cm, mm.
        frame: opencv or opengl.
        flat_hand_mean: Whether a hand pose of zeros is the flat hand.
        left_shapedirs_fix: Whether left betas belong to mirrored shape directions.
    """
    if hands.shape != (len(valid), 2, WIDTH) or valid.shape != (len(hands), 2):
        raise ValueError(f"write_shard got {hands.shape} hands and {valid.shape} valid. Give (n, 2, {WIDTH}), (n, 2).")
    metadata = {
        "unit": np.array(unit),
        "frame": np.array(frame),
        "flat_hand_mean": np.array(flat_hand_mean),
        "left_shapedirs_fix": np.array(left_shapedirs_fix),
    }
    _metadata(metadata, path)
    arrays: dict[str, np.ndarray] = {}
    cuts = np.cumsum(list(NUMBERS.values()))[:-1]
    for i, side in enumerate(SIDES):
        parts = np.split(hands[:, i].astype(np.float32), cuts, axis=1)
        arrays |= {f"{side}_{name}": part for name, part in zip(NUMBERS, parts, strict=True)}
        arrays[f"{side}_valid"] = valid[:, i].astype(np.bool_)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with draft.open("wb") as file:
        np.savez(file, **arrays, **metadata)  # type: ignore[arg-type]
    os.replace(draft, path)


def read_npz(path: Path, keys: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Reads plain arrays.

    Args:
        path: The file.
        keys: Those that it must have; None for all there are.

    Raises:
        ValueError: It is damaged, holds objects, or lacks a key; says which it has.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            found = list(archive.files)
            lacks = [key for key in keys or () if key not in found]
            if not lacks:
                return {key: archive[key] for key in keys or found}
    except (ValueError, OSError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise ValueError(
            f"{path} is not a whole npz file of plain arrays ({error}). Objects in it are never unpickled. Copy it "
            "again."
        ) from None
    raise ValueError(
        f"{path} lacks {', '.join(lacks)}. Keys found: {', '.join(found) or 'none'}. A shard needs them all "
        "(datamodules/twohand500k/README.md); files with other keys are read with --data.mapping, which says what "
        f"theirs mean.{f' {WHY}' if set(lacks) & set(METADATA) else ''}"
    )


def _metadata(arrays: dict[str, np.ndarray], path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {key: arrays[key].item() if arrays[key].size == 1 else None for key in METADATA}
    allowed: dict[str, tuple[Any, ...]] = {"unit": tuple(UNITS), "frame": tuple(FRAMES)}
    for key, value in found.items():
        options = allowed.get(key, (False, True))
        if type(value) is not type(options[0]) or value not in options:
            raise ValueError(f"{path}: {key} is {value!r}; it must be one of {options}. {WHY}")
    return found


def _kind(array: np.ndarray) -> str:
    return f"{array.shape} {array.dtype}"
