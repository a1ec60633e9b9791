import numpy as np
import pytest
import torch

from datamodules.captions import bend, describe, distance, gesture, relation
from zoo.hands.openhand import OpenHand
from zoo.hands.poses import PosePrior
from zoo.hands.poses_joints import joint_rotations


@pytest.fixture(scope="session")
def named():
    """Joints (21, 3) of the right hand that does what a name says."""
    prior, hand = PosePrior(), OpenHand("right")
    turns = joint_rotations(prior.angles, prior.axes)
    roots = torch.eye(3).expand(len(turns), 1, 3, 3)
    made = hand(
        torch.cat([roots, turns], 1), torch.zeros(len(turns), 10), torch.tensor([[0.0, 0.0, 0.5]]).expand(len(turns), 3)
    )
    return dict(zip(prior.names, hand.regress(made.vertices).detach().numpy(), strict=True))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("flat", "an open right hand"),
        ("asl 5", "an open right hand"),
        ("asl s", "a right hand making a fist"),
        ("hook grasp", "a right hand with curled fingers"),
        ("asl 1", "a right hand pointing with the index finger"),
        ("asl v", "a right hand with the index and middle fingers straight"),
        ("asl w", "a right hand with the index, middle and ring fingers straight"),
        ("asl i", "a right hand with the little finger straight"),
        ("tip pinch", "a right hand with the tips of thumb and index finger together"),
        ("claw", "a right hand with bent fingers"),
        ("relaxed hand", "a right hand"),
    ],
)
def test_recorded_gestures_are_called_what_they_are(named, name, said):
    assert gesture(named[name]).of(1) == said


def test_a_mirrored_hand_does_the_same(named):
    for joints in named.values():
        assert gesture(joints) == gesture(joints * np.float32([-1, 1, 1]))


def test_a_finger_is_straight_or_curled_whatever_its_size(named):
    assert bend(named["flat"] * 100, 1) == "straight"
    assert bend(named["asl s"] * 0.01, 4) == "curled"


def test_a_sentence_hangs_on_seed_and_index_alone(named):
    hands = {0: named["flat"], 1: named["asl s"]}
    assert describe(hands, seed=3, index=5) == describe(hands, seed=3, index=5)
    assert len({describe(hands, seed=3, index=i) for i in range(30)}) > 5


def test_every_sentence_says_which_hands_there_are_and_nothing_else(named):
    for index in range(40):
        text = describe({0: named["flat"], 1: named["asl 1"]}, index=index)
        assert text[0].isupper()
        assert text.endswith(".")
        assert "an open left hand" in text.lower()
        assert "a right hand pointing" in text.lower()
        assert "{" not in text
        assert "right" not in describe({0: None}, index=index)
        assert "centimetres" not in describe({0: None}, index=index)
    assert describe({}) == "A picture."


def test_hands_are_as_near_as_they_are(named):
    left = named["flat"] * np.float32([-1, 1, 1])
    apart = {0: left, 1: named["flat"] + np.float32([0, 0.3, 0])}
    assert relation(apart, {}) == ", apart from each other"
    assert relation({0: left, 1: left + np.float32(0.01)}, {}) == ", interacting closely"
    assert relation({0: left}, {}) == ""


def test_a_distance_is_said_to_ten_centimetres_and_only_where_a_hand_can_be_seen(named):
    joints = named["flat"] - named["flat"].mean(0)
    assert distance({1: joints + np.float32([0, 0, 0.42])}) == ", about 40 centimetres from the camera"
    assert distance({0: joints + np.float32([0, 0, 0.6]), 1: joints + np.float32([0, 0, 0.42])}).startswith(
        ", about 40"
    )
    assert distance({1: joints + np.float32([0, 0, 30])}) == ""
    assert distance({}) == ""
