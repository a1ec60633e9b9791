import json
import os
import shutil

import numpy as np
import pytest
import simplejpeg
from tiny_freihand import random_labels, write_freihand

from datamodules.check import check
from datamodules.freihand.data import FreiHAND
from datamodules.freihand.writer import Labels
from datamodules.photos import UnreadableFileError


@pytest.fixture
def broken(freihand, tmp_path):
    return shutil.copytree(freihand, tmp_path / "copy")


def test_a_whole_dataset_is_ok_and_its_counts_are_shown(freihand):
    report = check("freihand", freihand)
    assert report.ok, str(report)
    text = str(report)
    assert "24 (versions gs, hom, sample, auto)" in text
    assert "6 samples" in text
    assert "usable" in text.splitlines()[-1]
    assert "PROBLEM" not in text


def test_evaluation_without_labels_is_a_note_and_no_problem(tmp_path):
    write_freihand(tmp_path, "training", random_labels(2))
    write_freihand(tmp_path, "evaluation", random_labels(2), with_labels=False, masks=False)
    report = check("freihand", tmp_path)
    assert report.ok, str(report)
    assert any("predicted but not scored" in note for note in report.notes)


def problem(root):
    report = check("freihand", root)
    assert not report.ok
    assert str(report).splitlines()[-1] == "not usable as it is"
    return " ".join(f"{row.what}: {row.problem}" for row in report.rows if row.problem)


def test_an_empty_or_missing_folder_is_not_ok(tmp_path):
    assert "training_K.json" in problem(tmp_path)
    assert "not there" in problem(tmp_path / "nowhere")


def test_an_archive_or_a_file_is_named_as_what_it_is(tmp_path):
    for name, said in (("FreiHAND_pub_v2.zip", "an archive, which must be unpacked first"), ("a.json", "not a folder")):
        (tmp_path / name).touch()
        assert said in problem(tmp_path / name)
        with pytest.raises(FileNotFoundError, match=f"{said}.*--data.root"):
            FreiHAND(tmp_path / name).prepare_data()


def test_a_file_of_scales_that_is_cut_short_is_a_line_of_the_table(broken):
    os.truncate(broken / "training_scale.json", 20)
    assert "training_scale.json" in problem(broken)


def test_missing_images_are_counted_and_named(broken):
    for number in (3, 7):
        (broken / f"training/rgb/{number:08d}.jpg").unlink()
    assert "training/rgb: 2 missing: 00000003.jpg, 00000007.jpg" in problem(broken)


def test_truncated_images_are_named(broken):
    path = broken / "evaluation/rgb/00000001.jpg"
    os.truncate(path, path.stat().st_size // 2)
    (broken / "training/mask/00000004.jpg").write_bytes(b"")
    text = problem(broken)
    assert "evaluation/rgb: 1 that are not whole JPEG images: 00000001.jpg" in text
    assert "training/mask: 1 that are not whole JPEG images: 00000004.jpg" in text


def test_an_image_of_another_size_is_named_and_not_trained_on(broken):
    path = broken / "training/rgb/00000007.jpg"
    path.write_bytes(simplejpeg.encode_jpeg(np.zeros((40, 30, 3), np.uint8), colorspace="RGB"))
    assert "training/rgb: 1 of another size than the others: 00000007.jpg" in problem(broken)
    with pytest.raises(UnreadableFileError, match=r"00000007\.jpg is 30 x 40 pixels, but \d+ x \d+ by the first image"):
        FreiHAND(broken).view("train").batch([7])


def test_images_without_labels_are_named(broken):
    shutil.copy(broken / "training/rgb/00000000.jpg", broken / "training/rgb/00000024.jpg")
    assert "1 that no label belongs to: 00000024.jpg" in problem(broken)


def test_a_truncated_label_file_is_named(broken):
    path = broken / "training_mano.json"
    os.truncate(path, path.stat().st_size // 2)
    assert "training_mano.json ends early" in problem(broken)


def test_label_files_of_different_lengths_are_named(broken):
    path = broken / "training_scale.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:-1]))
    assert "training_scale.json: Its length is not that of training_K.json" in problem(broken)


def test_a_missing_label_file_is_named(broken):
    (broken / "training_verts.json").unlink()
    assert "training_verts.json: It is not there" in problem(broken)


@pytest.mark.parametrize(
    ("change", "rule"),
    [(1000.0, "are these metres"), ((1.0, 1.0, -1.0), "behind the camera"), (-1.0, "behind the camera")],
)
def test_labels_in_other_units_or_frames_are_recognised(change, rule, tmp_path):
    labels = random_labels(3)
    change = np.float32(change)
    wrong = Labels(labels.intrinsics, labels.joints * change, labels.vertices * change)
    assert rule in problem(write_freihand(tmp_path, "training", wrong))


def test_joints_of_another_sample_are_recognised(broken):
    path = broken / "training_xyz.json"
    joints = json.loads(path.read_text())
    path.write_text(json.dumps(joints[1:] + joints[:1]))
    assert "a scale that is not the middle finger bone" in problem(broken)


def test_labels_older_than_version_two_are_pointed_out(broken):
    for path in broken.glob("training_*.json"):
        os.utime(path, (1.5e9, 1.5e9))
    assert any("they may be v1's" in note for note in check("freihand", broken).notes)


def test_only_known_names_are_checked(tmp_path):
    with pytest.raises(ValueError, match=r"Known: .*freihand"):
        check("imagenet", tmp_path)
