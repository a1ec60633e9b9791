"""What is on disk after good and bad endings."""

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import lightning as L
import pytest
import torch

from callbacks.checkpoint import AtomicCheckpointIO, SafeCheckpoint
from callbacks.ema import EMA

REPOSITORY = Path(__file__).parents[2]


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def load(path):
    return torch.load(path, weights_only=True)


def test_last_and_best_are_kept_and_nothing_else(line, make_trainer, loader, tmp_path):
    scores = iter([3.0, 1.0, 2.0])
    line.on_validation_epoch_end = lambda: line.log(
        "val/score", next(scores) if not line.trainer.sanity_checking else 9
    )
    keeper = SafeCheckpoint(tmp_path / "kept", "val/score", every_n_steps=4)
    make_trainer(keeper, enable_checkpointing=True, max_epochs=3).fit(line, loader, loader)
    assert files(tmp_path / "kept") == ["best.ckpt", "last.ckpt"]
    assert load(tmp_path / "kept/last.ckpt")["global_step"] == 30
    assert load(tmp_path / "kept/best.ckpt")["global_step"] == 20
    assert keeper.best_score == 1.0


def test_a_score_that_is_no_number_does_not_stay_the_best(line, make_trainer, loader, tmp_path):
    scores = iter([float("nan"), 2.0, 3.0])
    line.on_validation_epoch_end = lambda: line.log(
        "val/score", next(scores) if not line.trainer.sanity_checking else 9
    )
    keeper = SafeCheckpoint(tmp_path, "val/score")
    make_trainer(keeper, enable_checkpointing=True, max_epochs=3).fit(line, loader, loader)
    assert keeper.best_score == 2.0
    assert load(tmp_path / "best.ckpt")["global_step"] == 20


def test_the_larger_score_can_be_the_better(line, make_trainer, loader, tmp_path):
    scores = iter([3.0, 1.0])
    line.on_validation_epoch_end = lambda: line.log("val/score", next(scores))
    keeper = SafeCheckpoint(tmp_path, "val/score", mode="max")
    options = {"enable_checkpointing": True, "max_epochs": 2, "num_sanity_val_steps": 0}
    make_trainer(keeper, **options).fit(line, loader, loader)
    assert load(tmp_path / "best.ckpt")["global_step"] == 10


def test_a_run_resumed_into_another_folder_has_a_best_file_there(make_line, make_trainer, loader, tmp_path):
    first = SafeCheckpoint(tmp_path / "first", "val/error", mode="max")  # gets worse while learning
    make_trainer(first, enable_checkpointing=True).fit(make_line(), loader, loader)
    second = SafeCheckpoint(tmp_path / "second", "val/error", mode="max")
    options = {"enable_checkpointing": True, "max_epochs": 2}
    make_trainer(second, **options).fit(make_line(), loader, loader, ckpt_path=first.last_path)
    assert files(tmp_path / "second") == ["best.ckpt", "last.ckpt"]


def test_lightnings_best_is_ours(line, make_line, make_trainer, loader, tmp_path):
    run = make_trainer(SafeCheckpoint(tmp_path, "val/error"), enable_checkpointing=True)
    run.fit(line, loader, loader)
    other = make_line()
    run.test(other, loader, ckpt_path="best", verbose=False)
    assert other.layer.weight.equal(line.layer.weight)


def test_a_measure_that_is_not_logged_is_named(line, make_trainer, loader, tmp_path):
    run = make_trainer(SafeCheckpoint(tmp_path, "val/eror"), enable_checkpointing=True)
    with pytest.raises(ValueError, match=r"val/eror.*Logged:.*val/error"):
        run.fit(line, loader, loader)
    assert (tmp_path / "last.ckpt").is_file()  # what was trained is not lost


def test_nothing_is_saved_while_gradients_accumulate(line, make_trainer, loader, tmp_path):
    saved = []

    class Watch(L.Callback):
        def on_save_checkpoint(self, trainer, module, checkpoint):
            saved.append(trainer.global_step)

    keeper = SafeCheckpoint(tmp_path, every_n_steps=1, every_minutes=1e-9)
    options = {"enable_checkpointing": True, "accumulate_grad_batches": 5, "limit_val_batches": 0}
    make_trainer(keeper, Watch(), **options).fit(line, loader, loader)
    assert saved == [1, 2]


def test_halves_that_a_killed_run_left_are_cleared_away(line, make_trainer, loader, tmp_path):
    for name in (".last.ckpt.part", ".best.ckpt.part", ".mine.part"):
        (tmp_path / name).write_text("half")
    options = {"enable_checkpointing": True, "limit_train_batches": 0}  # nothing will be saved
    make_trainer(SafeCheckpoint(tmp_path), **options).fit(line, loader, loader)
    assert files(tmp_path) == [".mine.part"]


@pytest.mark.parametrize("fails", ["os.replace", "torch.save", "os.fsync"])
def test_a_full_disk_leaves_the_checkpoint_before_it_whole(line, make_trainer, loader, tmp_path, monkeypatch, fails):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    line.callback = lambda: line.trainer.global_step == 6 and monkeypatch.setattr(fails, full)
    keeper = SafeCheckpoint(tmp_path / "kept", every_n_steps=2)
    with pytest.raises(OSError, match=r"No space left on device.*is whole.*--out.*--ckpt") as raised:
        make_trainer(keeper, enable_checkpointing=True).fit(line, loader, loader)
    assert "\n" not in str(raised.value)
    assert files(tmp_path / "kept") == ["last.ckpt"]
    assert load(tmp_path / "kept/last.ckpt")["global_step"] == 6


def test_a_write_that_the_system_cuts_short_is_reported_as_such(tmp_path):
    path, io = tmp_path / "last.ckpt", AtomicCheckpointIO()
    io.save_checkpoint({"weight": torch.ones(3)}, path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # Python ignores SIGXFSZ, so writes fail
    try:
        with pytest.raises(OSError, match=r"could not be written.*too large.*is whole"):
            io.save_checkpoint({"weight": torch.ones(100_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert io.load_checkpoint(path)["weight"].equal(torch.ones(3))
    assert files(tmp_path) == ["last.ckpt"]


def test_what_is_no_disk_error_stays_what_it_is(tmp_path):
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        AtomicCheckpointIO().save_checkpoint({"no": lambda: 0}, tmp_path / "a.ckpt")


def test_a_missing_checkpoint_names_the_flag(tmp_path):
    with pytest.raises(FileNotFoundError, match="--ckpt"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "a.ckpt")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["training", "validation"])
def test_a_signal_saves_first_and_the_run_goes_on_from_there(
    line, make_line, make_trainer, loader, tmp_path, number, where
):
    options = {"enable_checkpointing": True, "max_epochs": 3, "num_sanity_val_steps": 0, "accumulate_grad_batches": 2}
    whole = make_line()
    make_trainer(EMA(0.9), SafeCheckpoint(tmp_path / "whole"), **options).fit(whole, loader, loader)

    before = signal.getsignal(number)
    if where == "training":
        line.callback = lambda: len(line.losses) == 13 and os.kill(os.getpid(), number)
    else:
        step = line.validation_step

        def told(batch, batch_idx):
            if len(line.losses) == 20 and batch_idx == 3:
                os.kill(os.getpid(), number)
            return step(batch, batch_idx)

        line.validation_step = told
    keeper = SafeCheckpoint(tmp_path / "kept")
    with pytest.raises(SystemExit) as left:
        make_trainer(EMA(0.9), keeper, **options).fit(line, loader, loader)
    assert left.value.code == 128 + number
    assert signal.getsignal(number) == before
    assert len(line.losses) == (14 if where == "training" else 20)  # the batch that completes the optimizer step

    resumed, ema = make_line(), EMA(0.9)
    shuffled_on = loader if where == "validation" else Resumable(loader)
    make_trainer(ema, SafeCheckpoint(tmp_path / "kept"), **options).fit(
        resumed, shuffled_on, loader, ckpt_path=keeper.last_path
    )
    assert line.losses + resumed.losses == whole.losses
    assert ema.updates == 15


class Resumable:
    """Goes on where the checkpoint left its epoch, as a data module of ours does."""

    def __init__(self, loader):
        self.loader, self.skip = loader, 4

    def __len__(self):
        return len(self.loader)

    def __iter__(self):  # a generator, as Lightning calls iter() once only to see whether it can
        skip, self.skip = self.skip, 0
        yield from list(self.loader)[skip:]

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def test_a_second_ctrl_c_stops_at_once(line, make_trainer, loader, tmp_path):
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    line.callback = twice
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit):
            make_trainer(SafeCheckpoint(tmp_path), enable_checkpointing=True).fit(line, loader, loader)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(line.losses) == 1


SCRIPT = """
import sys, time
sys.path.insert(0, "tests/callbacks")
from conftest import Line, points, trainer
from callbacks.checkpoint import SafeCheckpoint
line = Line()
line.callback = lambda: (print("step", flush=True), time.sleep(0.02))
keeper = SafeCheckpoint(sys.argv[1])
trainer([keeper], sys.argv[1], max_epochs=10_000, enable_checkpointing=True).fit(line, points(), points())
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_real_process_leaves_a_checkpoint_that_loads(tmp_path, number):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for _ in range(5):
            process.stdout.readline()
        process.send_signal(number)
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in errors
    assert f"{signal.Signals(number).name} at step" in said
    saved = load(tmp_path / "last.ckpt")
    assert saved["global_step"] >= 4
    assert saved["state_dict"]["layer.weight"].isfinite().all()
    assert files(tmp_path) == ["last.ckpt"]
