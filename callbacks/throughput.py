"""How fast a run is, and what it waits for."""

import resource
import sys
import time
from typing import Any

import lightning as L
import torch


class Throughput(L.Callback):
    """Logs `speed/steps_per_second`, `speed/samples_per_second`, `speed/waiting_percent` and `speed/peak_memory_gb`.

    Steps are optimizer steps. Waiting is the share of time spent until the next batch is there and on the device;
    validation and saving do not count. Memory is that of the device, or of this process on a CPU.
    """

    def __init__(self) -> None:
        self._reset(0)
        self._ended: float | None = None

    def _reset(self, step: int) -> None:
        self._step, self._samples, self._waited, self._worked = step, 0, 0.0, 0.0

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._reset(trainer.global_step)
        self._ended = None  # the first batch pays for starting the workers
        if module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(module.device)

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, index: int) -> None:
        self._began = time.perf_counter()
        if self._ended is not None:
            self._waited += self._began - self._ended

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        self._ended = time.perf_counter()
        self._worked += self._ended - self._began
        self._samples += _rows(batch) * trainer.world_size
        every = getattr(trainer, "log_every_n_steps", 50)
        if trainer.global_step - self._step >= every:
            module.log_dict(self.measure(trainer, module))
            self._reset(trainer.global_step)

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._ended = None

    def on_save_checkpoint(self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        self._ended = None

    def measure(self, trainer: L.Trainer, module: L.LightningModule) -> dict[str, float]:
        """The numbers since they were last logged."""
        seconds = max(self._waited + self._worked, 1e-9)
        return {
            "speed/steps_per_second": (trainer.global_step - self._step) / seconds,
            "speed/samples_per_second": self._samples / seconds,
            "speed/waiting_percent": 100 * self._waited / seconds,
            "speed/peak_memory_gb": peak_memory(module.device) / 1e9,
        }


def peak_memory(device: torch.device) -> float:
    """Bytes: allocated on a CUDA device, or resident in this process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def _rows(batch: Any) -> int:
    """Hands in a batch. A batch may pack its images, so that its first entry does not tell."""
    if isinstance(batch, dict):
        return len(batch["index"]) if "index" in batch else max(len(value) for value in batch.values())
    return len(batch[0]) if isinstance(batch, (list, tuple)) else len(batch)
