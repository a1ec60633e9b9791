"""Simple solid things to hold or to stand in front of a hand: cylinders, boxes, balls, pens, plates."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]


class Solid(NamedTuple):
    """A closed mesh; faces are counter-clockwise seen from outside."""

    vertices: Floats  # (v, 3) metres
    faces: Ints  # (f, 3)
    kind: str = "thing"  # its name


def lathe(profile: Floats, segments: int = 20) -> Solid:
    """A solid of revolution about z.

    Args:
        profile: (p, 2) radius and height in metres, from the lower end to the upper.
        segments: around the axis.
    """
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    body = [np.concatenate([r * ring, np.full((segments, 1), h)], 1) for r, h in profile]
    ends = np.array([[0, 0, profile[0, 1]], [0, 0, profile[-1, 1]]])
    vertices = np.concatenate([*body, ends]).astype(np.float32)
    here = np.arange(segments)
    after = np.roll(here, -1)
    low, high = len(vertices) - 2, len(vertices) - 1
    top = (len(profile) - 1) * segments
    faces = [
        np.stack([after, here, np.full(segments, low)], 1),
        np.stack([top + here, top + after, np.full(segments, high)], 1),
    ]
    for i in range(len(profile) - 1):
        a, b, c, d = i * segments + here, i * segments + after, (i + 1) * segments + here, (i + 1) * segments + after
        faces += [np.stack([a, b, c], 1), np.stack([b, d, c], 1)]
    return Solid(vertices, np.concatenate(faces))


def box(size: Floats) -> Solid:
    """A box of (3,) metres around the origin."""
    corners = np.array([[x, y, z] for z in (-0.5, 0.5) for y in (-0.5, 0.5) for x in (-0.5, 0.5)], np.float32)
    quads = np.array([[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]])
    return Solid(corners * size.astype(np.float32), np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]))


def solid(rng: np.random.Generator) -> Solid:
    """A random thing, its long axis along z, sized to be held in one hand."""
    kind = rng.choice(["can", "bottle", "ball", "box", "pen", "cup"], p=[0.22, 0.16, 0.16, 0.2, 0.16, 0.1])
    radius, height = rng.uniform(0.015, 0.035), rng.uniform(0.07, 0.2)
    if kind == "box":
        size = np.array([rng.uniform(0.02, 0.06), rng.uniform(0.01, 0.05), rng.uniform(0.06, 0.18)])
        return box(size)._replace(kind="box")
    if kind == "ball":
        turn = np.linspace(0.02, np.pi - 0.02, 10)
        stretch = rng.uniform(0.8, 1.4)
        ball = np.stack([np.sin(turn), -stretch * np.cos(turn)], 1) * rng.uniform(0.018, 0.035)
        return lathe(ball.astype(np.float32))._replace(kind="ball")
    if kind == "pen":
        r, tall = rng.uniform(0.003, 0.007), rng.uniform(0.11, 0.18)
        pen = np.array([[0.001, -tall / 2], [r, -tall / 2 + 0.012], [r, tall / 2]])
        return lathe(pen.astype(np.float32), segments=10)._replace(kind="pen")
    if kind == "bottle":
        neck = rng.uniform(0.25, 0.5) * radius
        profile = [[radius, -0.5], [radius, 0.15], [neck, 0.32], [neck, 0.5]]
    elif kind == "cup":
        profile = [[0.75 * radius, -0.5], [1.15 * radius, 0.5]]
        height = rng.uniform(0.08, 0.12)
    else:
        profile = [[0.95 * radius, -0.5], [radius, -0.47], [radius, 0.47], [0.95 * radius, 0.5]]
    return lathe((np.array(profile) * np.array([1, height])).astype(np.float32))._replace(kind=str(kind))


def _frame(axis: Floats, rng: np.random.Generator) -> Floats:
    """A rotation matrix whose third column is `axis`."""
    third = axis / np.linalg.norm(axis)
    first = np.cross(third, rng.normal(size=3))
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(third, first), third], 1).astype(np.float32)


def held(joints: Floats, rng: np.random.Generator) -> Solid:
    """A thing in the hollow of the hand, across the palm.

    Args:
        joints: (21, 3) metres, SNAP-21.
        rng: draws the thing and how it is held.
    """
    thing = solid(rng)
    knuckles, middles, tips = joints[[5, 9, 13, 17]], joints[[7, 11, 15, 19]], joints[[8, 12, 16, 20]]
    hollow = 0.35 * knuckles.mean(0) + 0.35 * middles.mean(0) + 0.2 * tips.mean(0) + 0.1 * joints[4]
    across = joints[5] - joints[17] + rng.normal(0, 0.012, 3)
    frame = _frame(across, rng)
    along = rng.uniform(-0.25, 0.25) * np.ptp(thing.vertices[:, 2])
    return thing._replace(vertices=(thing.vertices @ frame.T + hollow + frame[:, 2] * along).astype(np.float32))


def in_front(joints: Floats, rng: np.random.Generator) -> Solid:
    """A thing between the camera and some edge of the hand, as `held` but nearer and anywhere."""
    thing = solid(rng)
    target = joints[rng.integers(1, 21)] + rng.normal(0, 0.02, 3)
    nearest = float(joints[:, 2].min())
    place = target * (nearest - rng.uniform(0.03, 0.12)) / target[2]
    frame = _frame(rng.normal(size=3).astype(np.float32), rng)
    return thing._replace(vertices=(0.9 * thing.vertices @ frame.T + place).astype(np.float32))
