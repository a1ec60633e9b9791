"""Measures of two hands: agreement with loops, closed forms, and samples that are not there."""

import numpy as np
import pytest
import torch
import two_hand_loops as loops

from zoo.metrics.two_hands import MRRPE, RRVE, HandednessAccuracy, MiddleBoneErrors, TwoHandMPJPE, TwoHandMPVPE

N = 9


class Pair:
    """Random hands, predicted and true, with holes in the labels."""

    def __init__(self, seed):
        rng = torch.Generator().manual_seed(seed)
        self.target = torch.randn(N, 2, 21, 3, generator=rng) / 10
        self.joints = self.target + torch.randn(N, 2, 21, 3, generator=rng) / 100
        self.true_mesh = torch.randn(N, 2, 778, 3, generator=rng) / 10
        self.mesh = self.true_mesh + torch.randn(N, 2, 778, 3, generator=rng) / 100
        self.valid = torch.rand(N, 2, 21, generator=rng) > 0.3
        self.has = torch.rand(N, 2, generator=rng) > 0.3
        self.interacting = torch.rand(N, generator=rng) > 0.5
        self.way, self.true_way = torch.randn(2, N, 3, generator=rng) / 5

    def wrists(self):
        return self.joints[:, :, 0], self.target[:, :, 0]


def numpy(*tensors):
    return [tensor.numpy() for tensor in tensors]


def updated(metric, *tensors):
    for rows in (slice(0, 4), slice(4, None)):
        metric.update(*(tensor[rows] for tensor in tensors))
    return metric.compute()


def close(found, expected):
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {name: value for name, value in expected.items() if value is not None}, rel=1e-5
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("pooled", [True, False])
def test_joint_errors_are_those_of_lists(seed, pooled):
    pair = Pair(seed)
    given = (pair.joints, pair.target, pair.valid, pair.interacting)
    close(updated(TwoHandMPJPE(pooled), *given), loops.mpjpe(*numpy(*given), pooled))


def test_pooling_counts_samples_and_the_mean_of_means_counts_kinds():
    target = torch.zeros(4, 2, 21, 3)
    moved = target.clone()
    moved[0, :, 1:, 0] = 0.021  # the one interacting sample
    interacting = torch.tensor([True, False, False, False])
    found = {}
    for pooled in (True, False):
        metric = TwoHandMPJPE(pooled)
        metric.update(moved, target, torch.ones(4, 2, 21, dtype=torch.bool), interacting)
        found[pooled] = {name: float(value) for name, value in metric.compute().items()}
    assert found[True] == pytest.approx({"single": 0, "interacting": 20, "all": 5})
    assert found[False] == pytest.approx({"single": 0, "interacting": 20, "all": 10})


@pytest.mark.parametrize("seed", range(3))
def test_mesh_errors_are_those_of_lists(seed):
    pair = Pair(seed)
    given = (pair.mesh, pair.true_mesh, *pair.wrists(), pair.has, pair.interacting)
    close(updated(TwoHandMPVPE(), *given), loops.mpvpe(*numpy(*given)))
    given = (pair.mesh, pair.true_mesh, *pair.wrists(), pair.way, pair.true_way, pair.has.all(1))
    assert float(updated(RRVE(), *given)) == pytest.approx(loops.rrve(*numpy(*given)), rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("points", [21, 778])
def test_errors_about_the_knuckle_are_those_of_lists(seed, points):
    pair = Pair(seed)
    pair.has[0] = True
    chosen = (pair.joints, pair.target) if points == 21 else (pair.mesh, pair.true_mesh)
    given = (*chosen, pair.joints, pair.target, pair.has)
    close(updated(MiddleBoneErrors(points), *given), loops.middle_bone(*numpy(*given)))


def test_size_and_place_do_not_matter_about_the_knuckle():
    pair = Pair(0)
    moved = 1.3 * pair.target + torch.tensor([0.1, 0.2, 0.3])
    everything = torch.ones(N, 2, dtype=torch.bool)
    found = updated(MiddleBoneErrors(21), moved, pair.target, moved, pair.target, everything)
    assert float(found["mean"]) == pytest.approx(0, abs=1e-3)


def test_a_hand_without_size_has_finite_errors_about_the_knuckle():
    pair = Pair(0)
    nothing = torch.zeros_like(pair.target)
    found = updated(MiddleBoneErrors(21), nothing, pair.target, nothing, pair.target, pair.has)
    assert np.isfinite(float(found["mean"]))


def test_the_way_between_wrists_is_scored_in_millimetres_where_both_are_known():
    way = torch.zeros(3, 3)
    moved = torch.tensor([[0.003, 0.004, 0], [1, 1, 1], [0, 0, 0]])
    assert float(updated(MRRPE(), moved, way, torch.tensor([True, False, True]))) == pytest.approx(2.5)


def test_a_left_hand_that_is_displaced_moves_half_of_the_vertices():
    pair = Pair(0)
    given = (pair.true_mesh, pair.true_mesh, *[pair.target[:, :, 0]] * 2)
    moved = pair.true_way + torch.tensor([0, 0.01, 0])
    everything = torch.ones(N, dtype=torch.bool)
    assert float(updated(RRVE(), *given, moved, pair.true_way, everything)) == pytest.approx(5, rel=1e-5)


def test_handedness_needs_both_scores_on_the_right_side_of_a_half():
    scores = torch.tensor([[0.9, 0.1], [0.9, 0.6], [0.4, 0.7], [0.2, 0.3], [0.5, 0.9]])
    present = torch.tensor([[True, False], [True, False], [False, True], [True, True], [False, True]])
    metric = HandednessAccuracy()
    metric.update(scores, present, torch.tensor([True, True, True, False, True]))
    assert float(metric.compute()) == pytest.approx(3 / 4)


def test_kinds_without_a_sample_are_left_out():
    pair = Pair(0)
    none, single = torch.zeros(N, 2, 21, dtype=torch.bool), torch.zeros(N, dtype=torch.bool)
    assert updated(TwoHandMPJPE(True), pair.joints, pair.target, none, single) == {}
    assert set(updated(TwoHandMPJPE(False), pair.joints, pair.target, ~none, single)) == {"single", "all"}
    no = torch.zeros(N, 2, dtype=torch.bool)
    assert updated(TwoHandMPVPE(), pair.mesh, pair.true_mesh, *pair.wrists(), no, single) == {}
    assert updated(MiddleBoneErrors(21), *[pair.joints, pair.target] * 2, no) == {}
    left = no.clone()
    left[:, 0] = True
    assert set(updated(MiddleBoneErrors(21), *[pair.joints, pair.target] * 2, left)) == {"left", "mean"}


def test_a_joint_of_a_hand_without_wrist_never_counts():
    pair = Pair(0)
    pair.valid[:, :, 0] = False
    assert updated(TwoHandMPJPE(True), pair.joints, pair.target, pair.valid, pair.interacting) == {}
