"""The forward process: noise schedules and the conversions between x0, the noise and the velocity.

Notation of the papers: beta_t is the variance added at step t, alpha_t = 1 - beta_t, alpha_bar_t their product, and
x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps (Ho et al. 2020).
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from zoo.shapes import Signal, Time

Prediction = Literal["x0", "eps", "v"]
Spacing = Literal["trailing", "leading", "linspace"]


class Estimate(NamedTuple):
    """What a denoiser believes: the clean signal, and the noisy one that it belongs to.

    `x_t` is the tensor that went in, unless a guidance moved it; sampler and outer guidance go on from it.
    """

    x0: Signal
    x_t: Signal


Denoise = Callable[[Signal, Time], Estimate]


def cosine_betas(steps: int) -> np.ndarray:
    """Squared-cosine schedule (Nichol and Dhariwal 2021): beta at most 0.999."""

    def level(t: np.ndarray) -> np.ndarray:
        return np.cos((t / steps + 0.008) / 1.008 * math.pi / 2) ** 2

    t = np.arange(steps)
    return np.minimum(1 - level(t + 1) / level(t), 0.999)


class NoiseSchedule(nn.Module):
    """beta, alpha_bar and the conversions.

    Args:
        kind: `cosine`; `linear` from 1e-4 to 0.02 over 1000 steps; or `scaled_linear`, Stable Diffusion's, whose square
            roots rise evenly from those of 0.00085 to 0.012 over 1000 steps. The last two are rescaled for other
            lengths.
        steps: T, the number of training steps.
    """

    alpha_bar: Tensor  # (T,) float32, on the model's device
    beta: Tensor  # (T,)

    def __init__(self, kind: Literal["cosine", "linear", "scaled_linear"] = "cosine", steps: int = 1000) -> None:
        super().__init__()
        if steps < 1:
            raise ValueError(f"NoiseSchedule(steps={steps}) needs at least one step. Set --model.schedule.steps.")
        self.kind, self.steps = kind, steps
        scale = 1000 / steps
        if kind == "cosine":
            betas = cosine_betas(steps)
        elif kind == "linear":
            betas = np.linspace(scale * 1e-4, min(scale * 0.02, 0.999), steps)
        else:
            betas = np.minimum(scale * np.linspace(math.sqrt(0.00085), math.sqrt(0.012), steps) ** 2, 0.999)
        self.table = np.cumprod(1 - betas)  # float64 on the host: samplers take their coefficients from here
        self.register_buffer("alpha_bar", torch.from_numpy(self.table).float(), persistent=False)
        self.register_buffer("beta", torch.from_numpy(betas).float(), persistent=False)

    def at(self, t: Time, like: Signal) -> tuple[Tensor, Tensor]:
        """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t), shaped to multiply `like`."""
        level = self.alpha_bar[t].view(-1, *[1] * (like.dim() - 1))
        return level.sqrt(), (1 - level).sqrt()

    def add_noise(self, x0: Signal, noise: Signal, t: Time) -> Signal:
        """x_t given x0 and eps."""
        a, s = self.at(t, x0)
        return a * x0 + s * noise

    def to_x0(self, predicted: Signal, x_t: Signal, t: Time, kind: Prediction) -> Signal:
        """The clean estimate in whatever a network predicts; v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x0."""
        if kind == "x0":
            return predicted
        a, s = self.at(t, x_t)
        return (x_t - s * predicted) / a if kind == "eps" else a * x_t - s * predicted

    def from_x0(self, x0: Signal, x_t: Signal, t: Time, kind: Prediction) -> Signal:
        """The inverse of `to_x0`: what a network of that kind would have predicted."""
        if kind == "x0":
            return x0
        a, s = self.at(t, x_t)
        eps = (x_t - a * x0) / s
        return eps if kind == "eps" else a * eps - s * x0

    def posterior(self, x0: Signal, x_t: Signal, t: Time) -> tuple[Signal, Tensor]:
        """Mean and variance of q(x_{t-1} | x_t, x0), for t = 0 the clean signal and zero."""
        mean_x0, mean_x, variance = zip(*(posterior_step(self.table, int(i), int(i) - 1) for i in t), strict=True)

        def column(values: tuple[float, ...]) -> Tensor:
            return torch.tensor(values, dtype=x0.dtype, device=x0.device).view(-1, *[1] * (x0.dim() - 1))

        return column(mean_x0) * x0 + column(mean_x) * x_t, column(variance)

    def times(self, count: int, spacing: Spacing = "trailing", offset: int = 0) -> list[int]:
        """`count` falling times. Trailing starts at T - 1, where there is nothing but noise (Lin et al. 2024).

        Args:
            count: Of the times.
            spacing: Trailing and leading steps are equally long; linspace has both ends.
            offset: By how much leading times are later.
        """
        if not 1 <= count <= self.steps:
            raise ValueError(
                f"{count} sampling steps were asked for; there are 1 to {self.steps}. Set --model.sampler."
            )
        if offset and spacing != "leading":
            raise ValueError(
                f"An offset of {offset} goes with leading times, not {spacing}. Set --model.sampler.offset 0."
            )
        if spacing == "trailing":
            return [round(self.steps * (count - i) / count) - 1 for i in range(count)]
        if spacing == "leading":
            times = [self.steps // count * i + offset for i in reversed(range(count))]
            if offset < 0 or times[0] >= self.steps:
                raise ValueError(
                    f"{count} leading steps that are {offset} later run from {times[0]} to {times[-1]}; times are 0 to "
                    f"{self.steps - 1}. Set fewer --model.sampler.steps, or --model.sampler.offset 0."
                )
            return times
        return [round(x) for x in np.linspace(self.steps - 1, 0, count)]


def posterior_step(table: np.ndarray, t: int, before: int) -> tuple[float, float, float]:
    """q(x_before | x_t, x0) = N(a x0 + b x_t, variance) for any earlier time; before = -1 is the clean signal.

    Args:
        table: alpha_bar, float64.
        t: The time now.
        before: The time to go to.
    """
    now, then = table[t], table[before] if before >= 0 else 1.0
    alpha = now / then
    beta = 1 - alpha
    return math.sqrt(then) * beta / (1 - now), math.sqrt(alpha) * (1 - then) / (1 - now), beta * (1 - then) / (1 - now)
