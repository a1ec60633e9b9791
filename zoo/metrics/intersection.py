"""Faces of a mesh that pass through other faces of the same mesh.

The definition: two faces intersect when an edge of one properly crosses the inside of the other; pairs that share a
vertex are neighbours and never count, and contact within one plane is ignored. Exact on the given coordinates up to
float64 rounding. The HHMR paper reports "SI" without stating its definition.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float
from numba import njit
from torch import Tensor

from zoo.shapes import Faces


@njit(cache=True, nogil=True, inline="always")
@no_type_check
def _volume(v, a, b, c, d):
    """Six times the signed volume of the tetrahedron on rows a, b, c, d of v."""
    ax, ay, az = v[b, 0] - v[a, 0], v[b, 1] - v[a, 1], v[b, 2] - v[a, 2]
    bx, by, bz = v[c, 0] - v[a, 0], v[c, 1] - v[a, 1], v[c, 2] - v[a, 2]
    cx, cy, cz = v[d, 0] - v[a, 0], v[d, 1] - v[a, 1], v[d, 2] - v[a, 2]
    return ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)


@njit(cache=True, nogil=True)
@no_type_check
def _pierces(v, p, q, a, b, c):
    """Whether the line through p and q, known to cross the plane of a, b, c, passes through the triangle."""
    first = _volume(v, p, q, a, b)
    second = _volume(v, p, q, b, c)
    if first * second <= 0:
        return False
    return first * _volume(v, p, q, c, a) > 0


@njit(cache=True, nogil=True)
@no_type_check
def _edges_pierce(v, s, t):
    """Whether an edge of triangle s (three vertex indices) properly crosses triangle t."""
    d0 = _volume(v, t[0], t[1], t[2], s[0])
    d1 = _volume(v, t[0], t[1], t[2], s[1])
    d2 = _volume(v, t[0], t[1], t[2], s[2])
    if d0 * d1 < 0 and _pierces(v, s[0], s[1], t[0], t[1], t[2]):
        return True
    if d1 * d2 < 0 and _pierces(v, s[1], s[2], t[0], t[1], t[2]):
        return True
    return d2 * d0 < 0 and _pierces(v, s[2], s[0], t[0], t[1], t[2])


@njit(cache=True, nogil=True)
@no_type_check
def _mark(vertices, faces, hits):
    """Sets hits[i, f] for every face f of mesh i that intersects another: sweep along the longest axis, then test."""
    count = len(faces)
    box = np.empty((count, 6))
    for mesh in range(len(vertices)):
        v = vertices[mesh]
        x, longest = 0, -1.0
        for k in range(3):
            extent = v[:, k].max() - v[:, k].min()
            if extent > longest:
                x, longest = k, extent
        y, z = (x + 1) % 3, (x + 2) % 3
        low = np.empty(count)
        for f in range(count):
            low[f] = min(v[faces[f, 0], x], v[faces[f, 1], x], v[faces[f, 2], x])
        order = np.argsort(low)
        for i in range(count):
            a, b, c = faces[order[i]]
            box[i, 0] = low[order[i]]
            box[i, 1] = max(v[a, x], v[b, x], v[c, x])
            box[i, 2] = min(v[a, y], v[b, y], v[c, y])
            box[i, 3] = max(v[a, y], v[b, y], v[c, y])
            box[i, 4] = min(v[a, z], v[b, z], v[c, z])
            box[i, 5] = max(v[a, z], v[b, z], v[c, z])
        for i in range(count):
            f = order[i]
            s = faces[f]
            end, y0, y1, z0, z1 = box[i, 1], box[i, 2], box[i, 3], box[i, 4], box[i, 5]
            for j in range(i + 1, count):
                if box[j, 0] > end:
                    break
                if box[j, 2] > y1 or y0 > box[j, 3] or box[j, 4] > z1 or z0 > box[j, 5]:
                    continue
                g = order[j]
                if hits[mesh, f] and hits[mesh, g]:
                    continue
                t = faces[g]
                shared = False
                for m in range(3):
                    shared = shared or s[m] == t[0] or s[m] == t[1] or s[m] == t[2]
                if not shared and (_edges_pierce(v, s, t) or _edges_pierce(v, t, s)):
                    hits[mesh, f] = True
                    hits[mesh, g] = True


def self_intersections(vertices: Float[Tensor, "b v 3"], faces: Faces) -> Bool[Tensor, "b f"]:
    """Marks the faces that intersect at least one other face sharing no vertex with them.

    Args:
        vertices: A batch of meshes of the same topology, any unit; moved to the CPU. Not differentiable.
        faces: Vertex indices.
    """
    points = np.ascontiguousarray(vertices.detach().cpu().numpy(), dtype=np.float64)
    triangles = np.ascontiguousarray(faces.cpu().numpy(), dtype=np.int64)
    if not np.isfinite(points).all():
        raise ValueError("vertices hold NaN or infinity, but self-intersection needs finite points; check the model")
    hits = np.zeros((len(points), len(triangles)), dtype=np.bool_)
    workers = min(torch.get_num_threads(), len(points))
    if workers <= 1:
        _mark(points, triangles, hits)
        return torch.from_numpy(hits)
    parts = [slice(len(points) * i // workers, len(points) * (i + 1) // workers) for i in range(workers)]
    with ThreadPoolExecutor(workers) as pool:  # the kernel holds no GIL and every mesh is its own row
        list(pool.map(lambda part: _mark(points[part], triangles, hits[part]), parts))
    return torch.from_numpy(hits)
