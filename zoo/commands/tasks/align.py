"""How a hand lies in space, from the part of it that is known: its turn, its unit, its side."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo.commands.tasks.case import Bools, Floats
from zoo.hands.model import HandModel
from zoo.hands.skeleton import LEFT, RIGHT

UNITS = {"m": 1.0, "cm": 100.0, "mm": 1000.0, "inches": 39.37}  # in a metre
SIZES = (0.55, 1.7)  # of the mean adult hand: from a toddler's to more than anybody's
PALM = 40  # vertices of the palm that say enough about how a hand lies
PALM_JOINTS = [0, 1, 5, 9, 13, 17]

Doubles = NDArray[np.float64]


class Pose(NamedTuple):
    """`target = scale * source @ rotation.T + shift`, as well as it goes."""

    rotation: Doubles  # (3, 3), det 1
    scale: float
    shift: Doubles  # (3,)
    residual: float  # root mean square distance over the scale


def align(source: NDArray[np.floating], target: NDArray[np.floating]) -> Pose:
    """The similarity between two sets of points, in closed form, without reflections."""
    a, b = source.astype(np.float64), target.astype(np.float64)
    mean_a, mean_b = a.mean(0), b.mean(0)
    a, b = a - mean_a, b - mean_b
    u, s, vh = np.linalg.svd(b.T @ a)
    sign = np.array([1, 1, np.sign(np.linalg.det(u) * np.linalg.det(vh)) or 1])
    rotation = (u * sign) @ vh
    scale = float((s * sign).sum() / max(np.square(a).sum(), 1e-12))
    residual = float(np.sqrt(np.square(scale * a @ rotation.T - b).sum(1).mean())) / max(scale, 1e-12)
    return Pose(rotation, scale, mean_b - scale * rotation @ mean_a, residual)


def mesh_pose(hand: HandModel, vertices: Floats, known: Bools, side: int) -> Pose:
    """How the flat hand of a side lies on the known vertices of a mesh; by the palm, where there is enough of it."""
    palm = known & (hand.parts.cpu().numpy() == 0)
    rows = palm if palm.sum() >= PALM else known
    flat = hand.template.cpu().numpy()
    if side == LEFT:
        flat = flat * np.array([-1, 1, 1], np.float32)
    return align(flat[rows], vertices[rows])


def skeleton_pose(hand: HandModel, joints: Floats, known: Bools, side: int) -> Pose:
    """The same for 21 joints."""
    rows = [joint for joint in PALM_JOINTS if known[joint]]
    if len(rows) < 3:
        rows = np.flatnonzero(known).tolist()
    flat = hand.regress(hand.template).cpu().numpy()
    if side == LEFT:
        flat = flat * np.array([-1, 1, 1], np.float32)
    return align(flat[rows], joints[rows])


def size_problem(scale: float) -> str | None:
    """Why a hand of so many times the mean hand's size is in no metres."""
    if SIZES[0] <= scale <= SIZES[1]:
        return None
    said = f"it is {scale:.3g} times as large as a hand in metres"
    for unit, many in UNITS.items():
        if unit != "m" and SIZES[0] <= scale / many <= SIZES[1]:
            return f"{said}, so it seems to be in {unit}" + ("" if unit == "inches" else f"; give --unit {unit}")
    return f"{said}; scale it to metres"


def order_problem(hand: HandModel, vertices: Floats, known: Bools, scale: float) -> str | None:
    """Why the vertices are not in MANO's order: neighbours lie far apart."""
    faces = hand.faces.cpu().numpy()
    faces = faces[known[faces].all(1)]
    if not len(faces):
        return None

    def edges(points: Floats) -> float:
        corners = points[faces]
        return float(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1).mean())

    usual = edges(hand.template.cpu().numpy()) * scale
    longer = edges(vertices) / max(usual, 1e-12)
    if 1 / 2.5 < longer < 2.5:
        return None
    return f"its vertices are not in MANO's order: neighbours lie {longer:.1f} times as far apart as they should"


def side_name(side: int) -> str:
    return {LEFT: "left", RIGHT: "right"}[side]
