"""One bar for a whole run, with the time that is left."""

import math
import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ProgressBar, Timer
from tqdm import tqdm


class RunProgress(ProgressBar):
    """How much of --trainer.max_steps, max_epochs or max_time is done, and when the run will end.

    On a terminal a bar; into a file a line now and then.

    Args:
        every_seconds: Between updates of the bar; lines come thirty times less often.
    """

    def __init__(self, every_seconds: float = 0.5) -> None:
        super().__init__()
        self.every_seconds = every_seconds
        self.enabled = True
        self.bar: tqdm[None] | None = None
        self._began = self._shown = 0.0
        self._first_step = 0

    def disable(self) -> None:
        self.enabled = False

    def enable(self) -> None:
        self.enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        tqdm.write(" ".join(map(str, args)), file=sys.stdout)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._began = self._shown = time.monotonic()
        self._first_step = trainer.global_step
        if self.enabled and sys.stderr.isatty():
            self.bar = tqdm(total=1.0, bar_format="{percentage:3.0f}%|{bar}| {postfix}", dynamic_ncols=True)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        self._update(trainer)

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self.bar is not None and trainer.state.fn == "fit":
            self.bar.set_postfix_str(f"step {trainer.global_step}, validating")

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._shown = -math.inf
        self._update(trainer)
        self._close()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _update(self, trainer: L.Trainer) -> None:
        now = time.monotonic()
        pause = self.every_seconds if self.bar is not None else 30 * self.every_seconds
        if not self.enabled or now - self._shown < pause:
            return
        self._shown = now
        share, left = run_share(trainer, trainer.global_step - self._first_step, now - self._began)
        numbers = [f"{name.removeprefix('train/')} {value:.4g}" for name, value in self._numbers(trainer).items()]
        rate = (trainer.global_step - self._first_step) / max(now - self._began, 1e-9)
        words = ", ".join([f"step {trainer.global_step}", *numbers, f"{rate:.3g} steps/s", f"{clock(left)} left"])
        if self.bar is not None:
            self.bar.n = share
            self.bar.set_postfix_str(words)
        else:
            sys.stderr.write(f"{100 * share:3.0f}% {words}\n")
            sys.stderr.flush()

    @staticmethod
    def _numbers(trainer: L.Trainer) -> dict[str, float]:
        return {name: float(value) for name, value in trainer.progress_bar_metrics.items() if name != "v_num"}


def run_share(trainer: L.Trainer, steps: int, seconds: float) -> tuple[float, float]:
    """Share of the run that is done, and seconds left at the present speed; whichever limit comes first decides.

    Args:
        trainer: Knows the limits.
        steps: Optimizer steps taken in this process.
        seconds: They took.
    """
    total = trainer.estimated_stepping_batches
    limits = []
    if math.isfinite(total) and total > 0:
        left = max(0.0, total - trainer.global_step)
        limits.append((left * seconds / steps if steps else math.inf, 1 - left / total))
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Timer) and (remaining := callback.time_remaining()) is not None:
            elapsed = callback.time_elapsed()
            limits.append((max(0.0, remaining), elapsed / max(elapsed + remaining, 1e-9)))
    left, share = min(limits, default=(math.inf, 0.0))
    return min(1.0, share), left


def clock(seconds: float) -> str:
    """As 0:05, 12:34 or 1:02:03; `?` when unknown."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
