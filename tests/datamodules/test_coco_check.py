import os

import numpy as np
import pytest
import simplejpeg
from tiny_coco import fit, person, points, write_coco

from datamodules.check import check


def test_a_whole_folder_is_usable(coco_twin):
    report = check("coco", coco_twin, progress=False)
    assert report.ok, str(report)
    assert "(118287 published)" in str(report)


def test_a_check_names_what_is_missing_and_broken(tmp_path):
    people = [person(i, image=i, left=points()) for i in (1, 2, 3)]
    root = write_coco(tmp_path, people, captions=[(9, "Another.")], mano={"77": {"left": fit(), "right": None}})
    (root / "images/train2017/000000000001.jpg").unlink()
    os.truncate(root / "images/train2017/000000000002.jpg", 300)
    third = simplejpeg.encode_jpeg(np.zeros((40, 30, 3), np.uint8), colorspace="RGB")
    (root / "images/train2017/000000000003.jpg").write_bytes(third)
    said = str(check("coco", root, progress=False))
    assert "1 missing: 000000000001.jpg; 1 that are not whole JPEG images: 000000000002.jpg; 1 of another" in said
    assert "1 of another size than annotated: 000000000003.jpg." in said
    assert "PROBLEM captions_train2017.json: No image has one" in said
    assert "PROBLEM MSCOCO_train_MANO_NeuralAnnot.json: No hand in it belongs to a person" in said
    assert "no coco_wholebody_val_v1.0.json: it cannot be validated" in said


@pytest.mark.parametrize(
    ("hand", "message"),
    [
        (points(4000), "1 people have joints far outside of the picture, the first is annotation 1"),
        ((np.reshape(points(), (21, 3)) / [640, 480, 1]).ravel().tolist(), r"are these pixels\?"),
        (points(visibility=3), "visibilities that are not 0 to 2"),
    ],
)
def test_a_check_finds_labels_that_mean_something_else(tmp_path, hand, message):
    report = check("coco", write_coco(tmp_path, [person(left=hand)]), progress=False)
    assert not report.ok
    assert message.replace("\\", "") in str(report)


def test_a_check_finds_parameters_of_other_annotations(tmp_path):
    mano = {"1": {"left": fit(centre=(3000.0, 10.0)), "right": None}}
    report = check("coco", write_coco(tmp_path, [person(left=points())], mano=mano), progress=False)
    assert "1 of 1 hands are far from their keypoints, the first is lefthand of annotation 1" in str(report)


def test_a_check_of_nothing_says_what_is_looked_for(tmp_path):
    assert "coco_wholebody_train_v1.0.json is not there" in str(check("coco", tmp_path, progress=False))
