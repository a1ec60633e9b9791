"""Classifier-free guidance (Ho and Salimans 2022)."""

from dataclasses import dataclass

from zoo.diffusion import Denoise, Estimate, NoiseSchedule
from zoo.guidance.base import Guidance
from zoo.shapes import Signal, Time


@dataclass(frozen=True)
class ClassifierFree(Guidance):
    """Moves the estimate away from what the network says without a condition.

    Args:
        scale: w in x0_u + w (x0_c - x0_u): 0 is unconditional, 1 conditional, more exaggerates the condition.
    """

    scale: float = 1.5

    def __call__(self, denoise: Denoise, unconditional: Denoise, schedule: NoiseSchedule) -> Denoise:
        if self.scale == 1:
            return denoise

        def mixed(x: Signal, t: Time) -> Estimate:
            with_condition = denoise(x, t)
            # A guidance inside may have moved the noisy signal; both estimates must speak of the same one.
            without = unconditional(with_condition.x_t, t).x0
            return Estimate(without + self.scale * (with_condition.x0 - without), with_condition.x_t)

        return mixed
