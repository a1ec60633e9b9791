"""Scores of two real processes are those of one, however unevenly the hands are spread."""

import pytest
import torch

from tests.metrics.two_processes import check_spread
from zoo.hands.openhand import OpenHand
from zoo.metrics.generation import APD, SelfIntersection, Share
from zoo.metrics.hand_scores import HandScores, computed
from zoo.metrics.hypotheses import MinOfN
from zoo.metrics.reprojection import Reprojection2D


def hands():
    generator = torch.Generator().manual_seed(0)
    target = 0.05 * torch.randn(6, 778, 3, generator=generator)
    return target[:, None] + 0.004 * torch.randn(6, 3, 778, 3, generator=generator), target


def score(parts):
    predicted, target = hands()
    predicted[1] *= torch.tensor([-1.0, 1.0, 1.0])  # a reflection to count
    mesh = torch.tensor([True, True, False, True, True, True])
    joints = mesh[:, None].expand(-1, 21)
    scores = HandScores()
    joint_minimum, mesh_minimum, proper = MinOfN(2), MinOfN(3, "root"), MinOfN(3, "proper")
    pixels, box = Reprojection2D(), Reprojection2D("box")
    apd, crossing, share = APD(limit=8), SelfIntersection(), Share()
    for part in parts:
        first, true = predicted[part, 0], target[part]
        scores.update(first, first[:, :21], true, true[:, :21], mesh[part], joints[part])
        joint_minimum.update(predicted[part, :, :21], true[:, :21], joints[part])
        mesh_minimum.update(predicted[part], true, mesh[part, None].expand(-1, 778))
        proper.update(predicted[part, :, :21], true[:, :21], joints[part])
        for metric in (pixels, box):
            metric.update(1000 * first[:, :21, :2], 1000 * true[:, :21, :2], joints[part])
        apd.update(first)
        crossing.update(true, OpenHand().faces[:200])
        share.update(mesh[part])
    others = {"joints": joint_minimum, "mesh": mesh_minimum, "proper": proper, "pixels": pixels, "box": box}
    others |= {"apd": apd, "crossing": crossing, "share": share}
    return {**scores.compute(), **{name: computed(metric) for name, metric in others.items()}}


@pytest.mark.slow
def test_scores_of_two_processes_are_those_of_one(tmp_path):
    whole = check_spread(score, 6, tmp_path, rel=1e-5)
    assert whole["mirrored_percent"] == pytest.approx(20)
