from pathlib import Path

import pytest
import torch

from datamodules.openhand.data import OpenHandData, PoseScenes

SMALL = {"val_samples": 3, "test_samples": 2, "batch_size": 4, "size": 32}


def test_without_images_nothing_is_written(tmp_path):
    data = OpenHandData(root=tmp_path / "openhand", **SMALL)
    data.prepare_data()
    batch = data.train_batches()[0]
    assert batch["vertices"].shape == (4, 778, 3)
    assert batch["image"].shape == (0, 3, 32, 32)
    assert not (tmp_path / "openhand").exists()


def test_training_batches_change_with_number_and_seed():
    a, b = OpenHandData(**SMALL), OpenHandData(seed=1, **SMALL)
    assert torch.equal(a.train_batches()[7]["joints"], a.train_batches()[7]["joints"])
    assert not torch.equal(a.train_batches()[7]["joints"], a.train_batches()[8]["joints"])
    assert not torch.equal(a.train_batches()[7]["joints"], b.train_batches()[7]["joints"])


def test_held_out_hands_do_not_depend_on_the_seed():
    a, b = (OpenHandData(seed=seed, **SMALL) for seed in (0, 1))
    for split, count in (("val", 3), ("test", 2)):
        ours, theirs = (next(iter(getattr(data, f"{split}_dataloader")())) for data in (a, b))
        assert len(ours["joints"]) == count
        assert torch.equal(ours["joints"], theirs["joints"])


def test_splits_share_no_hand():
    data = OpenHandData(**SMALL)
    batches = [
        data.train_batches()[0],
        *(next(iter(loader)) for loader in (data.val_dataloader(), data.test_dataloader())),
    ]
    size = torch.cat([(batch["joints"][:, 9] - batch["joints"][:, 0]).norm(dim=-1) for batch in batches])
    assert len(size.unique()) == 4 + 3 + 2


def test_held_out_crops_have_the_views_margin():
    batch = next(iter(OpenHandData(margin=2.0, **SMALL).val_dataloader()))
    box = batch["joints2d"].amax(1) - batch["joints2d"].amin(1)
    torch.testing.assert_close(box.amax(-1) / 2, torch.full((3,), 0.5), atol=1e-3, rtol=0)


def test_left_out_gestures_are_not_drawn():
    data = OpenHandData(leave_out=("fist",), **SMALL)
    assert "fist" not in data.poses().prior.names


def test_pose_scenes_travel_light():
    scenes = OpenHandData(**SMALL).scenes("val")
    assert isinstance(scenes, PoseScenes)
    scenes.read(0)
    assert "drawn" not in scenes.__getstate__()


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> OpenHandData:
    root = tmp_path_factory.mktemp("pictures") / "openhand"
    data = OpenHandData(samples=2, root=root, images=True, draw_workers=1, **SMALL)
    data.prepare_data()
    return data


def test_with_images_half_of_a_batch_is_pictured(pictured):
    batch = pictured.train_batches()[0]
    assert batch["has_image"].tolist() == [True, True, False, False]
    assert batch["image"].shape == (2, 3, 32, 32)
    assert batch["image"].dtype == torch.uint8


def test_pictured_splits_have_the_stated_sizes(pictured):
    assert len(pictured.view("train")) == 2 * 4
    assert len(pictured.view("val")) == 3
    assert len(pictured.view("test")) == 2
    assert next(iter(pictured.val_dataloader()))["has_image"].all()


def test_the_default_place_is_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Path(tmp_path) in OpenHandData(**SMALL).root.parents


def test_an_empty_split_names_the_flags():
    with pytest.raises(ValueError, match=r"Set --data\.val_samples"):
        OpenHandData(val_samples=0)


def test_pictures_are_drawn_in_the_size_that_is_asked_for():
    assert OpenHandData(**SMALL).recipe.size == 224
    small = OpenHandData(picture_size=96, **SMALL)
    assert small.recipe.size == 96
    assert small.root != OpenHandData(**SMALL).root  # a folder of their own
