"""Whose word counts when a file calls a hand left and the command line calls it right."""

import json

import numpy as np
import pytest
from sample_files import HIDDEN, coco, keypoints, photo, posed
from toys import SeeingToy

import checkpoints
from zoo.__main__ import main
from zoo.hands.skeleton import LEFT, RIGHT

POINTS = np.array(keypoints()).reshape(21, 3)


@pytest.fixture
def sides(tmp_path, monkeypatch):
    """Samples, and gives the sides of the hands by name."""
    monkeypatch.chdir(tmp_path)
    checkpoints.save("weights", {"class_path": "toys.SeeingToy"}, SeeingToy().state_dict(), "# Toy")
    fast = ("--ckpt=weights", "--out=o", "--device=cpu", "--no-params", "--no-pictures", "--mesh=none")

    def run(*words):
        assert main(["sample", *fast, *words, "-n", "1", "--overwrite"]) == 0
        with open("o/manifest.json") as file:
            return {row["name"]: row["side"] for row in json.load(file)["results"]}

    return run


def test_a_side_that_is_given_stands_and_is_said_once(sides, tmp_path, capsys):
    hands = {side: {f"{side}hand_valid": True, f"{side}hand_kpts": keypoints()} for side in ("left", "right")}
    coco(tmp_path / "a.json", {**HIDDEN, **hands["left"]}, {**HIDDEN, **hands["left"]}, {**HIDDEN, **hands["right"]})
    assert list(sides("--task=fit", "--input=a.json").values()) == ["left", "left", "right"]
    assert "--side" not in capsys.readouterr().err
    assert list(sides("--task=fit", "--input=a.json", "--side=right").values()) == ["right"] * 3
    assert capsys.readouterr().err.count("--side right stands, though a.json calls 2 hands left.") == 1


def test_it_stands_for_plain_keypoints_boxes_and_skeletons_too(sides, tmp_path, capsys):
    np.savez("a.npz", keypoints=POINTS, side=np.array(RIGHT))
    assert sides("--task=fit", "--input=a.npz", "--side=left") == {"a": "left"}
    assert "--side left stands, though a.npz calls a hand right." in capsys.readouterr().err
    photo(tmp_path / "b.jpg")
    (tmp_path / "b.csv").write_text("b.jpg,10,10,40,40,left\n")
    assert sides("--task=reconstruct", "--input=b.csv", "--side=right") == {"b": "right"}
    joints = posed(LEFT)[1].numpy()
    np.savez("c.npz", joints=joints, side=np.array(RIGHT))
    assert sides("--task=inpaint", "--input=c.npz", "--missing=thumb", "--side=left") == {"c": "left"}
