"""The learning rate of a run that may be limited by steps, by time, or by both."""

import math
from functools import partial

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def progress(trainer: Trainer) -> float:
    """Share of the run that is done, 0 to 1: of --trainer.max_steps, --trainer.max_epochs or --trainer.max_time."""
    steps = trainer.estimated_stepping_batches
    shares = [trainer.global_step / steps if math.isfinite(steps) and steps > 0 else 0.0]
    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]
    for spent, left in ((timer.time_elapsed(), timer.time_remaining()) for timer in timers):
        shares += [] if left is None else [spent / max(spent + left, 1e-9)]
    return min(1.0, max(shares))


def factor(step: int, trainer: Trainer, warmup: int, final: float) -> float:
    """Linear warm-up over `warmup` steps, then a cosine from 1 to `final` over the run."""
    rise = min(1.0, (step + 1) / max(warmup, 1))
    return rise * (final + (1 - final) * (1 + math.cos(math.pi * progress(trainer))) / 2)


def warm_cosine(optimizer: Optimizer, trainer: Trainer, warmup: int, final: float) -> LambdaLR:
    """The scheduler; step it once a training step."""
    return LambdaLR(optimizer, partial(factor, trainer=trainer, warmup=warmup, final=final))
