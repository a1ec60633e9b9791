import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from zoo.hands import rotations as r

ANGLES = (0.0, 1e-20, 1e-7, 1e-4, 0.009, 0.011, 0.5, 2.0, math.pi - 1e-2, math.pi - 1e-5, math.pi - 1e-9, math.pi)


def vectors(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    axes = torch.nn.functional.normalize(
        torch.randn(40, 3, generator=torch.Generator().manual_seed(1)).double(), dim=-1
    )
    axes = torch.cat((axes, torch.eye(3, dtype=torch.float64), -torch.eye(3, dtype=torch.float64)))
    return (axes[:, None] * torch.tensor(ANGLES, dtype=torch.float64)[:, None]).to(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 5e-7)])
def test_matrices_agree_with_scipy_at_every_angle(dtype, tolerance):
    given = vectors(dtype)
    expected = Rotation.from_rotvec(given.double().reshape(-1, 3).numpy()).as_matrix().reshape(*given.shape, 3)
    matrix = r.axis_angle_to_matrix(given)
    assert matrix.dtype == dtype
    assert np.abs(matrix.numpy() - expected).max() < tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_axis_angle_survives_the_round_trip(dtype, tolerance):
    given = vectors(dtype)[:, :-2]  # at pi the sign is free
    back = r.matrix_to_axis_angle(r.axis_angle_to_matrix(given))
    assert (back - given).abs().max() < tolerance
    halfway = r.axis_angle_to_matrix(vectors(dtype)[:, -2:])
    again = r.axis_angle_to_matrix(r.matrix_to_axis_angle(halfway))
    assert (again - halfway).abs().max() < 4 * tolerance


def test_axis_angle_and_quaternions_agree_with_scipy():
    matrix = r.random_rotations(500, torch.Generator().manual_seed(2), torch.float64)
    scipy = Rotation.from_matrix(matrix.numpy())
    assert np.abs(r.matrix_to_axis_angle(matrix).numpy() - scipy.as_rotvec()).max() < 1e-9
    quaternion = r.matrix_to_quaternion(matrix)
    assert np.abs(quaternion.numpy() - scipy.as_quat(canonical=True, scalar_first=True)).max() < 1e-12
    assert (r.quaternion_to_matrix(3 * quaternion) - matrix).abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gradients_are_finite_at_every_angle(dtype):
    given = vectors(dtype).requires_grad_()
    matrix = r.axis_angle_to_matrix(given)
    back = r.matrix_to_axis_angle(matrix) + r.matrix_to_axis_angle(r.rot6d_to_matrix(r.matrix_to_rot6d(matrix)))
    back.square().sum().backward()
    assert given.grad.isfinite().all()
    assert given.grad.abs().max() < 100


def test_gradients_are_right_near_zero_and_pi():
    torch.manual_seed(0)
    axis = torch.nn.functional.normalize(torch.randn(3).double(), dim=0)
    for angle in (0.0, 1e-6, 1e-3, 0.01, 1.0, math.pi - 1e-3):
        given = (axis * angle).requires_grad_()
        assert torch.autograd.gradcheck(r.axis_angle_to_matrix, given)
        assert torch.autograd.gradcheck(lambda v: r.matrix_to_axis_angle(r.axis_angle_to_matrix(v)), given)


def test_six_numbers_are_the_first_two_columns():
    matrix = r.random_rotations(10, torch.Generator().manual_seed(3), torch.float64)
    six = r.matrix_to_rot6d(matrix)
    torch.testing.assert_close(six[:, :3], matrix[:, :, 0])
    torch.testing.assert_close(six[:, 3:], matrix[:, :, 1])
    torch.testing.assert_close(r.rot6d_to_matrix(six), matrix)


def test_any_six_numbers_make_a_rotation():
    matrix = r.rot6d_to_matrix(torch.randn(2, 50, 6).double())
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(3).double().expand(2, 50, 3, 3))
    torch.testing.assert_close(torch.linalg.det(matrix), torch.ones(2, 50).double())


def test_half_precision_still_makes_an_exact_rotation():
    matrix = r.rot6d_to_matrix(torch.randn(20, 6).bfloat16())
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(3).expand(20, 3, 3))


def test_autocast_rounds_no_rotation():
    matrix = r.random_rotations(20, torch.Generator().manual_seed(4))
    with torch.autocast("cpu", torch.bfloat16):
        product = r.compose(matrix, matrix.mT)
        back = r.axis_angle_to_matrix(r.matrix_to_axis_angle(matrix))
    torch.testing.assert_close(product, torch.eye(3).expand(20, 3, 3))
    torch.testing.assert_close(back, matrix, atol=3e-6, rtol=0)


def test_interpolation_agrees_with_scipy():
    a, b = r.random_rotations(2, torch.Generator().manual_seed(5), torch.float64)
    t = torch.tensor([0.0, 0.25, 0.7, 1.0]).double()
    expected = Slerp([0, 1], Rotation.from_matrix(torch.stack((a, b)).numpy()))(t.numpy()).as_matrix()
    got = r.interpolate(a.expand(4, 3, 3), b.expand(4, 3, 3), t)
    assert np.abs(got.numpy() - expected).max() < 1e-12


def test_a_mirror_turns_axis_angle_x_y_z_into_x_minus_y_minus_z():
    given = vectors()[:, :-2]
    mirrored = r.matrix_to_axis_angle(r.mirror_rotations(r.axis_angle_to_matrix(given)))
    torch.testing.assert_close(mirrored, given * given.new_tensor([1.0, -1.0, -1.0]), atol=1e-12, rtol=0)


def test_random_rotations_are_uniform_and_follow_the_generator():
    matrix = r.random_rotations(20_000, torch.Generator().manual_seed(6))
    torch.testing.assert_close(matrix, r.random_rotations(20_000, torch.Generator().manual_seed(6)))
    assert matrix.mean(0).abs().max() < 0.02
    angle = r.matrix_to_axis_angle(matrix).norm(dim=-1)
    assert abs(angle.mean().item() - (math.pi / 2 + 2 / math.pi)) < 0.02  # of the uniform distribution


def test_the_left_jacobian_says_how_a_vector_turns_its_rotation():
    given = vectors().reshape(-1, 3)
    step = 1e-6 * torch.randn(given.shape, generator=torch.Generator().manual_seed(3)).double()
    moved = r.compose(r.axis_angle_to_matrix(given + step), r.axis_angle_to_matrix(given - step).mT)
    expected = (r.left_jacobian(given) * (2 * step).unsqueeze(-2)).sum(-1)
    torch.testing.assert_close(r.matrix_to_axis_angle(moved), expected, atol=1e-12, rtol=1e-5)
    assert r.left_jacobian(given.float()).isfinite().all()
