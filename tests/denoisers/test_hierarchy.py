import numpy as np
import pytest

from zoo.denoisers.hierarchy import build, coarsen, mesh_edges, smooth_basis
from zoo.hands.openhand import OpenHand

HAND = OpenHand()
POINTS, FACES = HAND.template.double().numpy(), HAND.faces.numpy()


def test_a_hand_has_the_edges_that_eulers_formula_asks_for():
    assert mesh_edges(FACES).shape == (778 + 1538 - 1, 2)


@pytest.mark.parametrize("sizes", [(195, 49), (389, 195, 98)])
def test_down_and_up_keep_constants(sizes):
    for level in build(POINTS, FACES, sizes):
        np.testing.assert_allclose(level.down.sum(axis=1), 1)
        np.testing.assert_allclose(level.up.sum(axis=1), 1)
        assert (level.up.data >= 0).all()


def test_going_down_and_up_moves_a_vertex_by_less_than_the_spacing():
    level = build(POINTS, FACES, (195,))[0]
    moved = np.linalg.norm(level.up @ (level.down @ POINTS) - POINTS, axis=1)
    assert moved.mean() < 0.004
    assert moved.max() < 0.012


def test_kept_vertices_stand_for_themselves():
    level = build(POINTS, FACES, (195,))[0]
    cell = level.down.tocsc().indices  # the one coarse vertex of every fine vertex
    np.testing.assert_array_equal(cell[level.kept], np.arange(195))


def test_the_coarse_graph_is_connected_and_as_sparse_as_a_mesh():
    for level in build(POINTS, FACES, (195, 49)):
        values = np.linalg.eigvalsh(_laplacian(level.edges, level.down.shape[0]))
        assert (values < 1e-9).sum() == 1
        assert len(level.edges) < 3 * level.down.shape[0]


def _laplacian(edges, n):
    a = np.zeros((n, n))
    a[edges[:, 0], edges[:, 1]] = a[edges[:, 1], edges[:, 0]] = 1
    return np.diag(a.sum(0)) - a


def test_the_same_mesh_gives_the_same_hierarchy_from_the_cache():
    assert build(POINTS, FACES, (195, 49)) is build(POINTS.copy(), FACES.copy(), (195, 49))


def test_a_level_that_does_not_shrink_names_the_flag():
    with pytest.raises(ValueError, match=r"--model\.denoiser\.sizes"):
        build(POINTS, FACES, (800,))


def test_a_mesh_in_two_pieces_is_refused():
    with pytest.raises(ValueError, match="not connected"):
        coarsen(np.random.default_rng(0).random((6, 3)), np.array([[0, 1], [1, 2], [3, 4], [4, 5]]), 3)


def test_the_smooth_basis_is_orthogonal_with_unit_variance():
    basis = smooth_basis(mesh_edges(FACES), 778, 16)
    np.testing.assert_allclose(basis.T @ basis / 778, np.eye(16), atol=1e-8)
