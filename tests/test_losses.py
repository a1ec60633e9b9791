import torch

from zoo.losses import MeshLosses, edge_loss, face_normals, normal_loss

FACES = torch.tensor([[0, 1, 2], [1, 3, 2]])
FLAT = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]])


def test_normals_of_a_counter_clockwise_square_point_up():
    torch.testing.assert_close(face_normals(FLAT, FACES), torch.tensor([[[0.0, 0, 1], [0, 0, 1]]]))


def test_edges_in_the_true_plane_cost_nothing_however_long():
    assert normal_loss(3 * FLAT, FLAT, FACES) == 0
    assert normal_loss(FLAT[..., [1, 0, 2]], FLAT, FACES) == 0


def test_an_edge_that_rises_costs_the_sine_of_its_slope():
    lifted = FLAT.clone()
    lifted[0, 3, 2] = 1.0  # vertex 3 straight up: edges 1-3 and 3-2 rise at 45 degrees, two of six
    torch.testing.assert_close(normal_loss(lifted, FLAT, FACES), torch.tensor(2 * 0.5**0.5 / 6))


def test_the_edge_loss_is_the_mean_difference_of_lengths():
    lengths = torch.tensor([1, 2**0.5, 1, 1, 1, 2**0.5])
    torch.testing.assert_close(edge_loss(2 * FLAT, FLAT, FACES), lengths.mean())


def test_a_collapsed_edge_has_a_finite_gradient():
    x = torch.zeros_like(FLAT).requires_grad_()
    (edge_loss(x, FLAT, FACES) + normal_loss(x, FLAT, FACES)).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_every_weight_scales_its_own_loss_and_rows_without_a_mesh_cost_nothing():
    predicted = torch.cat([FLAT + 0.5, FLAT + 9])
    target, rows = torch.cat([FLAT, FLAT]), torch.tensor([True, False])
    regressor = torch.full((1, 4), 0.25)
    losses = MeshLosses(data=1.0, vertex=2.0, joint=3.0, normal=4.0, edge=5.0)(
        predicted, target, regressor, FACES, rows, 0
    )
    expected = {"data": 0.5, "vertex": 1.0, "joint": 1.5, "normal": 0.0, "edge": 0.0}
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], torch.tensor(value), atol=1e-5, rtol=0)


def test_the_edge_loss_waits_for_its_step():
    args = (2 * FLAT, FLAT, torch.full((1, 4), 0.25), FACES, torch.tensor([True]))
    assert "edge" not in MeshLosses(edge_start=10)(*args, 9)
    assert "edge" in MeshLosses(edge_start=10)(*args, 10)


def test_a_batch_without_any_mesh_has_a_loss_of_zero():
    x = FLAT.clone().requires_grad_()
    losses = MeshLosses()(x, FLAT, torch.full((1, 4), 0.25), FACES, torch.tensor([False]), 0)
    assert sum(losses.values()) == 0
