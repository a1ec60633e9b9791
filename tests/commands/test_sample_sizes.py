"""Pictures of hands whose photograph is not there, and what becomes of a run that cannot draw them."""

import json

import numpy as np
import pytest
from sample_files import keypoints
from toys import BlindToy

import checkpoints
from zoo.__main__ import main
from zoo.commands.tasks import pictures
from zoo.commands.tasks.photos import LARGEST

GRID = np.array(keypoints()).reshape(21, 3)


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """Fits one file."""
    monkeypatch.chdir(tmp_path)
    checkpoints.save("weights", {"class_path": "toys.BlindToy"}, BlindToy().state_dict(), "# Toy")
    words = ("--ckpt=weights", "--task=fit", "--input=a.json", "--side=left", "--out=o", "--device=cpu", "--no-params")

    def run(content):
        (tmp_path / "a.json").write_text(json.dumps(content))
        return main(["sample", *words])

    return run


def manifest():
    with open("o/manifest.json") as file:
        return json.load(file)


@pytest.mark.parametrize("kind", ["camera", "stray"])
def test_sizes_that_are_guessed_can_be_drawn(fit, kind, capsys):
    points = GRID.copy()
    content = {"keypoints": points.tolist()}
    if kind == "camera":
        content["K"] = [[600, 0, -200], [0, 600, 90_000], [0, 0, 1]]
    else:
        points[20, :2] = 40_000
        content["keypoints"] = points.tolist()
    assert fit(content) == 0, capsys.readouterr()
    said = manifest()
    assert (said["status"], said["pictures"], [row["status"] for row in said["results"]]) == (
        "done",
        ["hands.png"],
        ["ok"],
    )
    with np.load("o/hands/a.npz") as arrays:
        assert arrays["image_size"].tolist() == ([LARGEST, 1] if kind == "camera" else [LARGEST, LARGEST])


def test_a_picture_that_cannot_be_drawn_leaves_the_manifest_whole(fit, monkeypatch, capsys):
    seen = []

    def broken(store, records):
        seen.append(manifest())
        raise MemoryError

    monkeypatch.setattr(pictures, "_crops", broken)
    assert fit({"keypoints": GRID.tolist()}) == 1
    assert "The hands are whole, but not all of their pictures" in capsys.readouterr().err
    for said, status in ((seen[0], "running"), (manifest(), "done")):
        assert (said["status"], said["pictures"], [row["status"] for row in said["results"]]) == (status, [], ["ok"])
