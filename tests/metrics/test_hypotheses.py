"""The best of several hypotheses."""

import numpy as np
import pytest
import torch
from freihand_formula import freihand

from zoo.metrics.geometry import PAMPJPE
from zoo.metrics.hypotheses import MinOfN, hypothesis_errors

ALL = torch.ones(4, 21, dtype=torch.bool)


@pytest.fixture
def joints():
    generator = torch.Generator().manual_seed(0)
    target = 0.05 * torch.randn(4, 21, 3, generator=generator)
    return target[:, None] + 0.006 * torch.randn(4, 5, 21, 3, generator=generator), target


def score(metric, *args):
    metric.update(*args)
    return metric.compute().item()


def test_the_best_of_n_is_chosen_hand_by_hand(joints):
    predicted, target = joints
    errors = np.empty((4, 5))
    for i in range(4):
        for k in range(5):
            moved = freihand(target[i].numpy(), predicted[i, k].numpy())
            errors[i, k] = 1000 * np.linalg.norm(moved - target[i].numpy(), axis=-1).mean()
    for n in (1, 3, 5):
        assert score(MinOfN(n), predicted, target, ALL) == pytest.approx(errors[:, :n].min(1).mean(), rel=1e-5)
    rooted = predicted - predicted[:, :, :1] - (target - target[:, :1])[:, None]
    expected = 1000 * rooted.norm(dim=-1).mean(-1).amin(1).mean().item()
    assert score(MinOfN(5, "root"), predicted, target, ALL) == pytest.approx(expected, rel=1e-5)


def test_one_hypothesis_gives_the_mean_error(joints):
    predicted, target = joints
    assert score(MinOfN(1), predicted, target, ALL) == pytest.approx(
        score(PAMPJPE(), predicted[:, 0], target, ALL), rel=1e-5
    )


def test_a_true_hand_among_the_hypotheses_is_found_and_a_mirrored_one_only_where_allowed(joints):
    predicted, target = joints
    predicted[:, 3] = target * torch.tensor([1.0, 1.0, -1.0])
    assert score(MinOfN(5), predicted, target, ALL) < 1e-3
    assert score(MinOfN(3), predicted, target, ALL) > 1
    assert score(MinOfN(5, "proper"), predicted, target, ALL) > 1
    predicted[:, 4] = target
    assert score(MinOfN(5, "proper"), predicted, target, ALL) < 1e-3
    assert score(MinOfN(5, "root"), predicted, target, ALL) < 1e-3


def test_vertices_are_taken_as_they_come_without_alignment():
    target = torch.zeros(2, 778, 3)
    predicted = torch.stack([target + torch.tensor([0.03, 0.0, 0.0]), target + torch.tensor([0.0, 0.02, 0.0])], 1)
    valid = torch.ones(2, 778, dtype=torch.bool)
    assert score(MinOfN(2, "root"), predicted, target, valid) == pytest.approx(20)


@pytest.mark.parametrize("alignment", ["root", "similarity", "proper"])
def test_unlabelled_points_are_not_read_and_hands_without_enough_do_not_count(joints, alignment):
    predicted, target = joints
    target = target.clone()
    valid = torch.zeros(4, 21, dtype=torch.bool)
    valid[1, :6] = True
    valid[2, [0, 4] if alignment != "root" else [3, 4, 5]] = True  # too few for a similarity; no wrist for a root
    target[~valid] = float("nan")
    errors, counted = hypothesis_errors(predicted, target, valid, alignment)
    assert counted.tolist() == [False, True, False, False]
    some = hypothesis_errors(predicted[1:2, :, :6], target[1:2, :6], valid[1:2, :6], "similarity")[0]
    if alignment == "similarity":
        torch.testing.assert_close(errors[1:2], some)
    assert np.isfinite(score(MinOfN(5, alignment), predicted, target, valid))


def test_nobody_is_nan_and_too_few_hypotheses_are_refused(joints):
    predicted, target = joints
    metric = MinOfN(2)
    metric.update(predicted[:0], target[:0], ALL[:0])
    metric.update(predicted, target, ~ALL)
    assert metric.compute().isnan()
    with pytest.raises(ValueError, match="got 5 hypotheses"):
        MinOfN(8).update(predicted, target, ALL)
    with pytest.raises(ValueError, match="starts at 1"):
        MinOfN(0)
