"""Points on a triangle surface: the nearest one, and moving vertices along it to even out the triangles."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from zoo.hands.build.source import Array, Index


def face_normals(vertices: Array, faces: Index) -> Array:
    """Unit normals (f, 3)."""
    a, b, c = vertices[faces].swapaxes(0, 1)
    normals = np.cross(b - a, c - a)
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def vertex_normals(vertices: Array, faces: Index) -> Array:
    """Unit normals (v, 3), weighted by area."""
    a, b, c = vertices[faces].swapaxes(0, 1)
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], np.cross(b - a, c - a))
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def boundary_edges(faces: Index) -> Index:
    """Directed edges (e, 2) that belong to one face only."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()
    known = {(a, b) for a, b in edges}
    return np.array([[a, b] for a, b in edges if (b, a) not in known], dtype=np.int64)


def adjacency(faces: Index, count: int) -> Array:
    """Averages over neighbours, (v, v), rows sum to one."""
    matrix = np.zeros((count, count))
    for a, b in ((0, 1), (1, 2), (2, 0)):
        matrix[faces[:, a], faces[:, b]] = matrix[faces[:, b], faces[:, a]] = 1
    return matrix / matrix.sum(1, keepdims=True)


def closest(points: Array, vertices: Array, faces: Index, candidates: int = 32) -> tuple[Index, Array]:
    """Nearest points among the faces with the nearest middles: face (n,) and barycentric shares (n, 3)."""
    _, near = cKDTree(vertices[faces].mean(1)).query(points, k=candidates)
    a, b, c = np.moveaxis(vertices[faces[near]], 2, 0)
    ab, ac, offset = b - a, c - a, points[:, None] - a
    uu, uv, vv, up, vp = ((x * y).sum(-1) for x, y in ((ab, ab), (ab, ac), (ac, ac), (ab, offset), (ac, offset)))
    determinant = uu * vv - uv**2
    s, t = (vv * up - uv * vp) / determinant, (uu * vp - uv * up) / determinant
    first, second = (up / uu).clip(0, 1), (vp / vv).clip(0, 1)
    third = ((vp - up + uu - uv) / (uu - 2 * uv + vv)).clip(0, 1)
    zero = np.zeros_like(s)
    s, t = np.stack([s, first, zero, 1 - third], -1), np.stack([t, zero, second, third], -1)
    miss = np.linalg.norm(s[..., None] * ab[:, :, None] + t[..., None] * ac[:, :, None] - offset[:, :, None], axis=-1)
    miss[(s < 0) | (t < 0) | (s + t > 1 + 1e-12)] = np.inf
    best = miss.reshape(len(points), -1).argmin(1)
    rows = np.arange(len(points))
    s, t = s.reshape(len(points), -1)[rows, best], t.reshape(len(points), -1)[rows, best]
    return near[rows, best // 4].astype(np.int64), np.stack([1 - s - t, s, t], -1)


class RoundSurface:
    """The source surface, rounded: Phong tessellation (Boubekeur and Alexa, 2008) passes through its vertices."""

    def __init__(self, vertices: Array, faces: Index, normals: Array) -> None:
        self.vertices, self.faces, self.normals = vertices, faces, normals

    def __call__(self, points: Array, roundness: float = 0.75) -> Array:
        """Points (n, 3) brought onto the surface."""
        face, share = closest(points, self.vertices, self.faces)
        corners, normals = self.vertices[self.faces[face]], self.normals[self.faces[face]]
        flat = np.einsum("nk,nki->ni", share, corners)
        height = np.einsum("nki,nki->nk", flat[:, None] - corners, normals)
        round_ = flat - np.einsum("nk,nk,nki->ni", share, height, normals)
        return (1 - roundness) * flat + roundness * round_


def relax(vertices: Array, faces: Index, surface: RoundSurface, strength: Array, steps: int = 6) -> Array:
    """Slide vertices by strength (v,) of the way to their neighbours' middle on the surface, but for the boundary."""
    average = adjacency(faces, len(vertices))
    inner = np.setdiff1d(np.arange(len(vertices)), boundary_edges(faces))
    for _ in range(steps):
        normals = vertex_normals(vertices, faces)[inner]
        pull = strength[inner, None] * (average @ vertices - vertices)[inner]
        pull -= (pull * normals).sum(1, keepdims=True) * normals
        vertices = vertices.copy()
        vertices[inner] = surface(vertices[inner] + pull)
    return vertices


def flip_edges(vertices: Array, faces: Index, free: NDArray[np.bool_], sweeps: int = 4) -> Index:
    """Delaunay flips among free (v,) vertices where the surface is nearly flat: same counts, rounder triangles."""
    faces = faces.copy()
    for _ in range(sweeps):
        owner = {(int(face[k]), int(face[k - 2])): i for i, face in enumerate(faces) for k in range(3)}
        edges = set(owner)
        valence = np.bincount(faces.ravel())
        changed: set[int] = set()
        for a, b in sorted(edges):
            if a > b or (b, a) not in edges or not (free[a] and free[b]):
                continue
            left, right = owner[a, b], owner[b, a]
            if {left, right} & changed:
                continue
            c, d = (next(int(v) for v in faces[i] if v not in (a, b)) for i in (left, right))
            if (c, d) in edges or (d, c) in edges or min(valence[a], valence[b]) < 5 or max(valence[c], valence[d]) > 7:
                continue
            pa, pb, pc, pd = vertices[[a, b, c, d]]
            old = [np.cross(pb - pa, pc - pa), np.cross(pa - pb, pd - pb)]
            new = [np.cross(pd - pc, pb - pc), np.cross(pc - pd, pa - pd)]
            smooth = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in ((*old,), (*new,))]
            opposite = [_angle(pc, pa, pb) + _angle(pd, pa, pb), _angle(pa, pc, pd) + _angle(pb, pc, pd)]
            if opposite[0] > opposite[1] + 1e-9 and min(smooth) > 0.94 and opposite[0] > np.pi + 1e-6:
                faces[left], faces[right] = (c, d, b), (d, c, a)
                edges |= {(c, d), (d, c)}
                changed |= {left, right}
                valence[[a, b]] -= 1
                valence[[c, d]] += 1
        if not changed:
            break
    return faces


def _angle(tip: Array, left: Array, right: Array) -> float:
    x, y = left - tip, right - tip
    return float(np.arccos(np.clip(x @ y / np.linalg.norm(x) / np.linalg.norm(y), -1, 1)))
