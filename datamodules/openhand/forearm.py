"""A forearm for made pictures: grown from the open edge of the hand mesh, drawn but never labelled."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]


class Forearm(NamedTuple):
    """Vertices to append to the hand's, and faces that refer to both."""

    vertices: Floats  # (r, 3) metres, camera frame
    rest: Floats  # (r, 3) metres, the same points in the rest pose's frame (wrist at 0, forearm away from the fingers)
    faces: Ints  # (f, 3)
    cloth: NDArray[np.bool_]  # (r,) True = sleeve, False = skin


def boundary_loop(faces: Ints) -> Ints:
    """The open edge of a mesh with one hole: vertex ids in the order in which its faces walk along it."""
    edges = {(int(a), int(b)) for a, b in np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])}
    after = {a: b for a, b in edges if (b, a) not in edges}
    loop = [min(after)]
    while (vertex := after[loop[-1]]) != loop[0]:
        loop.append(vertex)
    return np.array(loop, dtype=np.int64)


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def _tube(inner: Ints, first: int, rings: int) -> Ints:
    """Faces between ring `inner` and `rings` rings of new vertices that start at vertex `first`."""
    size = len(inner)
    loops = [inner, *(first + size * ring + np.arange(size) for ring in range(rings))]
    faces = []
    for near, far in pairwise(loops):
        a, b, c, d = near, np.roll(near, -1), far, np.roll(far, -1)
        faces += [np.stack([b, a, c], 1), np.stack([b, c, d], 1)]
    return np.concatenate(faces)


def grow(
    vertices: Floats, rest: Floats, loop: Ints, rng: np.random.Generator, *, bare: float, length: float = 0.45
) -> Forearm:
    """Extrudes the open edge into a bent, widening arm, with a sleeve over it from `bare` metres on.

    Args:
        vertices: (778, 3) posed hand, metres, camera frame.
        rest: (778, 3) the same hand in the rest pose, wrist at the origin.
        loop: from `boundary_loop`.
        rng: draws the bend of the wrist and the widths.
        bare: length of bare skin, metres; `length` or more means no sleeve.
        length: of the arm, metres.
    """
    edge, following = vertices[loop], vertices[np.roll(loop, -1)]
    middle = edge.mean(0)
    away = _unit(middle - vertices.mean(0))
    normal = np.cross(edge - middle, following - middle).sum(0)
    start = _unit(_unit(normal * np.sign(normal @ away)) + away)
    bent = _unit(start + rng.normal(0, 0.22, 3).astype(np.float32))
    bent = _unit(np.array([bent[0], bent[1], max(bent[2], -0.3)], np.float32))  # never up to the camera

    cuff = [bare, bare + 0.015] if bare < length - 0.05 else []  # the sleeve's edge, and skin's end inside of it
    distances = np.sort(np.concatenate([[0.004, 0.012, 0.022], np.linspace(0.035, length, 11), cuff])).astype(
        np.float32
    )
    blend = np.minimum(distances / 0.06, 1)[:, None]
    axes = (1 - blend) * start + blend * bent
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    steps = np.diff(distances, prepend=np.float32(0))[:, None] * axes
    centres = middle + np.cumsum(steps, 0)
    offsets = edge - middle
    lean = np.minimum(distances / 0.03, 1)[:, None, None] * (axes @ offsets.T)[..., None] * axes[:, None]
    widths = 1 + (rng.uniform(1.25, 1.6) - 1) * (distances / length) ** 1.3
    points = centres[:, None] + widths[:, None, None] * (offsets[None] - lean)
    outward = np.sign(rest[loop].mean(0)[0] - rest.mean(0)[0])
    rests = rest[loop][None] + outward * distances[:, None, None] * np.array([1, 0, 0], np.float32)

    shown = distances <= np.float32(bare + 0.015)
    sleeve = (distances >= np.float32(bare)) & bool(cuff)
    cloth = centres[:, None] + rng.uniform(1.12, 1.4) * (points - centres[:, None])
    size = len(loop)
    skin_rings, cloth_rings = int(shown.sum()), int(sleeve.sum())
    faces = [_tube(loop, len(vertices), skin_rings)]
    if cuff:
        first = len(vertices) + skin_rings * size
        faces.append(_tube(first + np.arange(size), first + size, cloth_rings - 1))
    return Forearm(
        np.concatenate([points[shown].reshape(-1, 3), cloth[sleeve].reshape(-1, 3)]).astype(np.float32),
        np.concatenate([rests[shown].reshape(-1, 3), rests[sleeve].reshape(-1, 3)]).astype(np.float32),
        np.concatenate(faces),
        np.concatenate([np.zeros(skin_rings * size, bool), np.ones(cloth_rings * size, bool)]),
    )
