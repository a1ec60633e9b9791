"""Faces of a mesh that pass through other faces of the same mesh.

The definition: two faces intersect when their insides (without edges and corners) share a point and they do not lie in
one plane. Pairs that share a vertex are neighbours and never count; nor do faces that only touch, overlap within one
plane, or have no area. Exact on coordinates rounded to float32: signs of volumes that float64 cannot decide are worked
out without rounding. The HHMR paper reports "SI" without stating its definition.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float
from numba import njit
from torch import Tensor

from zoo.shapes import Faces

DOUBT = 5e-15  # bounds the rounding error of a volume, in cubes of the mesh's extent: 6 products of 7 roundings each
BINS = 2048


@njit(cache=True, nogil=True)
@no_type_check
def _exact_side(v, a, b, c, d):
    """The sign of the volume of a, b, c, d; float32 coordinates make triple products two float64 numbers each."""
    parts = np.empty(48)
    used = 0
    for corner in range(4):
        if corner == 0:
            i, j, k, sign = b, c, d, 1.0
        elif corner == 1:
            i, j, k, sign = a, c, d, -1.0
        elif corner == 2:
            i, j, k, sign = a, b, d, 1.0
        else:
            i, j, k, sign = a, b, c, -1.0
        for m in range(6):
            x = m % 3
            y, z, turn = ((x + 1) % 3, (x + 2) % 3, sign) if m < 3 else ((x + 2) % 3, (x + 1) % 3, -sign)
            two, one = turn * v[i, x] * v[j, y], v[k, z]
            product = two * one
            # Dekker's product: what rounding took away
            high_two, high_one = 134217729.0 * two, 134217729.0 * one
            high_two, high_one = high_two - (high_two - two), high_one - (high_one - one)
            low_two, low_one = two - high_two, one - high_one
            rest = low_two * low_one - (((product - high_two * high_one) - low_two * high_one) - high_two * low_one)
            for half in range(2):  # Shewchuk's growing expansion: a sum without rounding
                total = rest if half == 0 else product
                for n in range(used):
                    other = parts[n]
                    longer = total + other
                    back = longer - total
                    parts[n] = (total - (longer - back)) + (other - back)
                    total = longer
                parts[used] = total
                used += 1
    for n in range(47, -1, -1):
        if parts[n] != 0:
            return 1 if parts[n] > 0 else -1
    return 0


@njit(cache=True, nogil=True)
@no_type_check
def _side(v, a, b, c, d, doubt):
    """On which side of the plane of rows a, b, c of v row d lies: 1, -1, or 0 for in it."""
    ax, ay, az = v[b, 0] - v[a, 0], v[b, 1] - v[a, 1], v[b, 2] - v[a, 2]
    bx, by, bz = v[c, 0] - v[a, 0], v[c, 1] - v[a, 1], v[c, 2] - v[a, 2]
    cx, cy, cz = v[d, 0] - v[a, 0], v[d, 1] - v[a, 1], v[d, 2] - v[a, 2]
    volume = ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
    if volume > doubt:
        return 1
    if volume < -doubt:
        return -1
    return _exact_side(v, a, b, c, d)


@njit(cache=True, nogil=True)
@no_type_check
def _turned(t, s0, s1, s2):
    """The triangle turned so that its first vertex is alone on its side of a plane, and that vertex's side."""
    if (s0 > 0) + (s1 > 0) + (s2 > 0) == 1:
        side = 1
        first = 0 if s0 > 0 else 1 if s1 > 0 else 2
    else:
        side = -1
        first = 0 if s0 < 0 else 1 if s1 < 0 else 2
    return t[first], t[(first + 1) % 3], t[(first + 2) % 3], side


@njit(cache=True, nogil=True)
@no_type_check
def _meet(v, s, t, doubt):
    """Whether the insides of two triangles in different planes share a point (after Guigue and Devillers 2003).

    Each triangle that has vertices on both sides of the other's plane cuts an interval from the line in which the
    planes meet; the intervals' ends are compared by the sides of four of the six vertices.
    """
    a0 = _side(v, t[0], t[1], t[2], s[0], doubt)
    a1 = _side(v, t[0], t[1], t[2], s[1], doubt)
    a2 = _side(v, t[0], t[1], t[2], s[2], doubt)
    if min(a0, a1, a2) >= 0 or max(a0, a1, a2) <= 0:
        return False
    b0 = _side(v, s[0], s[1], s[2], t[0], doubt)
    b1 = _side(v, s[0], s[1], s[2], t[1], doubt)
    b2 = _side(v, s[0], s[1], s[2], t[2], doubt)
    if min(b0, b1, b2) >= 0 or max(b0, b1, b2) <= 0:
        return False
    p, p1, p2, above = _turned(s, a0, a1, a2)
    q, q1, q2, over = _turned(t, b0, b1, b2)
    if above < 0:
        q1, q2 = q2, q1
    if over < 0:
        p1, p2 = p2, p1
    return _side(v, p, p1, q, q1, doubt) < 0 and _side(v, p, p2, q2, q, doubt) < 0


@njit(cache=True, nogil=True)
@no_type_check
def _boxes(v, faces, x, start, box, corners, order):
    """Boxes and corners of the faces, ordered by the bin in which they begin along axis x; bins' ends go to `start`."""
    count = len(faces)
    y, z = (x + 1) % 3, (x + 2) % 3
    low = v[:, x].min()
    scale = (BINS - 1) / (v[:, x].max() - low)
    bins = np.empty(count, np.int64)
    start[:] = 0
    for f in range(count):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        bins[f] = int((min(v[a, x], v[b, x], v[c, x]) - low) * scale)
        start[bins[f] + 1] += 1
    for n in range(BINS):
        start[n + 1] += start[n]
    for f in range(count):
        row = start[bins[f]]
        start[bins[f]] += 1
        order[row] = f
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        corners[row, 0], corners[row, 1], corners[row, 2] = a, b, c
        box[0, row], box[1, row] = min(v[a, x], v[b, x], v[c, x]), max(v[a, x], v[b, x], v[c, x])
        box[2, row], box[3, row] = min(v[a, y], v[b, y], v[c, y]), max(v[a, y], v[b, y], v[c, y])
        box[4, row], box[5, row] = min(v[a, z], v[b, z], v[c, z]), max(v[a, z], v[b, z], v[c, z])
    return low, scale


@njit(cache=True, nogil=True)
@no_type_check
def _mark(vertices, faces, hits):
    """Sets hits[i, f] for every face f of mesh i that intersects another: sweep along the longest axis, then test."""
    count = len(faces)
    box = np.empty((6, count + 8), np.float32)
    corners, order, start = np.empty((count, 3), np.int64), np.empty(count, np.int64), np.empty(BINS + 1, np.int64)
    near, rows = np.empty(count, np.uint8), np.empty(count + 1, np.int64)
    for mesh in range(len(vertices)):
        v = vertices[mesh]
        x, longest, shortest = 0, -1.0, np.inf
        for k in range(3):
            extent = v[:, k].max() - v[:, k].min()
            shortest = min(shortest, extent)
            if extent > longest:
                x, longest = k, extent
        if shortest == 0:  # all of it lies in one plane
            continue
        doubt = DOUBT * longest**3
        low, scale = _boxes(v, faces, x, start, box, corners, order)
        for i in range(count):
            x0, x1, y0, y1, z0, z1 = box[0, i], box[1, i], box[2, i], box[3, i], box[4, i], box[5, i]
            stop = start[int((x1 - low) * scale)]
            span = stop - i - 1
            if span <= 0:
                continue
            a, b, c = box[0, i + 1 : stop], box[1, i + 1 : stop], box[2, i + 1 : stop]
            d, e, g = box[3, i + 1 : stop], box[4, i + 1 : stop], box[5, i + 1 : stop]
            for n in range(span):  # one vectorised pass without branches
                near[n] = (a[n] <= x1) & (b[n] >= x0) & (c[n] <= y1) & (d[n] >= y0) & (e[n] <= z1) & (g[n] >= z0)
            used = 0
            for n in range(span):  # nor has this one: mistaken branches would cost more than all comparisons
                rows[used] = i + 1 + n
                used += near[n]
            s0, s1, s2 = corners[i, 0], corners[i, 1], corners[i, 2]
            for n in range(used):
                j = rows[n]
                t0, t1, t2 = corners[j, 0], corners[j, 1], corners[j, 2]
                first = (s0 == t0) | (s0 == t1) | (s0 == t2)
                second = (s1 == t0) | (s1 == t1) | (s1 == t2)
                if first | second | (s2 == t0) | (s2 == t1) | (s2 == t2):
                    continue
                f, h = order[i], order[j]
                if not (hits[mesh, f] and hits[mesh, h]) and _meet(v, corners[i], corners[j], doubt):
                    hits[mesh, f] = True
                    hits[mesh, h] = True


def self_intersections(vertices: Float[Tensor, "b v 3"], faces: Faces) -> Bool[Tensor, "b f"]:
    """Marks the faces that intersect at least one other face sharing no vertex with them.

    Args:
        vertices: A batch of meshes of the same topology, any unit; moved to the CPU. Not differentiable.
        faces: Vertex indices.
    """
    points = np.ascontiguousarray(vertices.detach().float().cpu().numpy(), dtype=np.float64)
    triangles = np.ascontiguousarray(faces.cpu().numpy(), dtype=np.int64)
    broken = np.flatnonzero(~np.isfinite(points).all((1, 2)))
    if len(broken):
        raise ValueError(
            f"Meshes {broken[:8].tolist()} hold NaN or infinity, but self-intersection needs finite points; "
            "check the model."
        )
    hits = np.zeros((len(points), len(triangles)), dtype=np.bool_)
    workers = min(torch.get_num_threads(), len(points)) if len(triangles) else 0
    if workers <= 1:
        if workers:
            _mark(points, triangles, hits)
        return torch.from_numpy(hits)
    few = max(1, len(points) // (4 * workers))  # a thread that gets less of its core gets fewer of the parts
    parts = [slice(i, i + few) for i in range(0, len(points), few)]
    with ThreadPoolExecutor(workers) as pool:  # the kernel holds no GIL and every mesh is its own row
        list(pool.map(lambda part: _mark(points[part], triangles, hits[part]), parts))
    return torch.from_numpy(hits)
