import os
import shutil

import numpy as np
import pytest
import tiny_interhand as tiny

from datamodules.check import check
from datamodules.interhand.check import PUBLISHED


@pytest.fixture
def broken(interhand, tmp_path):
    return tiny.copy(interhand, tmp_path)


def problem(root):
    report = check("interhand", root)
    assert not report.ok, str(report)
    return " ".join(f"{row.what}: {row.problem}" for row in report.rows if row.problem)


def pictures(root, part="train"):
    return sorted((root / "images" / part).rglob("*.jpg"))


def test_a_whole_dataset_is_ok_and_its_counts_are_shown_beside_the_published_ones(interhand):
    report = check("interhand", interhand)
    assert report.ok, str(report)
    text = str(report)
    assert "24 images  any (1361062 published)" in text
    assert "7 frames" in text
    assert "any (18718 published)" in text
    assert "24 annotations, 1.1" in text
    assert "boxes x 1.200" in text
    assert "train: 21 images have MANO parameters (1340326 published)." in text


def test_missing_images_are_counted_and_named(broken):
    lost = pictures(broken)[:7]
    for path in lost:
        path.unlink()
    text = problem(broken)
    assert "images/train: 7 missing: Capture" in text
    assert str(lost[0].relative_to(broken / "images/train")) in text
    shutil.rmtree(broken / "images/val/Capture0/0001_clasp/cam400262")
    assert "images/val: 1 missing: Capture0/0001_clasp/cam400262/image7.jpg" in problem(broken)
    shutil.rmtree(broken / "images/val")
    assert "images/val: The folder is not there" in problem(broken)


def test_truncated_images_are_named(broken):
    path = pictures(broken)[3]
    os.truncate(path, path.stat().st_size // 2)
    name = path.relative_to(broken / "images/train")
    assert f"images/train: 1 that are not whole JPEG images: {name}" in problem(broken)


def test_images_of_another_size_are_named(broken):
    upright, lying = (next(p for p in pictures(broken) if camera in str(p)) for camera in ("cam400262", "cam400263"))
    shutil.copy(upright, lying)
    assert "1 of 24 looked at that are of another size than annotated: Capture0" in problem(broken)


def test_files_without_an_annotation_and_absent_parts_are_notes(broken):
    shutil.copy(pictures(broken)[0], pictures(broken)[0].with_name("image1.jpg"))
    shutil.rmtree(broken / "annotations/val")
    report = check("interhand", broken)
    assert report.ok, str(report)
    assert "images/train: 1 files that no annotation belongs to." in report.notes
    assert "no val part." in report.notes


def test_a_selection_and_an_old_file_of_parameters_are_pointed_out(broken):
    (broken / "openhand.json").unlink()
    path = tiny.file(broken, "test", "MANO_NeuralAnnot")
    path.rename(path.with_name("InterHand2.6M_test_MANO.json"))
    report = check("interhand", broken)
    assert report.ok, str(report)
    assert any(f"{PUBLISHED['test']} were published. It is a selection" in note for note in report.notes)
    assert any("InterHand2.6M_test_MANO.json is version 0.0's" in note for note in report.notes)
    assert any("test has no MANO_NeuralAnnot.json: joints without meshes" in note for note in report.notes)


def test_the_folder_of_version_zero_is_no_dataset(tmp_path):
    (tmp_path / "annotations/all").mkdir(parents=True)
    assert "version 0.0" in problem(tmp_path)
    assert "is not there" in problem(tmp_path / "nowhere")


def test_a_missing_or_cut_annotation_file_is_named(broken):
    tiny.file(broken, "val", "camera").unlink()
    path = tiny.file(broken, "test", "data")
    os.truncate(path, path.stat().st_size // 2)
    text = problem(broken)
    assert "val_camera.json is not there" in text
    assert "test_data.json ends early" in text


def change_cameras(root, key, change):
    cameras = tiny.load(root, "train", "camera")
    for fields in cameras.values():
        fields[key] = {name: change(np.array(value)).tolist() for name, value in fields[key].items()}
    tiny.save(root, "train", "camera", cameras)


@pytest.mark.parametrize(
    ("key", "change", "rule"),
    [
        ("camrot", lambda turn: turn * (1, 1, -1), "whose camrot is no rotation"),
        ("camrot", lambda turn: np.diag((1, -1, -1)) @ turn, "joints behind the camera"),
        ("campos", lambda place: place / 1000, "boxes that are not 1.2 times"),
        ("campos", lambda place: place * 10, "are these millimetres"),
        ("focal", lambda focal: focal * 1.1, "boxes that are not 1.2 times"),
    ],
)
def test_cameras_in_other_units_or_frames_are_recognised(broken, key, change, rule):
    change_cameras(broken, key, change)
    assert rule in problem(broken)


def test_cameras_that_are_not_listed_are_named(broken):
    cameras = tiny.load(broken, "train", "camera")
    del cameras["0"]["campos"]["400262"]
    tiny.save(broken, "train", "camera", cameras)
    assert "1 that are not listed: 400262 of capture 0" in problem(broken)


def test_annotations_of_another_dataset_are_recognised_by_their_boxes(broken):
    joints = tiny.load(broken, "train", "joint_3d")
    for frames in joints.values():
        moved = list(frames.values())
        frames.update(zip(list(frames), moved[1:] + moved[:1], strict=True))
    tiny.save(broken, "train", "joint_3d", joints)
    assert "boxes that are not 1.2 times the seen joints" in problem(broken)
