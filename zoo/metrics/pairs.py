"""Mean distances of all pairs of meshes, in tiles that stay in the cache."""

from concurrent.futures import ThreadPoolExecutor
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float
from numba import njit
from torch import Tensor

TILE = 16  # meshes; two tiles of 778 vertices fill a second-level cache of 512 kB to a third


# Any order of the sum, but no promise that nothing is NaN: a broken mesh must not look like a sound one.
@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "arcp", "nsz", "afn"})
@no_type_check
def _distance(a, b, points):
    total = np.float32(0)
    for n in range(points):
        x, y, z = a[0, n] - b[0, n], a[1, n] - b[1, n], a[2, n] - b[2, n]
        total += np.sqrt(x * x + y * y + z * z)
    return total


@njit(cache=True, nogil=True)
@no_type_check
def _row(meshes, top):
    """Sum of the pairs in one row of tiles."""
    count, points = len(meshes), meshes.shape[2]
    total = 0.0
    for left in range(top, count, TILE):
        for i in range(top, min(top + TILE, count)):
            for j in range(max(left, i + 1), min(left + TILE, count)):
                total += _distance(meshes[i], meshes[j], points)
    return total


def mean_pairwise_distance(meshes: Float[Tensor, "n v 3"]) -> float:
    """1/(n(n-1)) of the sum over ordered pairs of the mean distance of corresponding vertices, in the meshes' unit.

    NaN with fewer than two meshes.
    """
    n, points, _ = meshes.shape
    if n < 2 or not points:
        return float("nan")
    arrays = np.ascontiguousarray(meshes.detach().float().cpu().numpy().transpose(0, 2, 1))
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # rows get shorter, so the short ones even out the end
        total = sum(pool.map(lambda top: _row(arrays, top), range(0, n, TILE)))
    return float(total / points / (n * (n - 1) / 2))
