import copy
import errno
import os
import pickle
import tarfile

import cv2
import numpy as np
import pytest
import torch
from test_batches import Blank
from tiny_freihand import random_labels, write_freihand

from datamodules.augment import Augment
from datamodules.crop_cache import CropScenes, reach_of
from datamodules.freihand.data import FreiHAND
from datamodules.hand_view import HandView
from datamodules.photos import UnreadableFileError
from zoo.commands.errors import explain

VARIED = Augment(rotation=90.0, scale=0.2, shift=0.1, erase=0.0)


def both(freihand, tmp_path, **options):
    common = {"size": 96, "augment": VARIED, **options}
    return [
        FreiHAND(freihand, cache=tmp_path, crop_cache=cache, **common).view("train") for cache in (None, tmp_path / "c")
    ]


def test_cached_crops_are_those_of_the_whole_pictures(freihand, tmp_path):
    plain, kept = (view.batch(range(12), [0, 1] * 6) for view in both(freihand, tmp_path))
    for key in ("joints", "vertices", "joints2d", "side", "index", "has_image"):
        torch.testing.assert_close(kept[key], plain[key], rtol=0, atol=2e-3)
    difference = (kept["image"].float() - plain["image"].float()).abs() / 255
    assert difference.mean() < 0.02
    assert kept["image"].shape == plain["image"].shape


def test_cameras_and_pixels_of_cached_crops_belong_together(freihand, tmp_path):
    view = both(freihand, tmp_path)[1]
    batch = view.batch(range(8))
    pixels = torch.einsum("bij,bnj->bni", batch["intrinsics"], batch["joints"])
    pixels = pixels[..., :2] / pixels[..., 2:]
    torch.testing.assert_close((2 * pixels + 1) / view.size - 1, batch["joints2d"], rtol=0, atol=1e-4)


def test_all_that_an_augmentation_can_show_is_kept():
    assert reach_of(None) == 1
    assert reach_of(Augment(rotation=0.0, scale=0.2, shift=0.1)) == pytest.approx(1.4)
    assert reach_of(Augment(rotation=90.0, scale=0.0, shift=0.0)) == pytest.approx(2**0.5)


def test_shards_are_tar_files_of_jpegs(freihand, tmp_path):
    scenes = both(freihand, tmp_path)[1].scenes
    with tarfile.open(scenes.folder / "00000.tar") as tar:
        names = tar.getnames()
        assert names == [f"{i:08d}.jpg" for i in range(len(scenes))]
        assert tar.extractfile(names[3]).read(2) == b"\xff\xd8"


def test_an_interrupted_cache_is_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr("datamodules.crop_cache._SHARD", 4)
    first = CropScenes(Blank(10), tmp_path, 32, 1.5, 1.4)
    written = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    assert len(written) == 6
    (first.folder / "00001.npy").unlink()
    again = CropScenes(Blank(10), tmp_path, 32, 1.5, 1.4)
    changed = {path.name for path in again.folder.iterdir() if path.stat().st_mtime_ns != written.get(path)}
    assert changed == {"00001.npy", "00001.tar"}
    assert [int(again.picture(i)[..., :3].mean().round()) for i in range(10)] == list(range(10))


def test_other_options_and_other_hands_make_another_cache(tmp_path):
    folders = {
        CropScenes(Blank(n), tmp_path, size, margin, reach).folder
        for n, size, margin, reach in ((9, 32, 1.5, 1.4), (9, 16, 1.5, 1.4), (9, 32, 1.6, 1.4), (9, 32, 1.5, 1.3))
    }
    assert len(folders | {CropScenes(Blank(10), tmp_path, 32, 1.5, 1.4).folder}) == 5


def test_other_pictures_of_the_same_labels_make_another_cache(tmp_path):
    labels = random_labels(3)
    datasets = [FreiHAND(write_freihand(tmp_path / name, "training", labels), cache=tmp_path) for name in "ab"]
    for path in (tmp_path / "b").rglob("*.jpg"):
        cv2.imwrite(str(path), np.zeros((224, 224, 3), np.uint8))
    first, other, again = (CropScenes(datasets[i].scenes("train"), tmp_path, 32, 1.5, 1.4).folder for i in (0, 1, 0))
    assert first == again != other


def test_workers_get_as_little_of_many_hands_as_of_few_and_read_the_same(tmp_path):
    few, many = (CropScenes(Blank(n), tmp_path, 32, 1.5, 1.4) for n in (3, 200))
    before = many.picture(2)
    view = HandView(many, 32, 1.5)
    assert len(view) == 200
    assert len(pickle.dumps(many)) < len(pickle.dumps(few)) + 20
    assert len(pickle.dumps(view)) < len(pickle.dumps(few)) + 500
    again = copy.deepcopy(view)  # by what a worker is sent
    np.testing.assert_array_equal(again.scenes.picture(2), before)
    np.testing.assert_array_equal(again.rows, view.rows)


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="open files are counted there")
def test_any_number_of_shards_leaves_no_file_open(tmp_path, monkeypatch):
    monkeypatch.setattr("datamodules.crop_cache._SHARD", 1)
    scenes = CropScenes(Blank(30), tmp_path, 32, 1.5, 1.4)
    before = len(os.listdir("/dev/fd"))
    assert [int(scenes.picture(i)[..., :3].mean().round()) for i in range(30)] == list(range(30))
    assert len(os.listdir("/dev/fd")) == before


def test_a_damaged_shard_is_named(tmp_path):
    scenes = CropScenes(Blank(3), tmp_path, 32, 1.5, 1.4)
    path = scenes.folder / "00000.tar"
    with path.open("r+b") as file:
        os.truncate(file.fileno(), 600)
    with pytest.raises(UnreadableFileError, match="Delete its folder"):
        scenes.picture(2)


def test_a_full_disk_names_the_flag_and_leaves_no_draft(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(OSError, match=r"No space left.*--data\.crop_cache") as caught:
        CropScenes(Blank(3), tmp_path, 32, 1.5, 1.4)
    assert "--data.crop_cache" in explain(caught.value)[0]
    assert not list(tmp_path.rglob("*.tmp"))


def test_drafts_of_killed_processes_go_after_a_day(tmp_path):
    folder = CropScenes(Blank(3), tmp_path, 32, 1.5, 1.4).folder
    (folder / "00000.npy").unlink()
    killed, working = folder / "00000.1.tmp", folder / "00000.2.tmp"
    for draft in (killed, working):
        draft.touch()
    os.utime(killed, (1e9, 1e9))
    CropScenes(Blank(3), tmp_path, 32, 1.5, 1.4)
    assert list(folder.glob("*.tmp")) == [working]


def test_a_cache_smaller_than_a_crop_names_its_flag(tmp_path):
    with pytest.raises(ValueError, match=r"--data\.crop_reach"):
        CropScenes(Blank(3), tmp_path, 32, 1.5, 0.9)


def test_whole_pictures_have_no_cache(freihand, tmp_path):
    with pytest.raises(ValueError, match=r"whole pictures\. Leave --data\.crop_cache out"):
        FreiHAND(freihand, rows="scenes", crop_cache=tmp_path)


def test_only_training_crops_are_kept(freihand, tmp_path):
    data = FreiHAND(freihand, cache=tmp_path, crop_cache=tmp_path / "c", size=32)
    data.view("val")
    assert not (tmp_path / "c").exists()


def test_labels_read_at_once_are_those_read_one_by_one(freihand, tmp_path, monkeypatch):
    view = FreiHAND(freihand, cache=tmp_path, size=32, augment=VARIED).view("train")
    at_once = view.batch(range(10))
    monkeypatch.setattr(type(view.scenes), "arrays", lambda self, scenes, sides: None)
    torch.testing.assert_close(at_once, view.batch(range(10)), rtol=0, atol=0)


def test_a_picture_alone_is_the_scenes_picture(freihand, tmp_path):
    scenes = FreiHAND(freihand, cache=tmp_path).scenes("train")
    np.testing.assert_array_equal(scenes.picture(5)[..., :3], scenes.read(5).image)
