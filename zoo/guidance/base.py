"""What a guidance is."""

from abc import ABC, abstractmethod

from zoo.diffusion import Denoise


class Guidance(ABC):
    """Wraps a denoiser into one whose estimates follow something more; a list of them is applied in order."""

    @abstractmethod
    def __call__(self, denoise: Denoise, unconditional: Denoise) -> Denoise:
        """The guided denoiser.

        Args:
            denoise: The conditional denoiser, as guided so far.
            unconditional: The same network with every condition left out.
        """


def guided(denoise: Denoise, unconditional: Denoise, guidance: list[Guidance]) -> Denoise:
    """All of the guidance applied, first to last."""
    for guide in guidance:
        denoise = guide(denoise, unconditional)
    return denoise
