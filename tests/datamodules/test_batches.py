from itertools import chain

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from datamodules.augment import Augment
from datamodules.base import HandData
from datamodules.batches import _passes
from datamodules.freihand.data import FreiHAND
from datamodules.hand_view import HandView
from datamodules.scene import Scene, SceneHand, Scenes

pytestmark = pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")  # callbacks differ on purpose


class Blank(Scenes):
    """Right hands that are all alike but for their number."""

    def __init__(self, n=10):
        self.n = n

    def __len__(self):
        return self.n

    def sides(self):
        return np.tile([[False, True]], (self.n, 1))

    def read(self, index, *, image=True, mask=False):
        joints = np.linspace(-0.05, 0.05, 63, dtype=np.float32).reshape(21, 3) + np.float32([0, 0, 0.5])
        camera = np.float32([[200, 0, 32], [0, 200, 32], [0, 0, 1]])
        picture = np.full((64, 64, 3), index, np.uint8) if image else None
        return Scene(index, (64, 64), camera, {1: SceneHand(1, joints=joints)}, image=picture)


class Endless:
    """Pose-only rows whose index says which batch they are from."""

    def batch(self, k, n):
        rows = HandView(Blank(), 16, 1.5, images=False).batch([0] * n)
        return {**rows, "index": torch.full((n,), 1000 + k)}


class Toy(HandData):
    def __init__(self, source=None, scenes=10, **options):
        super().__init__(**{"batch_size": 4, "size": 16, "augment": None, **options})
        self.source = source
        self.count = scenes

    def scenes(self, split):
        return Blank(self.count)

    def poses(self):
        return self.source


class Watcher(pl.LightningModule):
    """Learns one number and remembers which rows it saw."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []
        self.automatic_optimization = True

    def training_step(self, batch, _):
        self.seen.append((batch["index"].tolist(), round(float(batch["joints2d"].sum()), 4)))
        return (self.weight - batch["joints2d"].mean()).square()

    def validation_step(self, batch, _):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(data, **options):
    watcher = Watcher()
    defaults = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    ckpt_path = options.pop("ckpt_path", None)
    options.setdefault("enable_checkpointing", "callbacks" in options)
    trainer = pl.Trainer(**defaults, **options)
    trainer.fit(watcher, data, ckpt_path=ckpt_path)
    return watcher.seen


def rows(loader, n):
    return [batch["index"].tolist() for batch, _ in zip(loader, range(n), strict=False)]


def test_every_row_is_seen_once_a_pass_in_another_order_each_pass():
    seen = list(chain(*rows(Toy(batch_size=5).train_dataloader(), 4)))
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


def test_the_orders_of_no_more_than_two_passes_are_kept():
    seen = rows(Toy(batch_size=5, seed=71).train_dataloader(), 20)
    assert len(_passes(10, 71)) == 2
    assert rows(Toy(batch_size=5, seed=71).train_dataloader(), 20) == seen


def test_the_order_hangs_on_the_seed_alone():
    assert rows(Toy(seed=1).train_dataloader(), 9) == rows(Toy(seed=1).train_dataloader(), 9)
    assert rows(Toy(seed=1).train_dataloader(), 9) != rows(Toy(seed=2).train_dataloader(), 9)


def test_workers_change_nothing():
    alone = [b["joints2d"] for b, _ in zip(Toy(augment=Augment()).train_dataloader(), range(5), strict=False)]
    loader = Toy(augment=Augment(), workers=2).train_dataloader()
    helped = [b["joints2d"] for b, _ in zip(loader, range(5), strict=False)]
    torch.testing.assert_close(alone, helped, rtol=0, atol=0)


def test_devices_share_a_pass_without_overlap():
    data = Toy(batch_size=2)
    parts = []
    for rank in range(2):
        batches = data.train_batches()
        batches.rank, batches.world = rank, 2
        parts += [batches[k]["index"].tolist() for k in range(2)]
        assert batches.once_through() == 2
    assert len(set(chain(*parts))) == 8


def test_an_epoch_is_once_through_the_images_or_as_long_as_asked():
    assert len(Toy().train_dataloader()) == 2
    assert len(Toy(batches_per_epoch=7).train_dataloader()) == 7


def test_image_rows_come_first_and_are_packed():
    batch = Toy(Endless(), image_fraction=0.25).train_batches()[3]
    assert batch["has_image"].tolist() == [True, False, False, False]
    assert batch["image"].shape == (1, 3, 16, 16)
    assert batch["image"].dtype == torch.uint8
    assert batch["index"].tolist()[1:] == [1003] * 3


def test_without_a_pose_source_the_other_rows_come_from_the_dataset():
    batch = Toy(image_fraction=0.5).train_batches()[0]
    assert batch["has_image"].tolist() == [True, True, False, False]
    assert len(set(batch["index"].tolist())) == 4


def test_a_run_without_images_reads_no_scene_if_there_are_poses():
    data = Toy(Endless(), image_fraction=0.0, batches_per_epoch=3, scenes=0)
    assert data.train_batches()[2]["index"].tolist() == [1002] * 4


def test_pose_only_epochs_need_a_length():
    with pytest.raises(ValueError, match=r"--data\.batches_per_epoch"):
        Toy(Endless(), images=False).train_dataloader()


def test_bytes_become_numbers_from_zero_to_one_on_the_device():
    data = Toy()
    batch = data.on_after_batch_transfer(data.train_batches()[0], 0)
    assert batch["image"].dtype == torch.float32
    torch.testing.assert_close(batch["image"][:, 0, 8, 8] * 255, batch["index"].float())


def test_training_images_are_varied_and_others_are_not():
    data = Toy(augment=Augment())
    first, second = data.view("train").batch([3], [0]), data.view("train").batch([3], [1])
    assert not torch.equal(first["joints2d"], second["joints2d"])
    assert data.view("val").augment is None


@pytest.mark.parametrize(
    "options",
    [{"image_fraction": 1.5}, {"batch_size": 0}, {"workers": -1}, {"batches_per_epoch": 0}, {"size": 4}],
)
def test_impossible_options_name_their_flag(options):
    with pytest.raises(ValueError, match=r"--data\."):
        Toy(**options)


@pytest.mark.parametrize(("stop", "workers"), [(1, 0), (3, 0), (5, 0), (6, 0), (4, 1)])
def test_a_resumed_run_sees_what_the_uninterrupted_run_saw(stop, workers, tmp_path):
    options = {"batches_per_epoch": 3, "augment": Augment(), "workers": workers}
    whole = train(Toy(**options), max_steps=8, max_epochs=-1)
    assert len({str(batch) for batch in whole}) == 8
    keep = ModelCheckpoint(tmp_path, filename="last", every_n_train_steps=stop)
    before = train(Toy(**options), max_steps=stop, max_epochs=-1, callbacks=[keep])
    after = train(Toy(**options), max_steps=8, max_epochs=-1, ckpt_path=tmp_path / "last.ckpt")
    assert before + after == whole


class Stop(pl.Callback):
    def __init__(self, batch):
        self.batch = batch

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.fit_loop.total_batch_idx == self.batch:
            raise RuntimeError("stopped")


@pytest.mark.parametrize(("stop", "accumulate"), [(2, 1), (4, 1), (7, 1), (3, 2), (6, 2)])
def test_a_run_killed_inside_a_step_goes_on_with_that_step(stop, accumulate, tmp_path):
    options = {"batches_per_epoch": 4, "augment": Augment()}
    run = {"max_epochs": 2, "accumulate_grad_batches": accumulate}
    whole = train(Toy(**options), **run)
    keep = ModelCheckpoint(tmp_path, filename="last", save_on_exception=True)
    with pytest.raises(RuntimeError, match="stopped"):
        train(Toy(**options), callbacks=[keep, Stop(stop)], **run)
    saved = next(tmp_path.glob("*exception*"), None) or next(tmp_path.glob("*.ckpt"))
    after = train(Toy(**options), ckpt_path=saved, **run)
    assert after == whole[stop:]


@pytest.mark.parametrize("limit", [2, 3])
def test_a_checkpoint_at_the_end_of_an_epoch_resumes_with_the_next_batch(limit, tmp_path):
    run = {"limit_train_batches": limit}
    whole = train(Toy(batches_per_epoch=3), max_epochs=4, **run)
    keep = ModelCheckpoint(tmp_path, filename="last", save_on_train_epoch_end=True)
    before = train(Toy(batches_per_epoch=3), max_epochs=2, callbacks=[keep], **run)
    after = train(Toy(batches_per_epoch=3), max_epochs=4, ckpt_path=tmp_path / "last.ckpt", **run)
    assert before + after == whole


def test_validation_inside_an_epoch_disturbs_nothing(tmp_path):
    run = {"max_epochs": 2, "val_check_interval": 2}
    whole = train(Toy(batches_per_epoch=4), **run)
    keep = ModelCheckpoint(tmp_path, filename="{step}", save_top_k=-1)
    train(Toy(batches_per_epoch=4), callbacks=[keep], **run)
    for step in (2, 4, 6):
        after = train(Toy(batches_per_epoch=4), ckpt_path=tmp_path / f"step={step}.ckpt", **run)
        assert after == whole[step:], step


def test_resuming_with_another_batch_size_says_so(tmp_path):
    keep = ModelCheckpoint(tmp_path, filename="last", every_n_train_steps=2)
    train(Toy(batches_per_epoch=3), max_steps=2, max_epochs=-1, callbacks=[keep])
    with pytest.warns(UserWarning, match="rows 4 -> 5"):
        train(Toy(batches_per_epoch=3, batch_size=5), max_steps=3, max_epochs=-1, ckpt_path=tmp_path / "last.ckpt")


def test_overfitting_repeats_the_first_batches():
    seen = train(Toy(), overfit_batches=1, max_epochs=3)
    assert len(seen) == 3
    assert len({str(batch) for batch in seen}) == 1


def test_the_whole_tiny_dataset_trains_validates_and_predicts(freihand):
    data = FreiHAND(freihand, batch_size=5, size=32)
    trainer = pl.Trainer(max_epochs=1, logger=False, enable_progress_bar=False, enable_checkpointing=False)
    watcher = Watcher()
    trainer.fit(watcher, data)
    assert len(watcher.seen) == 24 // 5
