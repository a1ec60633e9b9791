"""Checkpoints that a full disk, Ctrl-C or a cluster's SIGTERM cannot spoil."""

import math
import os
import shutil
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import Checkpoint

from callbacks.console import say


class AtomicCheckpointIO(CheckpointIO):
    """Writes beside the target, then renames: what stands at a path is always whole."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        path = Path(path)
        part = _part(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())  # a rename may reach the disk before the bytes do
            os.replace(part, path)
        except (OSError, RuntimeError) as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            cause = _disk_error(error)
            if cause is None:
                raise
            kept = f"The one saved before is whole: {path}." if path.exists() else "There is none from before."
            raise OSError(
                f"The checkpoint could not be written to {path.parent}: {cause.strerror or cause}. {kept} "
                "Make room there, or choose another folder with --out, and resume with --ckpt."
            ) from error

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        if not Path(path).is_file():
            raise FileNotFoundError(f"There is no checkpoint at {path}. Give a .ckpt file with --ckpt.")
        return torch.load(path, map_location=map_location, weights_only=True)  # whatever was asked for

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        Path(path).unlink(missing_ok=True)


def _part(path: Path) -> Path:
    """Where a checkpoint is written before it is whole."""
    return path.with_name(f".{path.name}.part")


def _disk_error(error: BaseException | None) -> OSError | None:
    """The operating system's complaint; torch's writer hides it behind a RuntimeError about positions."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


class SafeCheckpoint(Checkpoint):
    """Keeps `last.ckpt`, and `best.ckpt` by a validation measure; saves before an interrupted run ends.

    The first SIGINT or SIGTERM lets the step finish, saves `last.ckpt` and leaves with exit code 128 + signal; a second
    Ctrl-C stops at once. Saves happen only between optimizer steps, so that no accumulated gradient is lost.

    Args:
        folder: Where the files go.
        monitor: Name of the logged measure that decides about `best.ckpt`; without it there is only `last.ckpt`.
        mode: `min` or `max`: what is better.
        every_n_steps: Optimizer steps between saves; 0 for none on this account.
        every_minutes: Minutes between saves. There is also one after every validation and one at the end.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        monitor: str | None = None,
        mode: str = "min",
        every_n_steps: int = 0,
        every_minutes: float = 10.0,
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"SafeCheckpoint(mode={mode!r}): a measure gets better by min or max.")
        self.folder = Path(folder)
        self.monitor = monitor
        self.sign = 1.0 if mode == "min" else -1.0
        self.every_n_steps = every_n_steps
        self.every_minutes = every_minutes
        self.best_score = math.inf  # times sign
        self._saved_step = 0
        self._saved_at = time.monotonic()
        self._step = 0
        self._between_steps = True
        self._signal: int | None = None
        self._handlers: dict[int, Any] = {}
        self._process = os.getpid()

    @property
    def last_path(self) -> Path:
        return self.folder / "last.ckpt"

    @property
    def best_path(self) -> Path:
        return self.folder / "best.ckpt"

    @property
    def best_model_path(self) -> str:
        """Lightning reads it for `ckpt_path="best"`."""
        return str(self.best_path if self.best_path.exists() else self.last_path)

    def setup(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        trainer.strategy.checkpoint_io = AtomicCheckpointIO()

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._saved_step = self._step = trainer.global_step
        self._saved_at = time.monotonic()
        self._signal = None
        self._process = os.getpid()
        if trainer.is_global_zero:
            for path in (self.last_path, self.best_path):
                _part(path).unlink(missing_ok=True)  # of a run that was killed while it saved

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        # Not earlier: Lightning puts its own SIGTERM handler in place after `on_fit_start`.
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._notice) for number in (signal.SIGINT, signal.SIGTERM)}

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        self._restore_handlers()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        self._restore_handlers()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        self._between_steps = trainer.global_step > self._step  # else gradients are accumulating
        self._step = trainer.global_step
        self._leave_if_told(trainer)
        if not self._between_steps:
            return
        due = bool(self.every_n_steps) and trainer.global_step % self.every_n_steps == 0
        due |= time.monotonic() - self._saved_at > 60 * self.every_minutes
        if trainer.strategy.reduce_boolean_decision(due, all=False):
            self._save(trainer)

    def on_validation_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        if not trainer.sanity_checking and trainer.state.fn == "fit":
            self._leave_if_told(trainer)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit" or not self._between_steps:
            return
        if self.monitor is not None and self.monitor not in trainer.callback_metrics:
            self._save(trainer)  # what was trained is not lost
        better = self._is_better(trainer)
        self._saved_step = -1  # save again, now that the score is known
        self._save(trainer)
        if better and trainer.is_global_zero and self._saved_step == trainer.global_step:
            self._copy_to_best()

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._save(trainer)
        self._leave_if_told(trainer)
        self._restore_handlers()

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_score = state_dict["best_score"]

    def _save(self, trainer: L.Trainer) -> None:
        if getattr(trainer, "fast_dev_run", False) or trainer.global_step in (0, self._saved_step):
            return
        trainer.save_checkpoint(self.last_path)
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()

    def _is_better(self, trainer: L.Trainer) -> bool:
        if self.monitor is None:
            return False
        if self.monitor not in trainer.callback_metrics:
            raise ValueError(
                f"--checkpoint.monitor {self.monitor}: validation did not log it. Give another, or null for none. "
                f"Logged: {', '.join(sorted(trainer.callback_metrics)) or 'nothing'}."
            )
        score = self.sign * float(trainer.callback_metrics[self.monitor])
        if math.isnan(score):
            score = math.inf  # or none would ever be better
        # A run resumed into another folder has no best file there, however good the score it brings along.
        if better := score < self.best_score or not self.best_path.exists():
            self.best_score = score
        return better

    def _copy_to_best(self) -> None:
        """A second name for the same bytes: `last.ckpt` is replaced, never written over."""
        best, part = self.best_path, _part(self.best_path)
        part.unlink(missing_ok=True)
        try:
            os.link(self.last_path, part)
        except OSError:  # a file system without hard links
            shutil.copyfile(self.last_path, part)
        os.replace(part, best)

    def _notice(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked worker: its parent decides
            if number == signal.SIGTERM:
                os._exit(128 + number)
            return
        if self._signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal = number

    def _leave_if_told(self, trainer: L.Trainer) -> None:
        told = self._signal is not None
        if trainer.world_size > 1:  # a signal may reach one process only; saving takes all of them
            told = trainer.strategy.reduce_boolean_decision(told, all=False)
        if not told or not self._between_steps:
            return
        number = self._signal or signal.SIGTERM
        self._save(trainer)
        where = f"saved {self.last_path}, resume with --ckpt" if self.last_path.exists() else "nothing to save yet"
        say(f"{signal.Signals(number).name} at step {trainer.global_step}: {where}.")
        raise SystemExit(128 + number)

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
