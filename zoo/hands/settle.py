"""Moves a mesh onto what is known of it, and its surroundings along, smoothly."""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.shapes import Faces, Vertices

REACH = 4.0  # edges, some 2 cm: how far a correction is felt where nothing is known


def settle(
    vertices: Vertices, faces: Faces, observed: Float[Tensor, "k 778"], target: Float[Tensor, "*b k 3"]
) -> Vertices:
    """The meshes whose `observed @ vertices` is the target, bent as little as possible.

    The displacement d minimises |L d|^2 + |d|^2 / REACH^4 with the graph Laplacian L, under observed @ d = what is off.

    Args:
        vertices: (*b, 778, 3) metres.
        faces: Their edges decide who is whose neighbour.
        observed: Rows of weights: one-hot for vertices, those of the joint regressor for joints; independent of each
            other.
        target: (*b, k, 3) metres.
    """
    rows = observed.double().cpu()
    stiff = _compliance(tuple(map(tuple, faces.cpu().tolist()))) @ rows.mT  # (778, k)
    spread = torch.linalg.solve(rows @ stiff, stiff.mT).mT
    off = target.double().cpu() - rows @ vertices.double().cpu()
    return (vertices.double().cpu() + spread @ off).to(vertices)


@lru_cache(maxsize=4)
def _compliance(faces: tuple[tuple[int, int, int], ...]) -> Float[Tensor, "v v"]:
    table = torch.tensor(faces)
    count = int(table.max()) + 1
    near = torch.zeros(count, count, dtype=torch.float64)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        near[table[:, a], table[:, b]] = near[table[:, b], table[:, a]] = 1
    laplacian = torch.eye(count, dtype=torch.float64) - near / near.sum(1, keepdim=True)
    return torch.linalg.inv(laplacian.mT @ laplacian + torch.eye(count, dtype=torch.float64) / REACH**4)
