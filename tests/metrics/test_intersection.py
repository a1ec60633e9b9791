import math

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from zoo.hands.openhand import OpenHand
from zoo.hands.rotations import axis_angle_to_matrix
from zoo.metrics.intersection import self_intersections


def brute_force(vertices: Tensor, faces: Tensor) -> Tensor:
    """Every pair whose boxes meet, as linear systems: where each edge crosses each plane, barycentric."""
    v, f = vertices.double().numpy(), faces.numpy()
    low, high = v[f].min(1), v[f].max(1)
    hits = np.zeros(len(f), dtype=bool)
    for i, face in enumerate(f):
        near = ((low <= high[i]) & (high >= low[i])).all(-1) & ~np.isin(f, face).any(-1)
        others = np.flatnonzero(near)
        if not len(others):
            continue
        corner, e1, e2 = v[face[0]], v[face[1]] - v[face[0]], v[face[2]] - v[face[0]]
        for m in range(3):
            start, end = v[f[others, m]], v[f[others, (m + 1) % 3]]
            system = np.stack([start - end, np.broadcast_to(e1, start.shape), np.broadcast_to(e2, start.shape)], -1)
            fine = np.abs(np.linalg.det(system)) > 1e-30
            t, a, b = np.linalg.solve(system[fine], (start - corner)[fine][..., None])[..., 0].T
            crossing = others[fine][(t > 0) & (t < 1) & (a > 0) & (b > 0) & (a + b < 1)]
            hits[crossing] = True
            hits[i] |= len(crossing) > 0
    return torch.from_numpy(hits)


def sheet(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    y, x = torch.meshgrid(torch.linspace(0, 1, rows), torch.linspace(0, 1, columns), indexing="ij")
    index = torch.arange(rows * columns).view(rows, columns)
    a, b, c, d = (part.flatten() for part in (index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]))
    faces = torch.cat([torch.stack([a, b, c], -1), torch.stack([b, d, c], -1)])
    return torch.stack([x, y, torch.zeros_like(x)], -1).view(-1, 3), faces


@pytest.mark.parametrize("noise", [0.02, 0.06, 0.3])
def test_masks_equal_brute_force_on_crumpled_sheets(noise: float) -> None:
    flat, faces = sheet(9, 12)
    crumpled = flat + noise * torch.randn(4, *flat.shape, generator=torch.Generator().manual_seed(1))
    found = self_intersections(crumpled, faces)
    assert torch.equal(found, torch.stack([brute_force(v, faces) for v in crumpled]))
    assert found.any() == (noise > 0.05)


def test_masks_equal_brute_force_on_hands() -> None:
    model = OpenHand("right")
    bends = torch.randn(3, 16, 3, generator=torch.Generator().manual_seed(4)) * torch.tensor([0.2, 0.1, 1.0])
    hands = model(axis_angle_to_matrix(bends), torch.zeros(3, 10), torch.zeros(3, 3)).vertices
    found = self_intersections(hands, model.faces)
    assert torch.equal(found, torch.stack([brute_force(v, model.faces) for v in hands]))
    assert found.any(-1).all()


def triangles(second: list[list[float]]) -> Tensor:
    first = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    return self_intersections(torch.tensor([first + second]), torch.tensor([[0, 1, 2], [3, 4, 5]]))[0]


@pytest.mark.parametrize(
    ("second", "hit"),
    [
        ([[0.2, 0.2, -1.0], [0.2, 0.2, 1.0], [3.0, 3.0, 0.5]], True),  # an edge through the inside
        ([[0.2, -1.0, -0.5], [0.2, 3.0, -0.5], [0.2, 0.5, 9.0]], True),  # only the first one's edges pass
        ([[0.8, 0.8, -1.0], [0.8, 0.8, 1.0], [3.0, 3.0, 0.5]], False),  # boxes overlap, triangles do not
        ([[0.0, 0.0, 0.1], [1.0, 0.0, 0.1], [0.0, 1.0, 0.1]], False),  # parallel
        ([[0.1, 0.1, 0.0], [1.1, 0.1, 0.0], [0.1, 1.1, 0.0]], False),  # overlap in one plane
        ([[0.2, 0.2, 0.0], [0.2, 0.2, 1.0], [0.4, 0.2, 1.0]], False),  # touches from above with a corner
    ],
)
def test_two_triangles(second: list[list[float]], hit: bool) -> None:
    assert triangles(second).tolist() == [hit, hit]


def test_faces_that_share_a_vertex_never_count() -> None:
    v = torch.tensor([[[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.5, 0.5, -1], [0.5, 0.5, 1.0]]])
    assert not self_intersections(v, torch.tensor([[0, 1, 2], [0, 3, 4]])).any()


def test_the_answer_does_not_depend_on_threads_or_pose() -> None:
    flat, faces = sheet(8, 8)
    crumpled = flat + 0.1 * torch.randn(5, *flat.shape, generator=torch.Generator().manual_seed(2))
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64))[0]
    found = self_intersections(crumpled, faces)
    assert torch.equal(found, self_intersections(crumpled.double() @ turn, faces))
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert torch.equal(found, self_intersections(crumpled, faces))
    finally:
        torch.set_num_threads(threads)


def test_no_mesh_is_no_work_and_nan_is_refused() -> None:
    flat, faces = sheet(3, 3)
    assert self_intersections(flat[None][:0], faces).shape == (0, len(faces))
    with pytest.raises(ValueError, match="finite"):
        self_intersections(torch.full((1, 9, 3), math.nan), faces)
    with pytest.raises(TypeCheckError):
        self_intersections(flat, faces)
