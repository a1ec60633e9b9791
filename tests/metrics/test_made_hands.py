"""Scores of the hands in made pictures, by arithmetic."""

import math

import pytest
import torch

from zoo.metrics.detectors import NONE, Detections, GivenBoxes, HandDetector
from zoo.metrics.made_hands import HandConfidence, KeypointMSE, MaskIoU, mask_iou


def found(*scores):
    k = len(scores)
    return Detections(torch.zeros(k, 4), torch.tensor(scores), torch.ones(k, dtype=torch.long))


def test_misses_are_ignored_or_count_as_zero():
    metric = HandConfidence()
    metric.update([found(0.9), NONE, found(0.5)])
    detected, expected, coverage = metric.compute()
    assert float(detected) == pytest.approx(0.7)
    assert float(expected) == pytest.approx(1.4 / 3)
    assert float(coverage) == pytest.approx(200 / 3)


def test_more_hands_than_there_should_be_do_not_raise_the_second_score():
    metric = HandConfidence()
    metric.update([found(0.2, 0.8, 0.6), found(0.4)], torch.tensor([1, 2]))
    detected, expected, coverage = metric.compute()
    assert float(detected) == pytest.approx(0.5)
    assert float(expected) == pytest.approx((0.8 + 0.4) / 3)
    assert float(coverage) == pytest.approx(200 / 3)


def test_squared_error_in_2d_is_in_percent_of_the_box_squared():
    metric, target = KeypointMSE("2d"), 100 * torch.rand(2, 21, 2)
    moved = target + torch.tensor([3.0, 4.0])
    moved[1] = torch.nan  # not found, so never read
    metric.update(moved, target, torch.tensor([True, False]), torch.tensor([50.0, 80.0]))
    error, coverage = metric.compute()
    assert float(error) == pytest.approx(100.0, rel=1e-4)  # (5 / 50 * 100)^2
    assert float(coverage) == 50


def test_squared_error_in_3d_is_relative_to_the_wrist_in_square_centimetres():
    metric, target = KeypointMSE("3d"), torch.rand(1, 21, 3)
    moved = target + 7.0
    moved[:, 1:, 2] += 0.021
    metric.update(moved, target, torch.tensor([True]))
    assert float(metric.compute().error) == pytest.approx(2.1**2 * 20 / 21, rel=1e-4)


def test_joints_without_a_label_and_hands_without_a_wrist_do_not_count():
    metric, target = KeypointMSE("3d"), torch.zeros(2, 21, 3)
    moved, valid = target.clone(), torch.ones(2, 21, dtype=torch.bool)
    moved[0, 5], moved[1] = 1.0, torch.rand(21, 3)
    valid[0, 5] = valid[1, 0] = False
    metric.update(moved, target, torch.tensor([True, True]), valid=valid)
    assert float(metric.compute().error) == 0


def test_each_kind_asks_for_what_it_needs():
    with pytest.raises(ValueError, match="2d takes pixels with sizes"):
        KeypointMSE("2d").update(torch.zeros(1, 21, 2), torch.zeros(1, 21, 2), torch.tensor([True]))


def test_iou_is_the_mean_over_pictures_with_a_silhouette():
    target = torch.zeros(3, 4, 4, dtype=torch.bool)
    target[0, :2], target[1, :, :2] = True, True
    predicted = torch.zeros_like(target)
    predicted[0, :1], predicted[1], predicted[2] = True, True, True
    assert mask_iou(predicted, target).tolist() == [0.5, 0.5, 0.0]
    metric = MaskIoU()
    metric.update(predicted, target)
    assert float(metric.compute()) == 0.5
    assert mask_iou(~predicted[2:], target[2:]).tolist() == [1.0]


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_nothing_is_not_a_number():
    assert all(math.isnan(value) for value in [*HandConfidence().compute(), *KeypointMSE("2d").compute()])
    assert math.isnan(MaskIoU().compute())


def test_given_boxes_are_found_by_name_and_an_unknown_name_is_an_error():
    detector = GivenBoxes({"a.png": found(1.0), "b.png": NONE})
    assert isinstance(detector, HandDetector)
    assert [len(row.boxes) for row in detector(torch.rand(2, 3, 8, 8), ["b.png", "a.png"])] == [0, 1]
    with pytest.raises(ValueError, match=r"No box is given for c\.png"):
        detector(torch.rand(1, 3, 8, 8), ["c.png"])
