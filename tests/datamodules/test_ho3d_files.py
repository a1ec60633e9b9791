"""HO-3D's files when they are damaged, hostile, changed or somewhere odd."""

import os
import pickle
import shutil

import numpy as np
import pytest

from datamodules.ho3d.data import HO3D
from datamodules.ho3d.metas import read_meta
from datamodules.ho3d.python2 import write_pickle
from datamodules.photos import UnreadableFileError
from zoo.hands.skeleton import RIGHT


@pytest.fixture
def broken(ho3d, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(ho3d, tmp_path / "HO3D_v3")


def first(root, kind, suffix, part="train"):
    sequence, file = (root / f"{part}.txt").read_text().split()[0].split("/")
    return root / part / sequence / kind / f"{file}{suffix}"


class Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def test_a_label_file_that_asks_for_code_is_refused_by_name_and_runs_nothing(broken, tmp_path):
    path, target = first(broken, "meta", ".pkl"), tmp_path / "ran"
    path.write_bytes(pickle.dumps({"handPose": Bomb(target)}, protocol=2))
    with pytest.raises(ValueError, match=rf"{path} asks for posix\.system.*refused"):
        HO3D(broken).prepare_data()
    assert not target.exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("part", ["train", "evaluation"])
def test_a_truncated_label_file_is_named(broken, share, part):
    path = first(broken, "meta", ".pkl", part)
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(ValueError, match=rf"{path} is (not a whole pickle|empty)"):
        HO3D(broken).prepare_data()


def test_a_label_of_another_shape_or_that_is_missing_is_named(tmp_path):
    path = tmp_path / "0000.pkl"
    good = {"camMat": np.eye(3), "handJoints3D": np.zeros((21, 3)), "handPose": np.zeros((48, 1), np.float32)}
    good |= {"handBeta": [0.0] * 10, "handTrans": [np.float32(1), np.float64(2), 3]}
    write_pickle(path, good)
    found = read_meta(path, "train")
    assert found["pose"].shape == (48,)  # columns are flattened
    np.testing.assert_array_equal(found["transl"], [1, 2, 3])  # lists of numpy's numbers too
    for change, rule in (
        ({"handPose": np.zeros(45)}, "handPose has 45 numbers, which are not 48"),
        ({"handJoints3D": np.full((21, 3), np.nan)}, "handJoints3D .* not finite"),
        ({"handBeta": "none"}, "handBeta cannot be read as an array"),
    ):
        write_pickle(path, {**good, **change})
        with pytest.raises(ValueError, match=rule):
            read_meta(path, "train")
    write_pickle(path, {**good, "handJoints3D": np.arange(63.0).reshape(21, 3), "handBoundingBox": [1, 2, 3, 4]})
    np.testing.assert_array_equal(read_meta(path, "evaluation")["joints"], [[0, 1, 2]])  # the root, whatever else
    del good["handBeta"]
    write_pickle(path, good)
    with pytest.raises(ValueError, match="has no handBeta"):
        read_meta(path, "train")


def test_a_table_is_made_once_and_again_when_a_label_file_changes(broken, tmp_path):
    def moved_by():
        return HO3D(broken, cache=tmp_path / "cache").scenes("train").read(0, image=False).hands[RIGHT].joints

    before = moved_by()
    tables = list((tmp_path / "cache").glob("ho3d-train-*.npy"))
    times = [path.stat().st_mtime_ns for path in tables]
    moved_by()
    assert [path.stat().st_mtime_ns for path in tables] == times
    path = first(broken, "meta", ".pkl")
    other = sorted(path.parent.glob("*.pkl"))[-1 if path.stem == "0000" else 0]
    shutil.copy(other, path)
    os.utime(path, ns=(1, 1))
    assert np.abs(moved_by() - before).max() > 0.001
    assert len(list((tmp_path / "cache").glob("ho3d-train-*"))) == 1  # nothing stale, no draft


def test_a_truncated_list_is_named(broken):
    path = broken / "train.txt"
    os.truncate(path, path.stat().st_size - 3)
    with pytest.raises(ValueError, match=r"train\.txt: entry 7 of 7 is '\w+/00', not SEQUENCE/0123"):
        HO3D(broken).prepare_data()
    path.write_text("\n")
    with pytest.raises(ValueError, match=r"train\.txt lists no frames.*--data\.root"):
        HO3D(broken).prepare_data()


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("version", ["v3", "v2"])
def test_a_truncated_image_is_named(ho3d, ho3d_v2, tmp_path, version, workers):
    root = shutil.copytree({"v3": ho3d, "v2": ho3d_v2}[version], tmp_path / f"HO3D_{version}")
    path = first(root, "rgb", {"v3": ".jpg", "v2": ".png"}[version], "evaluation")
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(UnreadableFileError, match=rf"^{path} \(\d+ bytes\) is not a whole (JPEG|PNG) image"):
        next(iter(HO3D(root, workers=workers, size=32).test_dataloader()))


def test_a_missing_image_is_named_before_training_starts(broken):
    path = first(broken, "rgb", ".jpg")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"{path} is not there.*1 frames without an image"):
        HO3D(broken).train_dataloader()
    assert len(HO3D(broken, images=False).view("train")) == 7


def test_missing_data_names_file_rule_and_flag(ho3d, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train\.txt is not there.*--data\.root"):
        HO3D(tmp_path).prepare_data()
    with pytest.raises(FileNotFoundError, match=r"HO-3D needs a folder.*--data\.root"):
        HO3D().prepare_data()
    with pytest.raises(FileNotFoundError, match=rf"Pass --data\.root {ho3d}"):
        HO3D(ho3d.parent).prepare_data()
    with pytest.raises(ValueError, match=r"--data\.val_fraction"):
        HO3D(ho3d, val_fraction=1.0)


def test_scoring_needs_no_training_part(broken):
    shutil.rmtree(broken / "train")
    (broken / "train.txt").unlink()
    data = HO3D(broken, size=32)
    data.prepare_data()
    assert len(data.view("test")) == 2


def test_paths_may_have_spaces_and_letters_of_any_kind(ho3d, tmp_path):
    root = shutil.copytree(ho3d, tmp_path / "Händé データ x" / "HO3D_v3")
    data = HO3D(root, cache=tmp_path / "caché 1", size=32)
    data.prepare_data()
    assert next(iter(data.test_dataloader()))["has_image"].all()


def test_a_read_only_folder_is_enough(broken, tmp_path):
    folders = [broken, *(path for path in broken.rglob("*") if path.is_dir())]
    try:
        for folder in folders:
            folder.chmod(0o555)
        HO3D(broken).prepare_data()
        assert len(HO3D(broken).scenes("train")) == 7
        assert not list(broken.rglob("*.npy"))
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_a_cache_that_cannot_be_written_names_the_flag(ho3d, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"--data\.cache"):
        HO3D(ho3d, cache=tmp_path / "file" / "cache").prepare_data()
