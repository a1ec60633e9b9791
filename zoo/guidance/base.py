"""What a guidance is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from zoo.batch import Hands
from zoo.diffusion import Denoise, NoiseSchedule
from zoo.shapes import Bool, Tensor


class Guidance(ABC):
    """Wraps a denoiser into one whose estimates follow something more; a list of them is applied in order.

    The last one of a list is the outermost: it sees, and may differentiate through, what those before it made.
    """

    needs_gradient: ClassVar[bool] = False  # a sampling loop then leaves inference mode, and only then
    anchored: ClassVar[bool] = False  # the sample stays where it is: its wrist is not moved to the origin

    @abstractmethod
    def __call__(self, denoise: Denoise, unconditional: Denoise, schedule: NoiseSchedule) -> Denoise:
        """The guided denoiser, for one run of a sampler.

        Rows that have diverged come back as NaN, which samplers carry to the end: nobody has to look in between.

        Args:
            denoise: The conditional denoiser, as guided so far.
            unconditional: The same network with every condition left out.
            schedule: Of the noise.
        """


class Diverged(RuntimeError):  # noqa: N818 - what happened, as in StopIteration
    """Guidance was too strong for some rows, so there are no hands for them.

    Args:
        rows: Of the batch, those with at least one hypothesis that diverged.
        which: (b, n) True where a hypothesis diverged.
        hands: All hands; NaN where `which`. The others are as good as without the error.
    """

    def __init__(self, rows: list[int], which: Bool[Tensor, "b n"], hands: Hands) -> None:
        shown = ", ".join(map(str, rows[:8])) + (", ..." if len(rows) > 8 else "")
        super().__init__(
            f"Guidance diverged in {len(rows)} of {len(which)} rows ({shown}). Lower its scale, use "
            "normalize='share', or narrow its window; the other rows are in the error's `hands`."
        )
        self.rows, self.which, self.hands = rows, which, hands


def guided(denoise: Denoise, unconditional: Denoise, guidance: Sequence[Guidance], schedule: NoiseSchedule) -> Denoise:
    """All of the guidance applied, first to last."""
    for guide in guidance:
        denoise = guide(denoise, unconditional, schedule)
    return denoise
