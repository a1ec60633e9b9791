from itertools import chain

import lightning.pytorch as pl
import pytest
import torch
from posed_scenes import MODELS, Given, batch_of, both, scene
from test_batches import Toy, train

from datamodules.base import HandData
from datamodules.batches import join
from datamodules.freihand.data import FreiHAND
from datamodules.openhand.data import OpenHandData
from datamodules.scene_view import SceneView
from zoo.hands.rotations import axis_angle_to_matrix

pytestmark = pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")  # callbacks differ on purpose


class Pairs(HandData):
    def scenes(self, split):
        return Given([both()] * 6)


def test_batches_of_scenes_join():
    first, second = Pairs(rows="scenes", size=32, batch_size=4).train_batches()[0], batch_of(scene(image=None), size=32)
    joined = join(first, second)
    assert joined["has_image"].tolist() == [True] * 4 + [False]
    assert len(joined["image"]) == 4
    assert len(joined["text"]) == 5


class SceneToy(Toy):
    def __init__(self, **options):
        super().__init__(rows="scenes", **options)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_resumed_run_over_scenes_sees_what_the_uninterrupted_one_saw(workers, tmp_path):
    options = {"batches_per_epoch": 3, "workers": workers}
    data = SceneToy(**options)
    assert isinstance(data.view("train"), SceneView)
    whole_run = train(data, max_steps=6, max_epochs=-1)
    keep = pl.callbacks.ModelCheckpoint(tmp_path, filename="last", every_n_train_steps=4)
    before = train(SceneToy(**options), max_steps=4, max_epochs=-1, callbacks=[keep])
    after = train(SceneToy(**options), max_steps=6, max_epochs=-1, ckpt_path=tmp_path / "last.ckpt")
    assert before + after == whole_run


def test_workers_read_and_draw_the_same_scenes():
    parts = [list(Pairs(rows="scenes", size=48, batch_size=2, workers=w).val_dataloader()) for w in (0, 2)]
    for alone, helped in zip(*parts, strict=True):
        for key in ("image", "mesh", "mesh_local", "joints2d", "box"):
            torch.testing.assert_close(alone[key], helped[key], rtol=0, atol=0)
        assert alone["text"] == helped["text"]


def test_devices_share_the_scenes_of_a_pass():
    parts = []
    for rank in range(2):
        batches = SceneToy(batch_size=2).train_batches()
        batches.rank, batches.world = rank, 2
        parts += [batches[k]["index"].tolist() for k in range(2)]
    assert len(set(chain(*parts))) == 8


def test_bytes_become_numbers_on_the_device():
    data = Pairs(rows="scenes", size=32, batch_size=2)
    batch = data.on_after_batch_transfer(data.train_batches()[0], 0)
    for key in ("image", "image_local", "mesh", "mesh_local"):
        assert batch[key].dtype == torch.float32
        assert batch[key].amax() <= 1
    assert isinstance(batch["text"], list)


def test_the_tiny_freihand_yields_scenes(freihand):
    data = FreiHAND(freihand, rows="scenes", batch_size=3, size=64)
    batch = next(iter(data.val_dataloader()))
    assert batch["image"].shape == (3, 3, 64, 64)
    assert batch["has_mesh"].tolist() == [[False, True]] * 3
    assert len(data.view("train")) == 24


def test_made_pictures_come_with_the_parameters_of_their_meshes(tmp_path):
    options = {"images": True, "samples": 3, "val_samples": 2, "test_samples": 1, "draw_workers": 0, "size": 64}
    data = OpenHandData(root=tmp_path / "made", rows="scenes", batch_size=6, image_fraction=0.5, **options)
    data.prepare_data()
    batch = data.train_batches()[0]
    assert batch["has_image"].tolist() == batch["has_mesh_image"].tolist() == [True] * 3 + [False] * 3
    for side in (0, 1):
        rows = batch["has_pose"][:, side]
        assert torch.equal(rows, batch["has_mesh"][:, side])
        made = MODELS[side](
            axis_angle_to_matrix(batch["rotations"][rows, side]),
            batch["betas"][rows, side],
            batch["transl"][rows, side],
        )
        torch.testing.assert_close(made.vertices, batch["vertices"][rows, side], atol=1e-5, rtol=0)


def test_hands_made_on_the_fly_are_scenes_of_both_sides_with_their_parameters():
    data = OpenHandData(rows="scenes", size=64, batch_size=6, val_samples=4, bank=0)
    first, again = data.train_batches()[3], data.train_batches()[3]
    assert first["has_mesh"].tolist() == [[False, True], [True, False]] * 3
    assert torch.equal(first["vertices"], again["vertices"])
    assert first["text"] == again["text"]
    assert first["index"].tolist() == list(range(18, 24))
    assert len(first["image"]) == 0
    for side in (0, 1):
        rows = first["has_pose"][:, side]
        made = MODELS[side](
            axis_angle_to_matrix(first["rotations"][rows, side]),
            first["betas"][rows, side],
            first["transl"][rows, side],
        )
        torch.testing.assert_close(made.vertices, first["vertices"][rows, side], atol=1e-5, rtol=0)
    assert (first["joints2d"].abs() < 1.2).all()  # mirrored hands stay in their mirrored pictures
    assert next(iter(data.val_dataloader()))["has_mesh"].sum(0).tolist() == [2, 2]
