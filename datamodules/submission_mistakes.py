"""Tells a prediction that is written down wrongly from one that is merely bad.

A mistake is a change of unit, joint order or axes that makes most hands fit their labels at least twice as well, and
much better than no hand at all would. A prediction that is only bad has no such change: zeros, noise and mean hands
pass.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.scene import BoolArray, FloatArray
from zoo.hands.skeleton import INTERHAND_TO_SNAP, MANO_TIPS_TO_SNAP, SNAP_TO_INTERHAND, SNAP_TO_MANO_TIPS

LEFT_FIRST = "left hands first"
SPARSE = 8  # every eighth vertex of a mesh tells as much
SNAP, MANO_TIPS, INTERHAND = "SNAP-21", "HO3D (MANO, then tips)", "InterHand2.6M"
_TO_SNAP: dict[str, tuple[int, ...]] = {
    SNAP: tuple(range(21)),
    MANO_TIPS: MANO_TIPS_TO_SNAP,
    INTERHAND: INTERHAND_TO_SNAP,
}
_FROM_SNAP: dict[str, tuple[int, ...]] = {
    SNAP: tuple(range(21)),
    MANO_TIPS: SNAP_TO_MANO_TIPS,
    INTERHAND: SNAP_TO_INTERHAND,
}
_METRES = {"metres": 1.0, "decimetres": 0.1, "centimetres": 0.01, "millimetres": 0.001, "kilometres": 1000.0}
_TWICE = 0.5  # what is left of the error when a mistake is undone
_CLOSE = 1.25  # of the least error: among such corrections the one that changes least is named
_SOME = 256  # samples that are looked at

Signs = tuple[int, int, int]
Doubles = NDArray[np.float64]
_SIGNS: tuple[Signs, ...] = tuple((x, y, z) for x in (1, -1) for y in (1, -1) for z in (1, -1))


class Custom(NamedTuple):
    """How a dataset writes its labels down.

    Args:
        server: Whose custom it is, for messages.
        unit: Of lengths.
        order: Of joints.
        opengl: Whether y points up and the hand lies along -z; else y points down and z forward.
    """

    server: str
    unit: str
    order: str
    opengl: bool = False


class Correction(NamedTuple):
    """What has to be undone: multiply by `factor` and `signs`, then take the joints `order`."""

    factor: float
    unit: str
    order: str
    table: tuple[int, ...]
    signs: Signs

    def changes(self, custom: Custom) -> int:
        return (self.unit != custom.unit) + (self.order != custom.order) + (self.signs != (1, 1, 1))


def orders(custom: Custom, hands: int = 1) -> dict[str, tuple[int, ...]]:
    """For each known joint order, the table that leads to a dataset's own; two hands follow one another."""
    to = _FROM_SNAP[custom.order]
    tables = {name: tuple(table[i] for i in to) for name, table in _TO_SNAP.items()}
    if hands == 2:
        tables = {name: (*table, *(i + 21 for i in table)) for name, table in tables.items()}
        tables[LEFT_FIRST] = tuple((i + 21) % 42 for i in range(42))
    return tables


def mistake(
    predicted: FloatArray,
    target: FloatArray,
    custom: Custom,
    tables: Mapping[str, Sequence[int]] | None = None,
    valid: BoolArray | None = None,
    groups: int = 1,
) -> Correction | None:
    """The change that a prediction needs to be in a dataset's custom, or None where none helps.

    Args:
        predicted: (n, k, 3) joints or vertices, as they came.
        target: (n, k, 3) labels.
        custom: Of the labels.
        tables: For each joint order, what leads to the labels' own; None for vertices, whose order nobody changes.
        valid: (n, k) labels that exist; None for all.
        groups: Hands in a sample; each is compared without its own place.
    """
    if not len(target):
        return None
    some = np.unique(np.linspace(0, len(target) - 1, _SOME).round().astype(int))
    moving, fixed = predicted[some].astype(np.float64), target[some].astype(np.float64)
    known = np.ones(fixed.shape[:2], np.bool_) if valid is None else valid[some]
    as_is = tuple(range(fixed.shape[1]))
    own = _METRES[custom.unit]
    candidates = [
        Correction(metres / own, unit, order, tuple(table), signs)
        for (unit, metres), (order, table), signs in product(
            _METRES.items(), ({custom.order: as_is} if tables is None else tables).items(), _SIGNS
        )
    ]
    fixed = _centred(fixed, known, groups)
    errors = np.array([_error(_centred(_undone(moving, c), known, groups), fixed, known) for c in candidates])
    nothing = _error(np.zeros_like(fixed), fixed, known)
    now = errors[next(i for i, c in enumerate(candidates) if not c.changes(custom))]
    if not errors.min() < _TWICE * min(now, nothing):
        return None
    good = [i for i in range(len(errors)) if errors[i] <= _CLOSE * errors.min()]
    return candidates[min(good, key=lambda i: (candidates[i].changes(custom), errors[i]))]


def refuse(path: str, what: str, custom: Custom, found: Correction | None) -> None:
    """Raises the sentence about a mistake; None passes.

    Args:
        path: Of the prediction, for the message.
        what: "joints" or "meshes".
        custom: Of the labels.
        found: What `mistake` returns.

    Raises:
        ValueError: There is a mistake; names it and how to mend it.
    """
    if found is None or not found.changes(custom):
        return
    given, rule, fix = [], [], []
    if found.unit != custom.unit:
        given.append("1000 times too small" if found.unit == "kilometres" else f"in {found.unit}")
        rule.append(custom.unit)
        fix.append(f"multiply by {found.factor:g}")
    if found.order != custom.order:
        given.append(f"in the order of {found.order}" if found.order in _TO_SNAP else f"written {found.order}")
        rule.append(f"the order of {custom.order}")
        fix.append("swap the two hands" if found.order not in _TO_SNAP else _advice(found.order, custom.order))
    if found.signs != (1, 1, 1):
        given.append(_axes(found.signs, custom))
        rule.append("y up and the hand along -z (OpenGL)" if custom.opengl else "y down and z forward (OpenCV)")
        fix.append(f"multiply x, y, z by {', '.join(map(str, found.signs))}")
    raise ValueError(
        f"{path}: its {what} are {' and '.join(given)}: changed back, they fit the labels. {custom.server} takes "
        f"{' and '.join(rule)}. To mend it, {' and '.join(fix)}; --force scores the file as it is."
    )


def _undone(points: Doubles, found: Correction) -> Doubles:
    return points[:, found.table] * (found.factor * np.array(found.signs))


def _centred(points: Doubles, known: BoolArray, groups: int) -> Doubles:
    n, k, _ = points.shape
    split, weight = points.reshape(n, groups, -1, 3), known.reshape(n, groups, -1, 1)
    middle = (split * weight).sum(2, keepdims=True) / np.maximum(weight.sum(2, keepdims=True), 1)
    return np.where(weight, split - middle, 0).reshape(n, k, 3)


def _error(moving: Doubles, fixed: Doubles, known: BoolArray) -> float:
    """The mean distance in the median sample."""
    labelled = known.any(1)
    if not labelled.any():
        return 0.0
    apart = np.linalg.norm(moving - fixed, axis=-1).sum(1)[labelled] / known.sum(1)[labelled]
    return float(np.median(apart))


def _advice(order: str, own: str) -> str:
    """The table of `zoo.hands.skeleton` that reorders, or both that do."""
    short = {SNAP: "SNAP", MANO_TIPS: "MANO_TIPS", INTERHAND: "INTERHAND"}
    steps = [(order, own)] if SNAP in (order, own) else [(order, SNAP), (SNAP, own)]
    tables = " then ".join(f"{short[a]}_TO_{short[b]}" for a, b in steps)
    return f"take joints[:, {tables}] (zoo.hands.skeleton)"


def _axes(signs: Signs, custom: Custom) -> str:
    if signs == (1, -1, -1):
        return f"in {'OpenCV' if custom.opengl else 'OpenGL'}'s axes"
    wrong = " and ".join(name for name, sign in zip("xyz", signs, strict=True) if sign < 0)
    mirrored = "mirrored" if np.prod(signs) < 0 else "turned by half a turn"
    return f"{mirrored} ({wrong} the other way)"
