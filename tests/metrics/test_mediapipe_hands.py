"""MediaPipe's landmarker through an object of the same interface."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from zoo.hands.skeleton import LEFT, RIGHT
from zoo.metrics.detectors import HandDetector, KeypointEstimator
from zoo.metrics.mediapipe_hands import MediaPipeHands, MediaPipeJoints, box_iou


class Landmarker:
    """Says the same of every picture."""

    def __init__(self, *hands):
        self.hands, self.seen = hands, []

    def detect(self, image):
        self.seen.append(image)
        points = [[SimpleNamespace(x=x, y=y, z=0.0) for x, y in hand[0].tolist()] for hand in self.hands]
        world = [[SimpleNamespace(x=x, y=y, z=0.1 * x) for x, y in hand[0].tolist()] for hand in self.hands]
        sides = [[SimpleNamespace(category_name=side, score=score)] for _, side, score in self.hands]
        return SimpleNamespace(hand_landmarks=points, hand_world_landmarks=world, handedness=sides)


def hand(left, top, right, bottom):
    """21 points from the upper left corner (the wrist) to the lower right one, as shares of the picture."""
    return torch.stack((torch.linspace(left, right, 21), torch.linspace(top, bottom, 21)), 1)


TWO = [(hand(0.1, 0.2, 0.3, 0.4), "Left", 0.6), (hand(0.5, 0.5, 0.9, 1.0), "Right", 0.9)]


def test_boxes_scores_and_sides_the_surest_first():
    landmarker = Landmarker(*TWO)
    detector = MediaPipeHands(landmarker, lambda data: data)
    assert isinstance(detector, HandDetector)
    (found,) = detector(torch.full((1, 3, 50, 100), 0.5), ["a.png"])
    torch.testing.assert_close(found.boxes, torch.tensor([[50.0, 25.0, 90.0, 50.0], [10.0, 10.0, 30.0, 20.0]]))
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.6]))
    assert found.sides.tolist() == [RIGHT, LEFT]
    (seen,) = landmarker.seen
    assert (seen.shape, seen.dtype, seen[0, 0, 0]) == ((50, 100, 3), np.uint8, 128)


def test_a_picture_without_hands_has_none():
    (found,) = MediaPipeHands(Landmarker(), lambda data: data)(torch.rand(1, 3, 8, 8), ["a.png"])
    assert (len(found.boxes), len(found.scores), len(found.sides)) == (0, 0, 0)


def test_the_hand_of_the_side_and_box_asked_for_gives_the_joints():
    estimator = MediaPipeJoints(MediaPipeHands(Landmarker(*TWO), lambda data: data))
    assert isinstance(estimator, KeypointEstimator)
    boxes = torch.tensor([[40.0, 20.0, 95.0, 50.0], [0.0, 0.0, 99.0, 49.0], [0.0, 30.0, 20.0, 50.0]])
    found = estimator(torch.rand(3, 3, 50, 100), boxes, torch.tensor([RIGHT, LEFT, LEFT]))
    assert found.found.tolist() == [True, True, False]  # the last box does not meet the left hand
    torch.testing.assert_close(found.joints2d[0, 0], torch.tensor([49.5, 24.5]))
    torch.testing.assert_close(found.joints2d[1, 20], torch.tensor([29.5, 19.5]))
    torch.testing.assert_close(found.joints3d[:2, 0], torch.zeros(2, 3))
    torch.testing.assert_close(found.joints3d[0, 20], torch.tensor([0.4, 0.5, 0.04]))


def test_overlap_of_boxes():
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0], [5.0, 5.0, 6.0, 6.0]])
    torch.testing.assert_close(box_iou(boxes, boxes[0]), torch.tensor([1.0, 1 / 7, 0.0]))


def test_the_model_file_and_the_library_are_asked_for(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"hand_landmarker\.task"):
        MediaPipeHands.from_file(tmp_path / "hand_landmarker.task")
    (tmp_path / "hand_landmarker.task").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(ValueError, match="pip install mediapipe"):
        MediaPipeHands.from_file(tmp_path / "hand_landmarker.task")
