"""DDIM (Song, Meng and Ermon 2021, equation 12)."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch

from zoo.diffusion import Denoise, NoiseSchedule, Spacing
from zoo.samplers.base import Sampler
from zoo.samplers.noise import Source, normal_like
from zoo.shapes import Signal


@dataclass(frozen=True)
class DDIM(Sampler):
    """Deterministic at eta = 0; at eta = 1 and all steps it is DDPM.

    Args:
        steps: Denoiser calls per sample.
        eta: Share of the posterior's standard deviation that is added as noise.
        spacing: Which times are visited; `trailing` starts from pure noise.
        offset: Added to the times of `leading` spacing, and the last step ends at `offset` - 1, where -1 is the clean
            signal. Stable Diffusion's own sampler is `leading` with 1.
        noise: Multiplies the noise that is added, where eta is above 0. A little above 1 gives back the variety that
            an imperfect denoiser takes away (S_noise of Karras et al. 2022).
    """

    steps: int = 10
    eta: float = 0.0
    spacing: Spacing = "trailing"
    offset: int = 0
    noise: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.noise < math.inf:
            raise ValueError(
                f"DDIM(noise={self.noise}): the added noise is multiplied by 0 or more. Set --model.sampler.noise 1."
            )

    def __call__(self, denoise: Denoise, noise: Signal, schedule: NoiseSchedule, generator: Source = None) -> Signal:
        x = noise
        times = schedule.times(self.steps, self.spacing, self.offset)
        clock = torch.tensor(times, device=x.device)[:, None].expand(-1, len(x))
        for now, (t, before) in zip(clock, pairwise([*times, self.offset - 1]), strict=True):
            on_x0, on_x, sigma = ddim_step(schedule, t, before, self.eta)
            x0, x = denoise(x, now)
            x = on_x0 * x0 + on_x * x
            if sigma > 0:
                x = x + self.noise * sigma * normal_like(x, generator)
        return x


def ddim_step(schedule: NoiseSchedule, t: int, before: int, eta: float) -> tuple[float, float, float]:
    """x_before = a x0 + b x_t + sigma z; before = -1 is the clean signal."""
    now, then = schedule.table[t], schedule.table[before] if before >= 0 else 1.0
    sigma = eta * math.sqrt((1 - then) / (1 - now) * (1 - now / then))
    on_x = math.sqrt(max(1 - then - sigma**2, 0) / (1 - now))
    return math.sqrt(then) - on_x * math.sqrt(now), on_x, sigma
