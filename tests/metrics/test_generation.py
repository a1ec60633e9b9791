"""Variety and self-intersection of generated hands."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from zoo.hands.openhand import OpenHand
from zoo.hands.rotations import axis_angle_to_matrix
from zoo.metrics.generation import APD, SelfIntersection, Share
from zoo.metrics.intersection import self_intersections
from zoo.metrics.pairs import mean_pairwise_distance


def some_hands(n, seed=0):
    return 0.05 * torch.randn(n, 778, 3, generator=torch.Generator().manual_seed(seed))


def crossed_hands(n):
    model = OpenHand()
    bends = torch.randn(n, 16, 3, generator=torch.Generator().manual_seed(4)) * torch.tensor([0.2, 0.1, 1.0])
    return model(axis_angle_to_matrix(bends), torch.zeros(n, 10), torch.zeros(n, 3)).vertices, model.faces


def test_apd_is_the_mean_over_ordered_pairs_in_millimetres():
    some = some_hands(3)
    pairs = [(some[i] - some[j]).norm(dim=-1).mean() for i in range(3) for j in range(3) if i != j]
    metric = APD()
    metric.update(some[:1])
    assert metric.compute().isnan()
    metric.update(some[1:])
    assert metric.compute().item() == pytest.approx(1000 * np.mean(pairs), rel=1e-5)


@pytest.mark.parametrize("n", [2, 16, 17, 70])
def test_pairwise_distances_are_those_of_torch_and_scipy(n):
    some = some_hands(n, n)
    one_vertex = some[:, :1]
    assert mean_pairwise_distance(one_vertex) == pytest.approx(pdist(one_vertex[:, 0].numpy()).mean(), rel=1e-5)
    every = np.mean([torch.pdist(some[:, v]).mean() for v in range(0, 778, 60)])
    assert mean_pairwise_distance(some[:, ::60]) == pytest.approx(every, rel=1e-5)
    assert mean_pairwise_distance(some) == pytest.approx(torch.cdist(*[some.transpose(0, 1)] * 2).sum().item()
                                                         / 778 / n / (n - 1), rel=1e-4)  # fmt: skip


def test_the_same_hand_twice_does_not_differ_and_a_broken_one_is_not_hidden():
    same = some_hands(1).expand(3, 778, 3)
    assert mean_pairwise_distance(same) == 0
    broken = some_hands(3)
    broken[2, 5] = float("nan")
    assert np.isnan(mean_pairwise_distance(broken))


def test_apd_does_not_depend_on_threads():
    some, threads = some_hands(40), torch.get_num_threads()
    try:
        found = []
        for n in (1, 3):
            torch.set_num_threads(n)
            found.append(mean_pairwise_distance(some))
    finally:
        torch.set_num_threads(threads)
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_apd_keeps_no_more_hands_than_its_limit():
    some, metric = some_hands(6), APD(limit=3)
    for part in (some[:0], some[:2], some[2:5], some[5:]):
        metric.update(part)
    assert metric.count == 3
    whole = APD()
    whole.update(some[:3])
    torch.testing.assert_close(metric.compute(), whole.compute())
    metric.reset()
    assert metric.count == 0


def test_self_intersection_is_the_percentage_of_faces_mean_over_hands():
    hands, faces = crossed_hands(3)
    metric = SelfIntersection()
    for part in (hands[:1], hands[1:1], hands[1:]):
        metric.update(part, faces)
    share = self_intersections(hands, faces).float().mean(1)
    assert metric.compute().item() == pytest.approx(100 * share.mean().item())
    assert 0 < metric.compute() < 50


def test_self_intersection_tests_no_more_hands_than_its_limit():
    hands, faces = crossed_hands(3)
    metric, first = SelfIntersection(limit=2), SelfIntersection()
    for part in (hands[:1], hands[1:]):
        metric.update(part, faces)
    first.update(hands[:2], faces)
    assert metric.meshes == 2
    assert metric.compute() == first.compute()
    nothing = SelfIntersection(limit=0)
    nothing.update(hands, faces)
    assert (nothing.hits, nothing.count) == (0, 0)


def test_a_share_is_a_percentage_and_empty_updates_add_nothing():
    metric = Share()
    metric.update(torch.tensor([True, False, False]))
    metric.update(torch.zeros(0, dtype=torch.bool))
    metric.update(torch.tensor([True]))
    assert metric.compute() == 50
