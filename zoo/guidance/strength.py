"""How strongly a guidance acts at which noise level: functions of alpha_bar, (r,) in and out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from zoo.shapes import Float, Tensor

Levels = Float[Tensor, " r"]
Strength = Callable[[Levels], Levels]
StrengthName = Literal["constant", "rising", "falling"]


def constant(level: Levels) -> Levels:
    """1 throughout."""
    return torch.ones_like(level)


def rising(level: Levels) -> Levels:
    """sqrt(alpha_bar): from nothing in pure noise to 1 at the clean signal."""
    return level.sqrt()


def falling(level: Levels) -> Levels:
    """sqrt(1 - alpha_bar): from 1 in pure noise to nothing at the clean signal."""
    return (1 - level).sqrt()


@dataclass(frozen=True)
class Likelihood:
    """1 / (noise^2 + 1 - alpha_bar): what Bayes' rule says for a signal of unit variance (Song et al. 2023, PiGDM).

    With squared residuals, summed and halved, and scale_by_variance, the sample then is one of the posterior.

    Args:
        noise: Standard deviation of the observation, in the residual's unit.
    """

    noise: float

    def __call__(self, level: Levels) -> Levels:
        return 1 / (self.noise**2 + 1 - level)


STRENGTHS: dict[StrengthName, Strength] = {"constant": constant, "rising": rising, "falling": falling}
