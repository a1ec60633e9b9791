"""`evaluate`: COCO's table of both hands from a JSON file or a zip of it, and flags by their names here."""

import json
import zipfile

import numpy as np
import pytest

from datamodules.coco.evaluate import write_predictions
from zoo.__main__ import main


@pytest.fixture
def root(tmp_path):
    hand = np.concatenate((np.random.default_rng(0).uniform(20, 60, (21, 2)), np.ones((21, 1))), 1).ravel().tolist()
    person = {
        "id": 1, "image_id": 7, "category_id": 1, "iscrowd": 0, "num_keypoints": 17, "area": 18000.0,
        "bbox": [10.0, 20.0, 90.0, 200.0], "lefthand_valid": True, "righthand_valid": True,
        "lefthand_kpts": hand, "righthand_kpts": hand,
    }  # fmt: skip
    images = [{"id": 7, "width": 640, "height": 480, "file_name": "000000000007.jpg"}]
    folder = tmp_path / "coco" / "annotations"
    folder.mkdir(parents=True)
    content = {"images": images, "annotations": [person]}
    (folder / "coco_wholebody_val_v1.0.json").write_text(json.dumps(content))
    row = {"image_id": 7, "lefthand_kpts": hand, "lefthand_score": 1, "righthand_kpts": hand, "righthand_score": 1}
    write_predictions(tmp_path / "pred.json", [row])
    with zipfile.ZipFile(tmp_path / "pred.zip", "w") as archive:
        archive.write(tmp_path / "pred.json", "pred.json")
    return tmp_path


@pytest.mark.parametrize("file", ["pred.json", "pred.zip"])
def test_the_truth_has_a_precision_of_one(root, file, capsys):
    words = ["evaluate", "coco", "--pred", str(root / file), "--root", str(root / "coco"), "--out", str(root / "out")]
    assert main(words) == 0, capsys.readouterr()
    said = capsys.readouterr().out
    assert "COCO-WholeBody val" in said
    scores = json.loads((root / "out" / "metrics.json").read_text())
    assert (scores["lefthand_ap"], scores["righthand_ap"]) == pytest.approx((1, 1))


def test_another_split_is_a_sentence(root, capsys):
    words = ["evaluate", "coco", "--pred", str(root / "pred.json"), "--root", str(root / "coco"), "--split", "test"]
    assert main(words) == 2
    assert "Known: train, val." in capsys.readouterr().err


def test_a_folder_of_another_dataset_names_the_flag_of_this_command(root, capsys):
    assert main(["evaluate", "ho3d", "--pred", str(root / "pred.json"), "--root", str(root / "coco")]) == 1
    said = capsys.readouterr().err
    assert "--root" in said
    assert "--data." not in said
