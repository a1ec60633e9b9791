"""The measures against direct transcriptions of their published formulas."""

import numpy as np
import pytest
import torch
from freihand_formula import freihand
from scipy.spatial import cKDTree

from zoo.metrics.geometry import AUC, MPJPE, MPVPE, PAMPJPE, PAMPVPE, FScore, nearest
from zoo.metrics.hand_scores import HandScores

YES = torch.ones(4, dtype=torch.bool)


@pytest.fixture
def hands():
    generator = torch.Generator().manual_seed(0)
    target = 0.05 * torch.randn(4, 778, 3, generator=generator)
    return target + 0.006 * torch.randn(4, 778, 3, generator=generator), target


def errors(predicted, target):
    return np.linalg.norm(np.asarray(predicted) - np.asarray(target), axis=-1)


def aligned(predicted, target):
    return np.stack([freihand(t, p) for p, t in zip(predicted.numpy(), target.numpy(), strict=True)])


def auc(error):
    """FreiHAND's: the share of hands within each threshold, a trapezoid for each point, their mean."""
    thresholds = np.linspace(0, 0.05, 100)
    curve = (error[..., None] <= thresholds).mean(0)
    return (np.trapezoid(curve, thresholds) / np.trapezoid(np.ones(100), thresholds)).mean()


def f_score(predicted, target, threshold):
    distance = np.linalg.norm(predicted[:, None] - target[None], axis=-1)
    precision, recall = (distance.min(1) < threshold).mean(), (distance.min(0) < threshold).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def score(metric, *args):
    metric.update(*args)
    return metric.compute().item()


def test_joint_errors_are_freihands_in_millimetres(hands):
    predicted, target = (hand[:, :21] for hand in hands)
    valid = YES[:, None].expand(4, 21)
    rooted = errors(predicted - predicted[:, :1], target - target[:, :1])
    assert score(MPJPE(), predicted, target, valid) == pytest.approx(1000 * rooted.mean(), rel=1e-5)
    expected = 1000 * errors(aligned(predicted, target), target).mean()
    assert score(PAMPJPE(), predicted, target, valid) == pytest.approx(expected, rel=1e-5)


def test_vertex_errors_are_freihands_in_millimetres(hands):
    assert score(MPVPE(), *hands, YES) == pytest.approx(1000 * errors(*hands).mean(), rel=1e-5)
    expected = 1000 * errors(aligned(*hands), hands[1]).mean()
    assert score(PAMPVPE(), *hands, YES) == pytest.approx(expected, rel=1e-5)


def test_auc_is_freihands(hands):
    predicted, target = hands[0][:, :21] + 0.02, hands[1][:, :21]
    valid = YES[:, None].expand(4, 21)
    assert score(AUC(), predicted, target, valid) == pytest.approx(auc(errors(predicted, target)), abs=1e-6)
    expected = auc(errors(aligned(predicted, target), target))
    assert score(AUC(aligned=True), predicted, target, valid) == pytest.approx(expected, abs=1e-6)


def test_auc_counts_an_error_equal_to_the_threshold_and_nothing_beyond_the_last():
    metric = AUC(points=3)
    thresholds = metric.thresholds
    error = torch.stack([thresholds[0], thresholds[99], torch.tensor(0.06)])[None]
    metric.add(error, torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(metric.hits.sum(1), torch.tensor([100.0, 1.0, 0.0]))


@pytest.mark.parametrize("millimetres", [5, 15])
def test_f_scores_are_freihands(hands, millimetres):
    predicted, target = (hand[:2] for hand in hands)
    for moved, option in ((predicted.numpy(), False), (aligned(predicted, target), True)):
        expected = np.mean([f_score(p, t, millimetres / 1000) for p, t in zip(moved, target.numpy(), strict=True)])
        assert score(FScore(millimetres, option), predicted, target, YES[:2]) == pytest.approx(expected, abs=2e-3)


def test_f_score_wants_distances_below_the_threshold_not_at_it():
    metric = FScore(250)  # a quarter of a metre is exact in binary
    origin, aside = torch.zeros(1, 778, 3), torch.tensor([0.25, 0.0, 0.0]).expand(1, 778, 3)
    assert score(metric, aside, origin, YES[:1]) == 0
    assert score(metric, 0.999 * aside, origin, YES[:1]) == 0.5


def test_a_perfect_hand_scores_perfectly(hands):
    target = hands[1]
    joints, valid = target[:, :21], YES[:, None].expand(4, 21)
    scores = HandScores()
    scores.update(target + 0.3, joints + 0.3, target, joints, YES, valid)
    found = scores.compute()
    assert all(found[name] < 1e-3 for name in ("mpjpe_mm", "pa_mpjpe_mm", "mpvpe_mm", "pa_mpvpe_mm"))
    assert all(found[pa + name] == 1 for pa in ("", "pa_") for name in ("f5", "f15"))
    assert all(found[pa + name] > 0.99 for pa in ("", "pa_") for name in ("auc_joints", "auc_mesh"))
    assert found["mirrored_percent"] == 0


def test_a_mirrored_hand_is_perfect_only_where_reflections_are_allowed(hands):
    target = hands[1]
    mirrored = target * torch.tensor([-1.0, 1.0, 1.0])
    assert score(PAMPVPE(), mirrored, target, YES) < 1e-3
    assert score(PAMPVPE(allow_reflection=False), mirrored, target, YES) > 10
    scores = HandScores()
    scores.update(mirrored, mirrored[:, :21], target, target[:, :21], YES, YES[:, None].expand(4, 21))
    found = scores.compute()
    assert found["mirrored_percent"] == found["mirrored_joints_percent"] == 100
    assert found["pa_mpvpe_mm"] < 1e-3
    assert found["pa_proper_mpvpe_mm"] == pytest.approx(
        score(PAMPVPE(allow_reflection=False), mirrored, target, YES), rel=1e-5
    )


def test_both_alignments_stand_side_by_side_and_reflections_are_counted(hands):
    predicted, target = hands[0].clone(), hands[1]
    predicted[1] *= torch.tensor([-1.0, 1.0, 1.0])  # one of four
    joints, true_joints = predicted[:, :21], target[:, :21]
    valid = YES[:, None].expand(4, 21)
    for official in (True, False):
        scores = HandScores(allow_reflection=official)
        scores.update(predicted, joints, target, true_joints, YES, valid)
        found = scores.compute()
        assert found["mirrored_percent"] == found["mirrored_joints_percent"] == 25
        for pa, allow in (("pa", official), ("pa_proper", False)):
            assert found[f"{pa}_mpjpe_mm"] == pytest.approx(score(PAMPJPE(allow), joints, true_joints, valid), rel=1e-5)
            assert found[f"{pa}_mpvpe_mm"] == pytest.approx(score(PAMPVPE(allow), predicted, target, YES), rel=1e-5)
        nearest = score(FScore(15, True, official), predicted, target, YES)
        assert found["pa_f15"] == pytest.approx(nearest, rel=1e-3)


def test_nearest_neighbours_are_those_of_scipys_tree(hands):
    predicted, target = hands
    to_target, to_predicted = nearest(predicted, target)
    for i in range(4):
        expected, _ = cKDTree(target[i]).query(predicted[i])
        np.testing.assert_allclose(to_target[i], expected, atol=1e-6)
        np.testing.assert_allclose(to_predicted[i], cKDTree(predicted[i]).query(target[i])[0], atol=1e-6)


def test_zeros_score_the_mean_distance_to_the_centre_after_alignment(hands):
    """The formula behind FreiHAND's published sanity numbers for a predictor of zeros."""
    target = hands[1]
    expected = 1000 * errors(target, target.mean(1, keepdim=True)).mean()
    zeros = torch.zeros_like(target)
    assert score(PAMPVPE(), zeros, target, YES) == pytest.approx(expected, rel=1e-5)
    assert score(MPVPE(), zeros, target, YES) == pytest.approx(1000 * errors(target, 0).mean(), rel=1e-5)
    far = target + torch.tensor([0.0, 0.0, 0.7])
    assert score(FScore(15), zeros, far, YES) == 0
    assert score(AUC(points=778), zeros, far, YES[:, None].expand(4, 778)) == 0


def test_unlabelled_hands_and_joints_do_not_count(hands):
    predicted, target = (hand[:, :21].clone() for hand in hands)
    valid = torch.zeros(4, 21, dtype=torch.bool)
    valid[2, :5] = True  # one hand with five joints
    target[~valid] = 1e6
    rooted = errors(predicted - predicted[:, :1], target - target[:, :1])[2, :5]
    assert score(MPJPE(), predicted, target, valid) == pytest.approx(1000 * rooted.mean(), rel=1e-5)
    expected = 1000 * errors(freihand(target[2, :5].numpy(), predicted[2, :5].numpy()), target[2, :5]).mean()
    assert score(PAMPJPE(), predicted, target, valid) == pytest.approx(expected, rel=1e-4)

    valid[2, 0] = False  # no wrist: no wrist alignment
    assert np.isnan(score(MPJPE(), predicted, target, valid))
    valid[2, 1:3] = False  # two joints: any similarity would fit
    assert np.isnan(score(PAMPJPE(), predicted, target, valid))


def test_scores_that_no_label_allows_are_left_out(hands):
    scores = HandScores()
    assert scores.compute() == {}
    nobody, nothing = ~YES, torch.zeros(4, 21, dtype=torch.bool)
    scores.update(hands[0], hands[0][:, :21], hands[1], hands[1][:, :21], nobody, nothing)
    assert scores.compute() == {}
    valid = YES[:, None].expand(4, 21)
    scores.update(hands[0], hands[0][:, :21], hands[1], hands[1][:, :21], nobody, valid)
    assert set(scores.compute()) == {
        "mpjpe_mm", "pa_mpjpe_mm", "pa_proper_mpjpe_mm", "auc_joints", "pa_auc_joints", "mirrored_joints_percent",
    }  # fmt: skip


def test_hand_scores_are_those_of_the_single_metrics(hands):
    predicted, target = hands
    joints, true_joints = predicted[:, :21], target[:, :21]
    valid = YES[:, None].expand(4, 21)
    scores = HandScores()
    for rows in (slice(0, 1), slice(1, 4)):
        scores.update(predicted[rows], joints[rows], target[rows], true_joints[rows], YES[rows], valid[rows])
    found = scores.compute()
    moved, true = predicted - joints[:, :1], target - true_joints[:, :1]
    assert found["mpjpe_mm"] == pytest.approx(score(MPJPE(), joints, true_joints, valid), rel=1e-5)
    assert found["pa_mpjpe_mm"] == pytest.approx(score(PAMPJPE(), joints, true_joints, valid), rel=1e-5)
    assert found["mpvpe_mm"] == pytest.approx(score(MPVPE(), moved, true, YES), rel=1e-5)
    assert found["pa_mpvpe_mm"] == pytest.approx(score(PAMPVPE(), moved, true, YES), rel=1e-5)
    assert found["f5"] == pytest.approx(score(FScore(5), moved, true, YES), rel=1e-3)
    assert found["pa_f15"] == pytest.approx(score(FScore(15, True), moved, true, YES), rel=1e-3)
    assert found["pa_auc_mesh"] == pytest.approx(score(AUC(778, True), moved, true, valid[:, :1].expand(4, 778)), 1e-3)
    scores.reset()
    assert scores.compute() == {}


def test_states_of_two_processes_add_up(hands):
    predicted, target = hands
    whole, first, second = MPJPE(), MPJPE(), MPJPE()
    valid = torch.rand(4, 21, generator=torch.Generator().manual_seed(1)) > 0.3
    valid[:, 0] = True
    whole.update(predicted[:, :21], target[:, :21], valid)
    first.update(predicted[:1, :21], target[:1, :21], valid[:1])
    second.update(predicted[1:, :21], target[1:, :21], valid[1:])
    for name, reduce in first._reductions.items():
        setattr(first, name, reduce(torch.stack([getattr(first, name), getattr(second, name)])))
    torch.testing.assert_close(first.compute(), whole.compute())
