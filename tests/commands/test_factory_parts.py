import json

import numpy as np
import pytest
import torch

from zoo.commands.factory.gate import Gate, Labelled
from zoo.commands.factory.part import part_of
from zoo.commands.factory.poses import OpenHandPoses
from zoo.commands.factory.prompts import Captions, Lines, Templates, prompts_of
from zoo.commands.factory.shard import seed_of
from zoo.hands.skeleton import LEFT, RIGHT
from zoo.metrics.detectors import Keypoints
from zoo.registry import UsageError


@pytest.fixture(scope="module")
def poses():
    return OpenHandPoses(seed=2, size=64, left=0.5)


def test_a_pose_is_a_function_of_its_index(poses):
    again = OpenHandPoses(seed=2, size=64, left=0.5)
    for index in (7, 3, 7):
        [one], [other] = (item.draw(index).scene.hands.values() for item in (poses, again))
        assert one.side == other.side
        np.testing.assert_array_equal(one.vertices, other.vertices)
    sides = [next(iter(poses.draw(index).scene.hands)) for index in range(12)]
    assert {LEFT, RIGHT} == set(sides)


def test_a_prompt_is_a_function_of_its_index_and_its_hands(poses):
    for prompts, again in (
        (Templates(1), Templates(1)),
        (Lines(1, ["a", "b", "{hand}"]), Lines(1, ["a", "b", "{hand}"])),
    ):
        found = []
        for index in range(20):
            hands = {side: hand.joints for side, hand in poses.draw(index % 4).scene.hands.items()}
            found.append(prompts.of(index, hands))
            assert again.of(index, hands) == found[-1]
        assert len(set(found)) > 3


def test_templates_name_the_side_and_the_look(poses):
    for index in range(6):
        hands = {side: hand.joints for side, hand in poses.draw(index).scene.hands.items()}
        text = Templates(0).of(index, hands)
        assert ("left hand" if LEFT in hands else "right hand") in text
        assert " skin, " in text
    [joints] = hands.values()
    both = Templates(0).of(0, {LEFT: joints, RIGHT: joints})
    assert "left hand" in both
    assert "right hand" in both
    assert "hand" in Templates(0).of(0, {})


def test_captions_that_speak_of_hands_come_first(tmp_path):
    rows = [{"caption": text} for text in ("A red bus.", "A man holding a cup.", "Two cats.", "Her  hand is open.")]
    (tmp_path / "captions.json").write_text(json.dumps({"annotations": rows}))
    prompts = prompts_of(str(tmp_path / "captions.json"), 0)
    assert {prompts.of(index, {}) for index in range(30)} == {"A man holding a cup.", "Her hand is open."}
    assert Captions(0, ["A red bus."]).of(0, {}) == "A red bus."
    (tmp_path / "wrong.json").write_text("[]")
    with pytest.raises(ValueError, match="is no captions_"):
        prompts_of(str(tmp_path / "wrong.json"), 0)
    with pytest.raises(FileNotFoundError, match="is not there"):
        prompts_of(str(tmp_path / "absent.json"), 0)


def test_braces_are_filled_in_or_refused(poses):
    [(side, hand)] = poses.draw(0).scene.hands.items()
    text = Lines(0, ["{hand} {{sic}} {skin} {place}"]).of(0, {side: hand.joints})
    assert "{sic}" in text
    assert f"{('left', 'right')[side]} hand" in text
    for wrong in ("{", "{other}"):
        with pytest.raises(ValueError, match=r"brace|filled in"):
            Lines(0, [wrong])


def test_seeds_of_neighbours_have_nothing_in_common():
    seeds = [seed_of(0, index) for index in range(1000)]
    assert len(set(seeds)) == 1000
    assert max(seeds) < 2**63
    assert seed_of(1, 0) != seed_of(0, 1) != seed_of(0, 0)


def test_the_part_is_given_or_the_environment_s(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    assert part_of(None) == (0, 1)
    assert part_of("2/4") == (1, 4)
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("SLURM_NTASKS", "8")
    assert part_of(None) == (3, 8)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert part_of(None) == (1, 2)
    for wrong in ("0/2", "3", "a/b", "3/2"):
        with pytest.raises(UsageError, match="is no part"):
            part_of(wrong)


class Shifted:
    """An estimator that sees every joint some pixels to the right, and nothing in dark pictures."""

    name = "shifted"

    def __init__(self, joints, by):
        self.joints, self.by = joints, by

    def __call__(self, images, boxes, sides):
        torch.testing.assert_close(boxes[0, :2], self.joints.amin(0) + 0.5)
        found = images.flatten(1).amax(1) > 0.5
        seen = self.joints[None] + torch.tensor([self.by, 0.0])
        return Keypoints(seen.expand(len(images), -1, -1), torch.zeros(len(images), 21, 3), found)


def test_joints_are_scored_in_percent_of_their_box_and_a_miss_is_refused():
    joints = torch.stack([torch.linspace(10, 30, 21), torch.linspace(10, 20, 21)], 1)
    label = Labelled(torch.ones(40, 40, dtype=torch.bool), joints[None], torch.tensor([RIGHT]))
    pictures = torch.stack([torch.full((3, 40, 40), value, dtype=torch.uint8) for value in (255, 0)])
    found = Gate(estimator=Shifted(joints, 3.0), most_percent=20)(pictures, [label, label])
    assert found[0] == {"joints_percent": 15.0}
    assert found[1] == {"joints_percent": None, "reason": "joints more than 20 % off"}
    assert "reason" in Gate(estimator=Shifted(joints, 3.0), most_percent=10)(pictures[:1], [label])[0]
    assert Gate()(pictures, [label, label]) == [{}, {}]
