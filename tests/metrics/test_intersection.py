import math
from fractions import Fraction

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


def bent_hands(n: int) -> tuple[Tensor, Tensor]:
    model = OpenHand("right")
    bends = torch.randn(n, 16, 3, generator=torch.Generator().manual_seed(4)) * torch.tensor([0.2, 0.1, 1.0])
    return model(axis_angle_to_matrix(bends), torch.zeros(n, 10), torch.zeros(n, 3)).vertices, model.faces


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
    hands, faces = bent_hands(3)
    found = self_intersections(hands, faces)
    assert torch.equal(found, torch.stack([brute_force(v, faces) for v in hands]))
    assert found.any(-1).all()


def exact(vertices: Tensor, faces: Tensor) -> Tensor:
    """The definition in rational numbers: the intervals that two triangles cut from the line of their planes."""
    v = [[Fraction(x) for x in row] for row in vertices.tolist()]
    low, high = vertices[faces].amin(1), vertices[faces].amax(1)
    hits = torch.zeros(len(faces), dtype=torch.bool)
    for i, s in enumerate(faces.tolist()):
        near = ((low <= high[i]) & (high >= low[i])).all(-1)
        for j in near.nonzero()[:, 0].tolist():
            t = faces[j].tolist()
            if j > i and not set(s) & set(t) and insides_meet([v[k] for k in s], [v[k] for k in t]):
                hits[[i, j]] = True
    return hits


def insides_meet(s: list[list[Fraction]], t: list[list[Fraction]]) -> bool:
    def minus(a: list[Fraction], b: list[Fraction]) -> list[Fraction]:
        return [x - y for x, y in zip(a, b, strict=True)]

    def dot(a: list[Fraction], b: list[Fraction]) -> Fraction:
        return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))

    def cross(a: list[Fraction], b: list[Fraction]) -> list[Fraction]:
        return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]

    normals = [cross(minus(p[1], p[0]), minus(p[2], p[0])) for p in (s, t)]
    line = cross(*normals)
    intervals = []
    for own, other, normal in ((s, t, normals[1]), (t, s, normals[0])):
        height = [dot(normal, minus(p, other[0])) for p in own]
        if min(height) >= 0 or max(height) <= 0:
            return False
        ends = [dot(line, own[k]) for k in range(3) if height[k] == 0]
        for a, b in ((0, 1), (1, 2), (2, 0)):
            if height[a] * height[b] < 0:
                way = height[a] / (height[a] - height[b])
                ends.append(dot(line, own[a]) * (1 - way) + dot(line, own[b]) * way)
        intervals.append((min(ends), max(ends)))
    return max(intervals[0][0], intervals[1][0]) < min(intervals[0][1], intervals[1][1])


@pytest.mark.parametrize("size", [2, 3, 5])
def test_masks_are_exact_where_everything_touches(size: int) -> None:
    """Corners on a coarse lattice: most planes, edges and corners of these triangles meet exactly."""
    generator = torch.Generator().manual_seed(size)
    faces = torch.arange(36).view(12, 3)
    for _ in range(8):
        corners = torch.randint(0, size, (36, 3), generator=generator).float()
        tilted = corners @ torch.tensor([[3.0, 1.0, -2.0], [1.0, 5.0, 1.0], [0.0, -1.0, 4.0]]) / 1024  # no rounding
        for points in (corners, tilted):
            assert torch.equal(self_intersections(points[None], faces)[0], exact(points, faces))


@pytest.mark.parametrize("thickness", [1e-9, 1e-20, 1e-30])
def test_masks_are_exact_where_float64_cannot_tell(thickness: float) -> None:
    """Lattices pressed nearly flat: all volumes are below the rounding error of the mesh's extent."""
    generator = torch.Generator().manual_seed(0)
    faces, hit = torch.arange(36).view(12, 3), 0
    for axis in (0, 1, 2):
        points = torch.randint(0, 4, (36, 3), generator=generator) + torch.rand(36, 3, generator=generator)
        points[:, axis] = thickness * (points[:, axis] - 2)
        found = self_intersections(points[None], faces)[0]
        assert torch.equal(found, exact(points, faces))
        hit += int(found.sum())
    assert hit > 10


def test_a_corner_a_hair_below_the_plane_passes_through_it() -> None:
    for height, hit in ((-1e-20, True), (1e-20, False)):
        assert triangles([[0.2, 0.2, height], [0.2, 0.2, 1.0], [0.4, 0.2, 1.0]]).tolist() == [hit, hit]


def test_masks_equal_an_exact_test_on_a_hand() -> None:
    vertices, faces = bent_hands(1)
    assert torch.equal(self_intersections(vertices, faces)[0], exact(vertices[0], faces))


def test_masks_equal_fcls_on_hands() -> None:
    fcl = pytest.importorskip("fcl")
    vertices, faces = bent_hands(2)
    triangles = faces.numpy()
    for points, found in zip(vertices.double().numpy(), self_intersections(vertices, faces), strict=True):
        model = fcl.BVHModel()
        model.beginModel(len(points), len(triangles))
        model.addSubModel(points, triangles)
        model.endModel()
        result = fcl.CollisionResult()
        one, other = fcl.CollisionObject(model), fcl.CollisionObject(model)
        fcl.collide(one, other, fcl.CollisionRequest(num_max_contacts=10**6, enable_contact=True), result)
        pairs = np.array([(contact.b1, contact.b2) for contact in result.contacts])
        strangers = ~(triangles[pairs[:, 0]][:, :, None] == triangles[pairs[:, 1]][:, None]).any((1, 2))
        hits = np.zeros(len(triangles), bool)
        hits[pairs[strangers].ravel()] = True
        assert np.array_equal(hits, found.numpy())


def test_pairs_found_by_trimeshs_tree_are_all_that_meet() -> None:
    trimesh = pytest.importorskip("trimesh")
    pytest.importorskip("rtree")
    vertices, faces = bent_hands(1)
    corners = vertices[0].double().numpy()[faces.numpy()]
    tree = trimesh.triangles.bounds_tree(corners)
    hits, f = torch.zeros(len(faces), dtype=torch.bool), faces.tolist()
    for i, bounds in enumerate(np.concatenate([corners.min(1), corners.max(1)], 1)):
        for j in tree.intersection(bounds):
            if j > i and not set(f[i]) & set(f[j]):
                both = torch.cat([vertices[:, f[i]], vertices[:, f[j]]], 1)
                hits[[i, j]] |= self_intersections(both, torch.tensor([[0, 1, 2], [3, 4, 5]]))[0]
    assert torch.equal(self_intersections(vertices, faces)[0], hits)


def test_flat_and_collapsed_meshes_do_not_intersect() -> None:
    flat, faces = sheet(20, 30)
    tilted = flat @ torch.tensor([[1.0, 2.0, 3.0], [2.0, -1.0, 1.0], [0.0, 0.0, 0.0]])  # one plane, without rounding
    line = flat[:, :1].expand(-1, 3)
    folded = flat.clone()
    folded[:, 0] = (folded[:, 0] - 0.5).abs()  # one half lies on the other
    for points in (flat, tilted, line, folded, torch.zeros_like(flat)):
        assert not self_intersections(points[None], faces).any()


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
        ([[0.2, 0.2, 0.0], [0.6, 0.2, 0.0], [0.4, 0.2, 1.0]], False),  # stands on it with an edge
        ([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], False),  # the same edge twice, unwelded
        ([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], False),  # the same face twice
        ([[0.25, 0.25, 0.0], [0.25, 0.25, 1.0], [0.5, 0.25, -1.0]], True),  # through the inside from a corner in it
        ([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]], True),  # edges meet edges and corners, insides meet
        ([[0.2, 0.2, -1.0], [0.2, 0.2, 1.0], [0.2, 0.2, 2.0]], False),  # no area, so no inside
        ([[0.2, 0.2, 0.5], [0.2, 0.2, 0.5], [0.2, 0.2, 0.5]], False),  # a point
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
    assert self_intersections(flat[None], faces[:0]).shape == (1, 0)
    for broken in (math.nan, math.inf):
        with pytest.raises(ValueError, match=r"Meshes \[1\] hold NaN.*finite"):
            self_intersections(torch.stack([flat, torch.full((9, 3), broken)]), faces)
    with pytest.raises(TypeCheckError):
        self_intersections(flat, faces)
