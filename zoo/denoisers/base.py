"""What a denoiser is."""

from abc import ABC, abstractmethod
from typing import Literal

from torch import nn

from zoo.condition import Condition
from zoo.shapes import Signal, Time


class Denoiser(nn.Module, ABC):
    """A network that reads a noisy signal, the time and a condition, and predicts x0, the noise or the velocity."""

    prediction: Literal["x0", "eps", "v"]

    @abstractmethod
    def forward(self, x_t: Signal, t: Time, condition: Condition) -> Signal: ...
