"""A hierarchy of ever coarser graphs over a mesh, built from its faces alone.

Each level keeps vertices spread by farthest-point sampling along the surface. A fine vertex belongs to the nearest
kept one; two kept vertices are neighbours when their cells touch, which is the surface's own Delaunay graph. Down is
the mean over a cell, up interpolates between the nearest kept vertices by distance; both keep constants.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra


class Level(NamedTuple):
    """One coarsening step, from n to m vertices."""

    kept: np.ndarray  # (m,) indices into the finer level
    down: sparse.csr_array  # (m, n), rows sum to 1
    up: sparse.csr_array  # (n, m), rows sum to 1
    edges: np.ndarray  # (e, 2) of the coarse graph


def mesh_edges(faces: np.ndarray) -> np.ndarray:
    """Each undirected edge of (f, 3) faces once, as (e, 2)."""
    return np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1), axis=0)


def farthest_points(graph: sparse.csr_array, count: int) -> np.ndarray:
    """Vertices spread over the graph, the first one being the most remote from vertex 0."""
    reach = dijkstra(graph, indices=0)
    if not np.isfinite(reach).all():
        raise ValueError("The mesh is not connected, so it has no hierarchy. Check the hand model's faces.")
    kept = [int(reach.argmax())]
    reach = dijkstra(graph, indices=kept[0])
    while len(kept) < count:
        kept.append(int(reach.argmax()))
        reach = np.minimum(reach, dijkstra(graph, indices=kept[-1]))
    return np.sort(kept)


def coarsen(points: np.ndarray, edges: np.ndarray, count: int, neighbours: int = 3) -> Level:
    """One level down.

    Args:
        points: (n, 3) vertices, any unit.
        edges: (e, 2) undirected edges between them.
        count: Vertices to keep.
        neighbours: Kept vertices that a fine one is interpolated from.
    """
    n = len(points)
    if not 1 < count < n:
        raise ValueError(f"A level of {count} vertices cannot be made from {n}: --model.denoiser.sizes must fall.")
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    graph = sparse.csr_array((length, edges.T), shape=(n, n))
    graph = sparse.csr_array(graph + graph.T)
    kept = farthest_points(graph, count)
    distance = dijkstra(graph, indices=kept).T  # (n, m)
    cell = distance.argmin(axis=1)
    down = sparse.csr_array((np.ones(n), (cell, np.arange(n))), shape=(count, n))
    down = sparse.csr_array(sparse.diags_array(1 / down.sum(axis=1)) @ down)
    near = np.argsort(distance, axis=1, kind="stable")[:, : min(neighbours, count)]
    weight = 1 / (np.take_along_axis(distance, near, axis=1) ** 2 + 1e-8)
    weight /= weight.sum(axis=1, keepdims=True)
    rows = np.arange(n).repeat(near.shape[1])
    up = sparse.csr_array((weight.ravel(), (rows, near.ravel())), shape=(n, count))
    pairs = np.sort(cell[edges], axis=1)
    return Level(kept, down, up, np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0))


def build(points: np.ndarray, faces: np.ndarray, sizes: tuple[int, ...]) -> list[Level]:
    """The levels below a mesh, one for each of `sizes`; the same mesh gives the same levels."""
    return _build(points.tobytes(), faces.astype(np.int64).tobytes(), sizes)


@lru_cache(maxsize=8)
def _build(points: bytes, faces: bytes, sizes: tuple[int, ...]) -> list[Level]:
    position = np.frombuffer(points).reshape(-1, 3)
    edges = mesh_edges(np.frombuffer(faces, np.int64).reshape(-1, 3))
    levels = []
    for size in sizes:
        levels.append(coarsen(position, edges, size))
        position, edges = position[levels[-1].kept], levels[-1].edges
    return levels


def smooth_basis(edges: np.ndarray, size: int, count: int) -> np.ndarray:
    """The `count` smoothest functions on a graph, (size, count), unit variance: low eigenvectors of its Laplacian."""
    from zoo.denoisers.chebconv import scaled_laplacian

    _, vectors = np.linalg.eigh(scaled_laplacian(edges, size).toarray())
    basis = vectors[:, : min(count, size)] * np.sqrt(size)
    return np.pad(
        basis * np.sign(basis[np.abs(basis).argmax(0), np.arange(basis.shape[1])]),
        ((0, 0), (0, count - basis.shape[1])),
    )
