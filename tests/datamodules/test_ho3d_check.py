import json
import os
import shutil

import cv2
import numpy as np
import pytest

from datamodules.check import check
from datamodules.ho3d.check import whole_png
from datamodules.ho3d.metas import read_meta
from datamodules.ho3d.python2 import write_pickle
from zoo.hands.unpickle import decode, read_tree


@pytest.fixture
def broken(ho3d, tmp_path):
    return shutil.copytree(ho3d, tmp_path / "HO3D_v3")


def files(root, kind, suffix, part="train"):
    names = (root / f"{part}.txt").read_text().split()
    return [root / part / name.split("/")[0] / kind / f"{name.split('/')[1]}{suffix}" for name in names]


def problem(root):
    report = check("ho3d", root, progress=False)
    assert not report.ok
    return " ".join(f"{row.what}: {row.problem}" for row in report.rows if row.problem)


def test_whole_twins_are_ok_and_their_counts_are_shown(ho3d, ho3d_v2):
    for root, n, published in ((ho3d, 7, (83325, 20137)), (ho3d_v2, 3, (66034, 11524))):
        report = check("ho3d", root)
        assert report.ok, str(report)
        for part, many, of in zip(("train", "evaluation"), (n, 2), published, strict=True):
            assert [(row.found, row.expected) for row in report.rows if row.what == f"{part}.txt"] == [
                (f"{many} frames", f"any ({of} published)")
            ]
        assert "2 train images are not in train.txt" in str(report)


def test_a_folder_without_lists_is_not_ok(tmp_path):
    assert "train.txt is not there" in problem(tmp_path)


def test_missing_and_unlabelled_label_files_are_named(broken):
    gone, none = files(broken, "meta", ".pkl")[:2]
    gone.unlink()
    shutil.copy(next(path for path in broken.glob("train/*/meta/*.pkl") if read_meta(path, "train") is None), none)
    text = problem(broken)
    assert f"1 missing: {gone.parts[-3]}/{gone.stem}" in text
    assert f"1 listed that say None: {none.parts[-3]}/{none.stem}" in text


def test_damaged_label_files_are_named(broken):
    path = files(broken, "meta", ".pkl", "evaluation")[0]
    os.truncate(path, 100)
    assert f"1 damaged, the first: {path} is not a whole pickle" in problem(broken)


def test_missing_broken_and_foreign_images_are_named(broken):
    gone, cut, small, foreign = files(broken, "rgb", ".jpg")[:4]
    names = [f"{path.parts[-3]}/{path.stem}" for path in (gone, cut, small, foreign)]
    gone.unlink()
    os.truncate(cut, cut.stat().st_size // 2)
    small.write_bytes(cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes())
    foreign.with_suffix(".png").write_bytes(cv2.imencode(".png", cv2.imread(str(foreign)))[1].tobytes())
    foreign.unlink()
    text = problem(broken)
    assert f"1 missing: {names[0]}" in text
    assert f"2 that are not whole images of 640 x 480: {names[1]}, {names[2]}" in text
    assert f"1 of another kind than v3's .jpg: {names[3]}" in text


@pytest.mark.parametrize("damage", ["cut", "last", "flipped", "empty"])
def test_a_damaged_png_is_named(ho3d_v2, tmp_path, damage):
    root = shutil.copytree(ho3d_v2, tmp_path / "HO3D_v2")
    path = files(root, "rgb", ".png")[1]
    data = bytearray(path.read_bytes())
    assert whole_png(bytes(data))
    half = len(data) // 2
    data[half] ^= damage == "flipped"
    path.write_bytes({"cut": data[:half], "last": data[:-1], "flipped": data, "empty": b""}[damage])
    assert f"1 that are not whole images of 640 x 480: {path.parts[-3]}/{path.stem}" in problem(root)


def test_a_missing_sequence_is_named(broken):
    shutil.rmtree(broken / "evaluation/SM1")
    assert "1 sequences whose folder is missing: SM1" in problem(broken)


def test_frames_listed_twice_are_counted(broken):
    path = broken / "train.txt"
    path.write_text(path.read_text() + path.read_text().split()[0])
    assert "1 frames are listed twice" in problem(broken)


@pytest.mark.parametrize(
    ("change", "rule"), [(1000.0, "are these metres"), (np.array((1, -1, -1)), "is -z forward")], ids=["mm", "OpenCV"]
)
def test_labels_in_other_units_or_frames_are_recognised(broken, change, rule):
    for path in files(broken, "meta", ".pkl"):
        tree = read_tree(path)
        labels = {key: decode(tree[key]) for key in ("camMat", "handJoints3D", "handPose", "handBeta", "handTrans")}
        write_pickle(path, {**labels, "handJoints3D": labels["handJoints3D"] * change})
    assert rule in problem(broken)


def test_evaluation_labels_in_another_order_or_frame_are_recognised(broken):
    path = broken / "evaluation_xyz.json"
    path.write_text(json.dumps(json.loads(path.read_text())[::-1]))
    assert "evaluation_xyz.json: 2 wrists are not where the label files have the root" in problem(broken)


def test_what_is_optional_is_noted_and_no_problem(broken):
    for path in broken.glob("evaluation_*.json"):
        path.unlink()
    for path in broken.glob("train/*/seg"):
        shutil.rmtree(path)
    report = check("ho3d", broken)
    assert report.ok, str(report)
    assert "no evaluation labels" in str(report)
    assert "no segmentations" in str(report)
    shutil.rmtree(broken / "evaluation")
    (broken / "evaluation.txt").unlink()
    assert "no evaluation part" in str(check("ho3d", broken))
