import copy
import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_coco import only, person, points, scenes, write_coco

from datamodules import coco
from datamodules.coco.data import COCO
from datamodules.photos import UnreadableFileError


def test_coco_s_own_folders_and_loose_files_are_found(tmp_path):
    root = write_coco(tmp_path / "a", [person(left=points())])
    (root / "images/train2017").rename(root / "train2017")
    assert only(root).image is not None
    flat = tmp_path / "flat"
    (root / "train2017").rename(flat)
    (root / "annotations/coco_wholebody_train_v1.0.json").rename(flat / "my_wholebody.json")
    for split in ("train", "val"):
        assert scenes(flat, split).read(0).image is not None


def test_files_elsewhere_are_named_with_flags(tmp_path):
    root = write_coco(tmp_path / "a", [person(left=points())])
    photos = (root / "images/train2017").rename(tmp_path / "photos")
    labels = (root / "annotations/coco_wholebody_train_v1.0.json").rename(tmp_path / "labels.json")
    options = {"annotations": labels, "images_root": photos}
    assert COCO(root, **options).scenes("val").read(0).image is not None
    with pytest.raises(FileNotFoundError, match=r"lacks 1 of the 1 images.*--data\.images_root"):
        COCO(root, annotations=labels).scenes("train")


def test_missing_data_names_file_rule_and_flag(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"MSCOCO needs a folder.*COCO-WholeBody.*--data\.root"):
        COCO().prepare_data()
    with pytest.raises(FileNotFoundError, match=r"coco_wholebody_train_v1\.0\.json is not there.*--data\.root"):
        COCO(tmp_path).prepare_data()
    write_coco(tmp_path / "in", [person(left=points())])
    with pytest.raises(FileNotFoundError, match=rf"Pass --data\.root {tmp_path / 'in'}"):
        COCO(tmp_path).prepare_data()
    COCO(tmp_path / "in").prepare_data()  # one part is enough
    with pytest.raises(FileNotFoundError, match=r"coco_wholebody_val_v1\.0\.json"):
        COCO(tmp_path / "in").scenes("val")


def test_a_missing_image_is_named_before_training_starts(tmp_path):
    root = write_coco(tmp_path, [person(1, image=5, left=points()), person(2, image=7, left=points())])
    (root / "images/train2017/000000000007.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks 1 of the 2 images.*000000000007\.jpg is the first"):
        scenes(root)


def test_a_truncated_image_is_named_when_it_is_read(tmp_path):
    root = write_coco(tmp_path, [person(left=points())])
    os.truncate(root / "images/train2017/000000000005.jpg", 300)
    with pytest.raises(UnreadableFileError, match=r"000000000005\.jpg \(300 bytes\) is not a whole JPEG"):
        only(root)


def test_an_image_of_another_size_than_its_labels_is_named(tmp_path):
    root = write_coco(tmp_path, [person(left=points())])
    cv2.imwrite(str(root / "images/train2017/000000000005.jpg"), np.zeros((240, 320, 3), np.uint8))
    for read in (lambda: only(root), lambda: scenes(root).picture(0)):
        with pytest.raises(UnreadableFileError, match=r"000000000005\.jpg is 320 x 240 pixels, but 640 x 480 by"):
            read()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], r"ends early, at or soon after"),
        (lambda text: "{}", r"has 0 images and 0 annotations.*--data\.annotations"),
        (lambda text: text.replace("lefthand_kpts", "body"), r"annotation 1 has no lefthand_kpts.*no hands"),
        (lambda text: text.replace("[150.0, ", "["), r"lefthand_kpts of annotation 1 has 62 numbers; 21 triples"),
        (lambda text: text.replace('"image_id": 5', '"image_id": 6'), r"is of image 6, which is not in its list"),
        (lambda text: text.replace('"bbox"', '"box"'), r"1 in its list annotations is not as.*KeyError: 'bbox'"),
        (lambda text: text.replace('"num_keypoints": 17', '"num_keypoints": 0'), r"has nobody with a labelled hand"),
    ],
)
def test_damaged_annotations_are_refused(tmp_path, damage, message):
    root = write_coco(tmp_path, [person(left=points())])
    path = root / "annotations/coco_wholebody_train_v1.0.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match=message):
        scenes(root)


def test_annotations_are_read_once_until_a_file_changes(tmp_path, monkeypatch):
    root = write_coco(tmp_path / "d", [person(left=points())], captions=[(5, "Old.")])
    assert only(root, cache=tmp_path / "c").caption == "Old."
    with monkeypatch.context() as patch:
        patch.setattr("datamodules.coco.index.read", lambda files: pytest.fail("read again"))
        assert only(root, cache=tmp_path / "c").caption == "Old."
    write_coco(root, [person(left=points())], captions=[(5, "Other.")])
    assert only(root, cache=tmp_path / "c").caption == "Other."
    assert len(os.listdir(tmp_path / "c")) == 1  # the old one is gone, and so is the draft


def test_parts_with_the_same_annotations_keep_an_index_each(tmp_path):
    root = write_coco(tmp_path / "a", [person(left=points())], mano={})
    data = COCO(root, annotations=root / "annotations/coco_wholebody_train_v1.0.json", cache=tmp_path / "cache")
    for _ in range(2):
        for split in ("train", "val"):
            assert len(data.index(split).arrays["annotation"]) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_an_index_that_cannot_be_written_says_where_it_could(tmp_path, monkeypatch):
    root = write_coco(tmp_path / "d", [person(left=points())])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("datamodules.coco.index.np.save", full)
    with pytest.raises(OSError, match=r"could not be written.*--data\.cache"):
        scenes(root, cache=tmp_path / "c")
    assert os.listdir(tmp_path / "c") == []


def test_the_reader_pickles_small_for_workers(coco_twin):
    found = scenes(coco_twin)
    found.read(0)
    found.models = None
    assert len(pickle.dumps(found)) < 3000
    assert copy.deepcopy(found).read(1, image=False).name == found.read(1, image=False).name


def test_nothing_of_pycocotools_is_used():
    sources = list(Path(coco.__file__).parent.glob("*.py"))
    assert len(sources) > 5
    assert not [path for path in sources if "import pycocotools" in path.read_text()]
