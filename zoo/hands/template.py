"""The numbers of a hand model under MANO's keys, checked one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.hands.skeleton import MANO_PARENTS

SHAPES: dict[str, tuple[int, ...]] = {
    "v_template": (778, 3),  # metres
    "shapedirs": (778, 3, 10),  # metres a standard deviation; files may hold more, which are left out
    "posedirs": (778, 3, 135),  # metres for each entry of R - I, 15 joints
    "J_regressor": (16, 778),
    "weights": (778, 16),
    "hands_components": (45, 45),  # rows, axis-angle
    "hands_mean": (45,),  # axis-angle
}
INTEGERS: dict[str, tuple[int, ...]] = {"kintree_table": (2, 16), "f": (1538, 3)}
KEYS = (*SHAPES, *INTEGERS)


@dataclass(frozen=True)
class Template:
    """A hand model's arrays, float64 and int64; shapes as in `SHAPES`."""

    v_template: NDArray[np.float64]
    shapedirs: NDArray[np.float64]
    posedirs: NDArray[np.float64]
    J_regressor: NDArray[np.float64]
    weights: NDArray[np.float64]
    hands_components: NDArray[np.float64]
    hands_mean: NDArray[np.float64]
    f: NDArray[np.int64]
    tips: tuple[int, ...]  # vertices: thumb, index, middle, ring, pinky
    shape_names: tuple[str, ...]


def check_template(
    arrays: Mapping[str, Any], source: str, advice: str, tips: Sequence[int], shape_names: Sequence[str]
) -> Template:
    """Checks names, shapes, types and ranges.

    Args:
        arrays: By MANO's keys.
        source: What the arrays were read from, for the error.
        advice: What to do about a wrong file; ends the error.
        tips: Five vertices: thumb, index, middle, ring, pinky.
        shape_names: Ten names.

    Returns:
        The template.

    Raises:
        ValueError: The first thing that is missing or wrong.
    """
    checked: dict[str, NDArray[Any]] = {}
    for key in KEYS:
        shape = SHAPES.get(key) or INTEGERS[key]
        if key not in arrays:
            raise ValueError(f"{source} has no key '{key}' (expected: numbers of shape {shape}). {advice}")
        value = np.asarray(arrays[key])
        if key == "shapedirs" and value.ndim == 3:
            value = value[:, :, :10]
        if value.shape != shape or value.dtype.kind not in ("f" if key in SHAPES else "iu"):
            kind = "floating-point" if key in SHAPES else "integer"
            raise ValueError(
                f"{source}: key '{key}' holds {value.dtype} of shape {value.shape}, not {kind} numbers of shape "
                f"{shape}. {advice}"
            )
        if not np.isfinite(value).all():
            raise ValueError(f"{source}: key '{key}' holds numbers that are not finite: the file is damaged. {advice}")
        checked[key] = value.astype(np.float64 if key in SHAPES else np.int64)
    parents = tuple(checked["kintree_table"][0, 1:].tolist())
    if parents != MANO_PARENTS[1:]:
        raise ValueError(f"{source}: key 'kintree_table' has parents {parents}, not {MANO_PARENTS[1:]}. {advice}")
    if checked["f"].min() < 0 or checked["f"].max() > 777:
        raise ValueError(f"{source}: key 'f' names vertices outside 0..777. {advice}")
    for key, axis in (("weights", 1), ("J_regressor", 1)):
        if np.abs(checked[key].sum(axis) - 1).max() > 1e-3:
            raise ValueError(f"{source}: key '{key}' has rows that do not sum to 1. {advice}")
    ids = tuple(int(tip) for tip in tips)
    if len(set(ids)) != 5 or min(ids) < 0 or max(ids) > 777:
        raise ValueError(
            f"tips={list(ids)} are not five different vertices of 0..777: thumb, index, middle, ring, pinky."
        )
    if len(shape_names) != 10:
        raise ValueError(f"{source}: key 'shape_names' has {len(shape_names)} names, not 10. {advice}")
    del checked["kintree_table"]
    return Template(**checked, tips=ids, shape_names=tuple(str(name) for name in shape_names))
