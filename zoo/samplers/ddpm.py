"""DDPM ancestral sampling (Ho, Jain and Abbeel 2020, algorithm 2)."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch

from zoo.diffusion import Denoise, NoiseSchedule, posterior_step
from zoo.samplers.base import Sampler
from zoo.samplers.noise import Source, normal_like
from zoo.shapes import Signal


@dataclass(frozen=True)
class DDPM(Sampler):
    """Draws from q(x_{t-1} | x_t, x0) at the estimated x0, step by step.

    Args:
        steps: Denoiser calls per sample; None takes all of the schedule's, fewer visit every so many.
        variance: `posterior` is the lower bound, `beta` the upper bound on the reverse variance.
    """

    steps: int | None = None
    variance: Literal["posterior", "beta"] = "posterior"

    def __call__(self, denoise: Denoise, noise: Signal, schedule: NoiseSchedule, generator: Source = None) -> Signal:
        x = noise
        times = schedule.times(schedule.steps if self.steps is None else self.steps)
        clock = torch.tensor(times, device=x.device)[:, None].expand(-1, len(x))
        for now, (t, before) in zip(clock, pairwise([*times, -1]), strict=True):
            on_x0, on_x, variance = posterior_step(schedule.table, t, before)
            x0, x = denoise(x, now)
            x = on_x0 * x0 + on_x * x
            if before >= 0:
                if self.variance == "beta":
                    variance = 1 - schedule.table[t] / schedule.table[before]
                x = x + math.sqrt(variance) * normal_like(x, generator)
        return x
