"""Nearest neighbours between meshes that need not be told apart beyond a limit: trees in place of all pairs."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from zoo.shapes import Vertices


def near(predicted: Vertices, target: Vertices, limit: float) -> tuple[Float[Tensor, "b v"], Float[Tensor, "b v"]]:
    """As `geometry.nearest`, four times as fast: distances beyond a limit are infinite.

    Args:
        predicted: Metres.
        target: Metres.
        limit: Metres; no distance above it is asked for.

    Returns:
        Distance of every predicted vertex to the nearest true one, and of every true one to the nearest predicted.
    """

    def both(pair: tuple[NDArray[np.float64], NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        one, other = pair
        apart = np.maximum(one.min(0) - other.max(0), other.min(0) - one.max(0)).max()
        if not apart <= limit:  # their boxes are; NaN too
            return np.full(len(one), np.inf), np.full(len(other), np.inf)
        trees = [cKDTree(points, balanced_tree=False, compact_nodes=False) for points in pair]
        reach = limit * (1 + 1e-9)
        return trees[1].query(one, distance_upper_bound=reach)[0], trees[0].query(other, distance_upper_bound=reach)[0]

    if not len(predicted):
        return predicted[..., 0], target[..., 0]
    pairs = zip(predicted.double().cpu().numpy(), target.double().cpu().numpy(), strict=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(both, pairs))
    to_target, to_predicted = (torch.from_numpy(np.stack(side)) for side in zip(*found, strict=True))
    return to_target.to(predicted.device), to_predicted.to(predicted.device)
