"""What a sampler is."""

from abc import ABC, abstractmethod

from zoo.diffusion import Denoise, NoiseSchedule
from zoo.samplers.noise import Source
from zoo.shapes import Signal


class Sampler(ABC):
    """Turns noise into a sample by calling a denoiser; keeps no state between calls."""

    @abstractmethod
    def __call__(self, denoise: Denoise, noise: Signal, schedule: NoiseSchedule, generator: Source = None) -> Signal:
        """The sample.

        Args:
            denoise: Guided or not.
            noise: x_T, standard normal.
            schedule: Of the training run.
            generator: Of the noise that a stochastic sampler adds; one a row makes rows independent.
        """
