"""Alignment against scipy and against FreiHAND's published formulas."""

import numpy as np
import pytest
import torch
from freihand_formula import freihand
from scipy.spatial import procrustes as scipy_procrustes

from zoo.metrics.alignment import procrustes


def proper(target, predicted):
    """The similarity with det +1 (Umeyama 1991)."""
    mean = target.mean(0)
    a, b = target - mean, predicted - predicted.mean(0)
    u, s, vh = np.linalg.svd(a.T @ b)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vh))])
    return b @ (u * sign @ vh).T * (s * sign).sum() / (b**2).sum() + mean


def turn(points):
    rotation, _ = torch.linalg.qr(torch.tensor([[1.0, 2.0, 0.5], [0.3, -1.0, 2.0], [1.0, 0.1, 0.7]]))
    return points @ (rotation * torch.linalg.det(rotation))


@pytest.mark.parametrize("points", [21, 778])
def test_reflecting_alignment_is_freihands(points):
    generator = torch.Generator().manual_seed(points)
    predicted, target = torch.randn(2, 4, points, 3, generator=generator, dtype=torch.float64)
    expected = np.stack([freihand(t, p) for t, p in zip(target.numpy(), predicted.numpy(), strict=True)])
    np.testing.assert_allclose(procrustes(predicted, target).points, expected, atol=1e-7)


def test_the_remaining_disparity_is_scipys():
    predicted, target = torch.randn(2, 21, 3, dtype=torch.float64)
    _, _, disparity = scipy_procrustes(target.numpy(), predicted.numpy())
    residual = (procrustes(predicted, target).points - target).square().sum()
    centred = (target - target.mean(0)).square().sum()
    torch.testing.assert_close(residual / centred, torch.tensor(disparity, dtype=torch.float64), atol=1e-7, rtol=0)


def test_proper_alignment_is_umeyamas():
    predicted, target = torch.randn(2, 6, 21, 3, dtype=torch.float64)
    predicted = torch.cat([predicted, -target])
    target = torch.cat([target, target])
    expected = np.stack([proper(t, p) for t, p in zip(target.numpy(), predicted.numpy(), strict=True)])
    aligned = procrustes(predicted, target, allow_reflection=False)
    np.testing.assert_allclose(aligned.points, expected, atol=1e-7)
    assert not aligned.mirrored.any()


def test_a_similarity_is_undone_and_a_mirror_only_on_request():
    target = torch.randn(3, 21, 3)
    moved = 0.4 * turn(target) + torch.tensor([1.0, -2.0, 3.0])
    torch.testing.assert_close(procrustes(moved, target, allow_reflection=False).points, target, atol=1e-5, rtol=0)
    assert not procrustes(moved, target).mirrored.any()

    mirror = moved * torch.tensor([-1.0, 1.0, 1.0])
    free = procrustes(mirror, target)
    torch.testing.assert_close(free.points, target, atol=1e-5, rtol=0)
    assert free.mirrored.all()
    assert (procrustes(mirror, target, allow_reflection=False).points - target).norm(dim=-1).mean() > 0.1


def test_zeros_land_on_the_mean_and_stay_finite():
    target = torch.randn(2, 21, 3)
    for allow in (True, False):
        aligned = procrustes(torch.zeros(2, 21, 3), target, allow_reflection=allow).points
        torch.testing.assert_close(aligned, target.mean(1, keepdim=True).expand(2, 21, 3))
        assert procrustes(target, torch.zeros(2, 21, 3), allow_reflection=allow).points.norm() < 1e-6
    nothing = procrustes(target, target, torch.zeros(2, 21, dtype=torch.bool)).points
    assert nothing.isfinite().all()


def test_unlabelled_points_do_not_decide():
    predicted, target = torch.randn(2, 1, 21, 3, dtype=torch.float64)
    valid = torch.ones(1, 21, dtype=torch.bool)
    valid[:, 13:] = False
    spoiled = torch.where(valid[..., None], target, 1e3)
    aligned = procrustes(predicted, spoiled, valid).points
    torch.testing.assert_close(aligned[:, :13], procrustes(predicted[:, :13], target[:, :13]).points)


def test_half_precision_predictions_are_aligned_precisely():
    target = torch.randn(2, 778, 3) * 0.08
    aligned = procrustes(target.bfloat16(), target).points
    assert aligned.dtype == torch.float32
    torch.testing.assert_close(aligned, procrustes(target.bfloat16().double(), target.double()).points.float())
