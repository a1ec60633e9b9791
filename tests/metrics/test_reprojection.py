"""Distances in the image."""

import pytest
import torch

from zoo.metrics.reprojection import Reprojection2D, box_sizes


def hand():
    target = torch.tensor([[[0.0, 0.0], [30.0, 0.0], [0.0, 40.0]], [[5.0, 5.0], [15.0, 5.0], [9.0, 9.0]]])
    offset = torch.tensor([[[3.0, 4.0]], [[0.0, 1.0]]])
    return target + offset, target, torch.ones(2, 3, dtype=torch.bool)


def score(metric, *args):
    metric.update(*args)
    return metric.compute().item()


def test_pixels_are_averaged_over_points_and_shares_are_of_the_longer_side():
    predicted, target, valid = hand()
    assert score(Reprojection2D(), predicted, target, valid) == pytest.approx((3 * 5 + 3 * 1) / 6)
    assert score(Reprojection2D("box"), predicted, target, valid) == pytest.approx((3 * 100 * 5 / 40 + 3 * 10) / 6)
    sizes = torch.tensor([100.0, 50.0])
    assert score(Reprojection2D("box"), predicted, target, valid, sizes) == pytest.approx((3 * 5 + 3 * 2) / 6)


def test_unlabelled_points_are_not_read():
    predicted, target, valid = hand()
    valid[0, 2] = False
    valid[1] = False
    target[~valid] = float("nan")
    assert box_sizes(target, valid).tolist() == [30, 0]
    assert score(Reprojection2D(), predicted, target, valid) == pytest.approx(5)
    assert score(Reprojection2D("box"), predicted, target, valid) == pytest.approx(100 * 5 / 30)


def test_a_hand_with_one_labelled_point_has_no_box_but_pixels():
    predicted, target, valid = hand()
    valid[:, 1:] = False
    assert score(Reprojection2D(), predicted, target, valid) == pytest.approx(3)
    assert torch.isnan(torch.tensor(score(Reprojection2D("box"), predicted, target, valid)))


def test_empty_updates_add_nothing():
    predicted, target, valid = hand()
    metric = Reprojection2D()
    metric.update(predicted[:0], target[:0], valid[:0])
    metric.update(predicted, target, ~valid)
    assert metric.compute().isnan()
    metric.update(predicted, target, valid)
    assert metric.compute() == 3
