"""Reads pairs of hands from anybody's npz files or pickles, whose keys and conventions a YAML file spells out.

    files: "*.npz"              # below --data.root; or one pattern each for train, val, test; .npz, .pkl, .pickle
    rows: many                  # many: the first axis counts pairs; one: a file is one pair
    unit: mm                    # of transl: m, cm, mm
    frame: opengl               # opencv, opengl, or a 3 x 3 rotation to x right, y down, z forward
    flat_hand_mean: false       # whether a hand pose of zeros is the flat hand; else it is MANO's mean pose
    left_shapedirs_fix: true    # whether left betas belong to mirrored shape directions (smplx issue 48)
    rotation: axis_angle        # or matrix: 3 x 3 for each joint
    pca: false                  # true: hand_pose is 45 coefficients of hands_components
    left:
      global_orient: pose_l[0:3]     # a key, its columns in brackets where it holds more; a/b is key b of key a
      hand_pose: pose_l[3:48]
      betas: params/left/shape
      transl: params/left/trans
      valid: has_left                # may be left out: then every left hand is there
    right: ...                       # as left; one of the two may be left out

`rows`, `rotation` and `pca` may be left out and are then as above. Everything else must be there.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
import yaml

from datamodules.scene import FloatArray, Split
from datamodules.twohand500k.conventions import (
    FRAMES,
    NUMBERS,
    SIDES,
    UNITS,
    WHY,
    WIDTH,
    Block,
    Conventions,
    Rows,
    Source,
    block,
    listing,
)
from datamodules.twohand500k.intaghand import matrix_to_axis_angle
from datamodules.twohand500k.shards import METADATA, read_npz
from zoo.hands.unpickle import decode, read_tree
from zoo.registry import nearest

REQUIRED = ("files", *METADATA)
DEFAULTS: dict[str, Any] = {"rows": "many", "rotation": "axis_angle", "pca": False}
PARTS: tuple[Split, ...] = ("train", "val", "test")
_KEY = re.compile(r"(?P<key>[^\[\]]+)(\[(?P<start>\d+):(?P<stop>\d+)\])?")


class Place(NamedTuple):
    """Where an array lies in a file.

    Args:
        key: Keys of nested dictionaries, between them `/`.
        columns: Of the flattened rows, or None for all.
    """

    key: str
    columns: slice | None


class KeyMapping:
    """A mapping file, checked.

    Args:
        path: The YAML file.

    Raises:
        ValueError: It lacks something, or says what is not known.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.text = path.read_text(encoding="utf-8")
            given = yaml.safe_load(self.text)
        except FileNotFoundError:
            raise FileNotFoundError(f"{path} is not there. Pass the right file with --data.mapping.") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise self._wrong(f"is not YAML ({str(error).splitlines()[0]})") from None
        if not isinstance(given, dict):
            raise self._wrong("holds no keys")
        self._known(given, (*REQUIRED, *DEFAULTS, *SIDES), "")
        if lacks := [key for key in REQUIRED if key not in given]:
            raise self._wrong(f"lacks {', '.join(lacks)}", f" {WHY}" if lacks != ["files"] else "")
        values = {**DEFAULTS, **given}
        self._one_of(values, "unit", tuple(UNITS))
        self._one_of(values, "rows", ("many", "one"))
        self._one_of(values, "rotation", ("axis_angle", "matrix"))
        for key in ("flat_hand_mean", "left_shapedirs_fix", "pca"):
            self._one_of(values, key, (True, False))
        self.metres = UNITS[values["unit"]]
        self.many = values["rows"] == "many"
        self.matrices = values["rotation"] == "matrix"
        self.conventions = Conventions(
            self._frame(values["frame"]), values["flat_hand_mean"], values["left_shapedirs_fix"], values["pca"]
        )
        self.patterns = self._patterns(values["files"])
        self.hands = {i: self._hand(side, values[side]) for i, side in enumerate(SIDES) if side in values}
        if not self.hands:
            raise self._wrong("maps neither left nor right")

    def _patterns(self, files: Any) -> dict[Split, str]:
        if isinstance(files, str):
            return {"train": files}
        if not isinstance(files, dict) or not files or not all(isinstance(pattern, str) for pattern in files.values()):
            raise self._wrong("has `files` that are no pattern, nor one for each of train, val, test")
        self._known(files, PARTS, "files/")
        return {part: files[part] for part in PARTS if part in files}

    def _frame(self, frame: Any) -> Rows:
        if isinstance(frame, str):
            self._one_of({"frame": frame}, "frame", tuple(FRAMES))
            return FRAMES[frame]
        try:
            rotation = np.array(frame, np.float64)
        except (TypeError, ValueError):
            rotation = np.zeros(0)
        if rotation.shape != (3, 3) or np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-4:
            raise self._wrong(f"has frame {frame!r}, which is neither {', '.join(FRAMES)} nor a 3 x 3 rotation")
        if np.linalg.det(rotation) < 0:
            raise self._wrong("has a frame that mirrors: left and right hands would change places")
        return tuple(tuple(row) for row in rotation.tolist())

    def _hand(self, side: str, given: Any) -> dict[str, Place]:
        if not isinstance(given, dict):
            raise self._wrong(f"has no keys under {side}")
        self._known(given, (*NUMBERS, "valid"), f"{side}/")
        if lacks := [f"{side}/{name}" for name in NUMBERS if name not in given]:
            raise self._wrong(f"lacks {', '.join(lacks)}")
        places = {}
        for name, words in given.items():
            match = _KEY.fullmatch(words.strip()) if isinstance(words, str) else None
            if match is None:
                raise self._wrong(f"has {side}/{name}: {words!r}, which is no key like `a`, `a/b` or `a[0:3]`")
            start, stop = match["start"], match["stop"]
            places[name] = Place(match["key"], None if start is None else slice(int(start), int(stop)))
        return places

    def _known(self, given: Mapping[Any, Any], known: tuple[str, ...], above: str) -> None:
        for key in given:
            if key not in known:
                raise self._wrong(
                    f"has {above}{key}, which is not known.{nearest(str(key), known)} Known: {', '.join(known)}"
                )

    def _one_of(self, values: Mapping[str, Any], key: str, allowed: tuple[Any, ...]) -> None:
        if type(values[key]) is not type(allowed[0]) or values[key] not in allowed:
            raise self._wrong(f"has {key}: {values[key]!r}; it must be one of {', '.join(map(str, allowed))}")

    def _wrong(self, what: str, more: str = "") -> ValueError:
        return ValueError(
            f"{self.path} {what}.{more} datamodules/twohand500k/README.md has a whole example; --data.mapping names "
            "the file."
        )


@final
class Mapped(Source):
    """Files read through a mapping.

    Args:
        root: Their folder.
        mapping: What their keys mean.
        part: Which of the mapping's patterns.
    """

    def __init__(self, root: Path, mapping: KeyMapping, part: Split) -> None:
        self.mapping = mapping
        pattern = mapping.patterns[part]
        files = sorted(path for path in root.glob(pattern) if path.is_file())
        if not files:
            raise FileNotFoundError(
                f"No file below {root} matches {pattern!r}, which {mapping.path} gives for {part}. Mend the pattern or "
                "change --data.root."
            )
        super().__init__(root, files, part)

    @property
    def conventions(self) -> Conventions:
        return self.mapping.conventions

    @cached_property
    def key(self) -> str:
        return self.mapping.text

    def read(self, path: Path) -> Block:
        arrays = read_arrays(path)
        sides = {side: self._hand(side, arrays, path) for side in self.mapping.hands}
        n = len(next(iter(sides.values()))[0])
        hands, valid = np.zeros((n, 2, WIDTH), np.float32), np.zeros((n, 2), np.bool_)
        for side, (numbers, there) in sides.items():
            if len(numbers) != n:
                raise ValueError(f"{path} has {n} left and {len(numbers)} right hands: one pair needs one of each.")
            hands[:, side], valid[:, side] = numbers, there
        return block(hands, valid, path)

    def _hand(self, side: int, arrays: dict[str, Any], path: Path) -> tuple[FloatArray, np.ndarray]:
        places = self.mapping.hands[side]
        found = {name: self._find(place, arrays, path) for name, place in places.items()}
        if "valid" not in found:
            there = np.ones(len(found["betas"]), np.bool_)
        elif found["valid"].dtype.kind == "f" or found["valid"].shape[1:] != (1,):
            raise ValueError(
                f"{path}: {places['valid'].key} is {found['valid'].shape} {found['valid'].dtype}, no flags."
            )
        else:
            there = found["valid"][:, 0] != 0
        parts = []
        for name, width in NUMBERS.items():
            values = found[name].astype(np.float32)
            joints = {"global_orient": 1, "hand_pose": 15}.get(name, 0)
            turned = joints and self.mapping.matrices and not (name == "hand_pose" and self.mapping.conventions.pca)
            expected = (len(there), 9 * joints if turned else width)
            if values.shape != expected:
                raise ValueError(
                    f"{path}: {places[name].key} for {SIDES[side]}/{name} has shape {values.shape}, rows flattened; it "
                    f"must be {expected}. Keys found: {listing(arrays)}. Mend {self.mapping.path}."
                )
            if turned:
                values[~there] = np.tile(np.eye(3, dtype=np.float32).ravel(), joints)
                values = matrix_to_axis_angle(values.reshape(-1, 3, 3), f"{path}: {places[name].key}")
            parts.append(values.reshape(len(there), width) * (self.mapping.metres if name == "transl" else 1))
        return np.concatenate(parts, 1).astype(np.float32), there

    def _find(self, place: Place, arrays: dict[str, Any], path: Path) -> np.ndarray:
        """(n, m) the rows of an array, each flattened."""
        if place.key not in arrays:
            raise ValueError(
                f"{path} has no {place.key}, which {self.mapping.path} names.{nearest(place.key, arrays)} Keys found: "
                f"{listing(arrays)}."
            )
        try:
            array = decode(arrays[place.key])
        except Exception as error:
            raise ValueError(f"{path}: {place.key} cannot be read as an array: {error}.") from None
        if self.mapping.many and not array.ndim:
            raise ValueError(f"{path}: {place.key} is a single number. Say `rows: one` in {self.mapping.path}?")
        rows = array.reshape(len(array) if self.mapping.many else 1, -1)
        if place.columns is not None:
            if not place.columns.start < place.columns.stop <= rows.shape[1]:
                raise ValueError(
                    f"{path}: {place.key} has {rows.shape[1]} columns, of which {self.mapping.path} takes "
                    f"{place.columns.start}:{place.columns.stop}."
                )
            rows = rows[:, place.columns]
        return rows


def read_arrays(path: Path) -> dict[str, Any]:
    """What a file holds, nested keys joined by `/`; arrays of a pickle not yet decoded.

    Raises:
        ValueError: It is damaged, holds objects, or is of another kind.
    """
    if path.suffix == ".npz":
        return dict(read_npz(path))
    if path.suffix in (".pkl", ".pickle"):
        return dict(_leaves(read_tree(path), ""))
    raise ValueError(f"{path} is neither npz nor pickle. Save its arrays with numpy.savez, or mend `files`.")


def _leaves(tree: Mapping[Any, Any], above: str) -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for key, value in tree.items():
        name = f"{above}{key}"
        leaves += _leaves(value, f"{name}/") if isinstance(value, dict) else [(name, value)]
    return leaves
