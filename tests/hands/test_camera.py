import cv2
import numpy as np
import pytest
import torch

from zoo.hands import camera
from zoo.hands.rotations import random_rotations


def scene(b: int = 6, n: int = 21) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    points = 0.1 * torch.randn(b, n, 3, generator=g, dtype=torch.float64) + torch.tensor([0.05, -0.1, 0.8])
    intrinsics = torch.eye(3).double().repeat(b, 1, 1)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = 300 + 400 * torch.rand(b, generator=g)
    intrinsics[:, :2, 2] = 100 + 50 * torch.rand(b, 2, generator=g).double()
    return points, intrinsics


def test_the_optical_axis_lands_on_the_principal_point():
    k = torch.tensor([[500.0, 0, 111], [0, 400, 99], [0, 0, 1]])
    pixels = camera.project(torch.tensor([[0.0, 0, 2], [1, 0, 2], [0, 1, 2]]), k)
    torch.testing.assert_close(pixels, torch.tensor([[111.0, 99], [361, 99], [111, 299]]))


def test_projection_agrees_with_opencv_and_broadcasts():
    points, k = scene()
    got = camera.project(points[:, None].expand(6, 2, 21, 3), k[:, None])
    for i in range(6):
        expected, _ = cv2.projectPoints(points[i].numpy(), np.zeros(3), np.zeros(3), k[i].numpy(), None)
        torch.testing.assert_close(got[i, 1], torch.from_numpy(expected[:, 0]))


def test_place_recovers_the_translation():
    points, k = scene()
    origin = points[:, :1]
    found = camera.place(points - origin, camera.project(points, k), k, torch.ones(6, 21).double())
    torch.testing.assert_close(found, origin[:, 0])


def test_place_in_single_precision_and_autocast_is_good_to_a_tenth_of_a_millimetre():
    points, k = scene()
    points, k = points.float(), k.float()
    with torch.autocast("cpu", torch.bfloat16):
        found = camera.place(points - points[:, :1], camera.project(points, k), k, torch.ones(6, 21))
    assert (found - points[:, 0]).abs().max() < 1e-4


def test_place_is_the_weighted_least_squares_solution():
    points, k = scene()
    g = torch.Generator().manual_seed(1)
    pixels = camera.project(points, k) + torch.randn(6, 21, 2, generator=g).double()
    weights = torch.rand(6, 21, generator=g).double()
    relative = points - points[:, :1]
    rays = torch.linalg.solve(k, torch.cat((pixels, torch.ones(6, 21, 1).double()), -1).mT).mT[..., :2]
    rows = torch.zeros(6, 21, 2, 3).double()
    rows[..., 0, 0] = rows[..., 1, 1] = 1
    rows[..., 2] = -rays
    right = rays * relative[..., 2:] - relative[..., :2]
    root = weights.sqrt()[..., None]
    expected = torch.linalg.lstsq((rows * root[..., None]).flatten(1, 2), (right * root).flatten(1)[..., None]).solution
    torch.testing.assert_close(camera.place(relative, pixels, k, weights), expected[..., 0])


def test_place_ignores_points_without_weight_and_has_finite_gradients():
    points, k = scene()
    pixels = camera.project(points, k)
    pixels[:, 5:] = 1e4
    weights = torch.zeros(6, 21).double()
    weights[:, :5] = 2.5
    relative = (points - points[:, :1]).requires_grad_()
    found = camera.place(relative, pixels, k, weights)
    torch.testing.assert_close(found, points[:, 0])
    found.sum().backward()
    assert relative.grad.isfinite().all()
    assert camera.place(relative, pixels, k, torch.zeros(6, 21).double()).isfinite().all()


def test_the_square_box_surrounds_the_valid_keypoints():
    pixels = torch.tensor([[[10.0, 20], [30, 24], [900, 900]]])
    center, size = camera.square_box(pixels, torch.tensor([[True, True, False]]), margin=1.5)
    torch.testing.assert_close(center, torch.tensor([[20.0, 22]]))
    torch.testing.assert_close(size, torch.tensor([30.0]))
    with pytest.raises(ValueError, match="without a valid keypoint"):
        camera.square_box(pixels, torch.zeros(1, 3, dtype=torch.bool))


def test_the_box_fills_the_crop_edge_to_edge():
    affine = camera.crop_affine(torch.tensor([20.0, 22]), torch.tensor(30.0), torch.tensor(0.0), 60)
    corners = camera.apply_affine(affine, torch.tensor([[5.0, 7], [35, 37], [20, 22]]))
    expected = torch.tensor([[-1.0, -1], [1, 1], [0, 0]])
    torch.testing.assert_close(camera.normalize_pixels(corners, (60, 60)), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(camera.denormalize_pixels(expected, (60, 60)), corners)


def test_the_edges_of_the_outer_pixels_are_minus_one_and_one():
    edges = torch.tensor([[-0.5, -0.5], [639.5, 479.5]])
    torch.testing.assert_close(camera.normalize_pixels(edges, (640, 480)), torch.tensor([[-1.0, -1], [1, 1]]))


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_crop_camera_sees_exactly_what_the_crop_shows(mirrored):
    points, k = scene()
    rotation = torch.linspace(-3, 3, 6).double()
    center, size = camera.square_box(camera.project(points, k), torch.ones(6, 21, dtype=torch.bool))
    flip = torch.full((6,), mirrored)
    affine = camera.crop_affine(center, size, rotation, 224, flip)
    frame = camera.crop_frame(rotation, flip)
    inside = camera.crop_intrinsics(affine, k, frame)
    turned = points @ frame.mT
    expected = camera.apply_affine(affine, camera.project(points, k))
    torch.testing.assert_close(camera.project(turned, inside), expected)
    torch.testing.assert_close(camera.crop_to_full(turned, frame), points)
    # still a pinhole camera: no skew, square pixels
    assert inside[:, 0, 1].abs().max() < 1e-9
    assert inside[:, 1, 0].abs().max() < 1e-9
    torch.testing.assert_close(inside[:, 0, 0], inside[:, 1, 1])
    torch.testing.assert_close(inside[:, 2], torch.tensor([0.0, 0, 1]).double().expand(6, 3))
    assert torch.linalg.det(frame).allclose(torch.tensor(-1.0 if mirrored else 1.0).double())


def test_a_placed_crop_gives_back_the_place_in_the_full_camera():
    points, k = scene()
    rotation = torch.full((6,), 0.4).double()
    affine = camera.crop_affine(torch.full((6, 2), 90.0).double(), torch.full((6,), 150.0).double(), rotation, 128)
    frame = camera.crop_frame(rotation)
    turned = points @ frame.mT
    inside = camera.crop_intrinsics(affine, k, frame)
    seen = camera.apply_affine(affine, camera.project(points, k))
    found = camera.place(turned - turned[:, :1], seen, inside, torch.ones(6, 21).double())
    full = camera.crop_to_full((turned - turned[:, :1]) + found[:, None], frame)
    torch.testing.assert_close(full, points)


def test_the_inverse_affine_undoes_the_affine():
    g = torch.Generator().manual_seed(2)
    affine = torch.cat((random_rotations(4, g)[:, :2, :2] + 2 * torch.eye(2), torch.randn(4, 2, 1, generator=g)), -1)
    points = torch.randn(4, 7, 2, generator=g)
    back = camera.apply_affine(camera.invert_affine(affine), camera.apply_affine(affine, points))
    torch.testing.assert_close(back, points)


@pytest.mark.parametrize("mirrored", [False, True])
def test_opencv_moves_the_picture_as_the_points_move(mirrored):
    image = np.zeros((100, 100), np.uint8)
    cv2.circle(image, (70, 30), 3, 255, -1)
    affine = camera.crop_affine(
        *(torch.tensor([55.0, 45]), torch.tensor(80.0), torch.tensor(0.5), 96), torch.tensor(mirrored)
    )
    moved = cv2.warpAffine(image, affine.numpy(), (96, 96)).astype(float)
    rows, columns = np.indices(moved.shape)
    blob = torch.tensor([(moved * columns).sum(), (moved * rows).sum()]).float() / moved.sum()
    torch.testing.assert_close(blob, camera.apply_affine(affine, torch.tensor([[70.0, 30]]))[0], atol=0.1, rtol=0)


def weak_scene(noise: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(3)
    points = 0.05 * torch.randn(40, 21, 3, generator=g) + torch.randn(40, 1, 3, generator=g)
    scale, shift = 200 + 1000 * torch.rand(40, generator=g), 300 * torch.randn(40, 2, generator=g)
    pixels = scale[:, None, None] * points[..., :2] + shift[:, None]
    return points, pixels + noise * torch.randn(40, 21, 2, generator=g), scale, shift


@pytest.mark.parametrize("iterations", [0, 8])
def test_weak_perspective_is_exact_on_clean_data(iterations):
    points, pixels, scale, shift = weak_scene()
    weights = torch.ones(40, 21)
    weights[:, 3:9] = 0
    points[:, 3] = torch.nan
    pixels[:, 4] = torch.inf
    found = camera.fit_weak_perspective(points, pixels, weights, iterations)
    torch.testing.assert_close(found.scale, scale, rtol=1e-3, atol=0)
    torch.testing.assert_close(found.project(points)[:, 9:], pixels[:, 9:], rtol=0, atol=0.05)
    wide = camera.fit_weak_perspective(points[:, None].double(), pixels[:, None].double(), weights[:, None])
    torch.testing.assert_close(wide.scale[:, 0], scale.double(), rtol=1e-5, atol=0)
    torch.testing.assert_close(wide.translation[:, 0], shift.double(), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("where", ["anywhere", "together"])
def test_weak_perspective_ignores_a_third_of_outliers(where):
    points, pixels, scale, _ = weak_scene(noise=0.5)
    clean = pixels.clone()
    g = torch.Generator().manual_seed(4)
    far = 500 * torch.randn(40, 6, 2, generator=g)
    pixels[:, ::3][:, :6] += far if where == "anywhere" else far[:, :1]
    found = camera.fit_weak_perspective(points, pixels, torch.ones(40, 21))
    error = (found.project(points) - clean).norm(dim=-1)
    assert error.mean(-1).max() < 1.5
    assert (found.scale / scale - 1).abs().max() < 0.03


def test_weak_perspective_heeds_confidence():
    points, pixels, scale, _ = weak_scene()
    pixels[:, :12] += torch.tensor([80.0, -30.0])  # the majority by number
    weights = torch.ones(40, 21)
    weights[:, :12] = 0.1
    torch.testing.assert_close(camera.fit_weak_perspective(points, pixels, weights).scale, scale, rtol=1e-3, atol=0)


def test_weak_perspective_is_least_squares_where_no_residual_stands_out():
    points, pixels, *_ = weak_scene(noise=2)
    found = camera.fit_weak_perspective(points, pixels, torch.ones(40, 21))
    x, u = (p - p.mean(1, keepdim=True) for p in (points[..., :2], pixels))
    plain = (x * u).sum((1, 2)) / (x * x).sum((1, 2))
    assert (found.scale / plain - 1).abs().max() < 0.02


def test_weak_perspective_has_no_gradient_and_is_always_finite_and_positive():
    points, pixels, *_ = weak_scene()
    points.requires_grad_()
    found = camera.fit_weak_perspective(points, pixels, torch.ones(40, 21))
    assert not found.scale.requires_grad
    assert found.project(points).requires_grad
    bad = (
        (points, pixels, torch.zeros(40, 21)),
        (points, pixels, torch.eye(21)[0].expand(40, 21)),
        (points, -pixels, torch.ones(40, 21)),
        (torch.zeros(40, 21, 3), pixels, torch.ones(40, 21)),
        (points, torch.zeros(40, 21, 2), torch.ones(40, 21)),
        (points[:, :1], pixels[:, :1], torch.ones(40, 1)),
    )
    for case in bad:
        found = camera.fit_weak_perspective(*case)
        assert found.scale.isfinite().all()
        assert found.translation.isfinite().all()
        assert (found.scale > 0).all()
