"""Text attention while sampling: every step starts from latents that attend to the words for hands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from zoo.diffusion import Denoise, Estimate, NoiseSchedule
from zoo.guidance.attention_scores import Generators
from zoo.guidance.base import Guidance
from zoo.guidance.text_attention import Attend, Positions, TextAttention
from zoo.shapes import Signal, Time, Tokens


@dataclass(frozen=True, eq=False)
class TextAttentionGuidance(Guidance):
    """Moves x_t by text attention, then asks the denoiser there; sampler and outer guidance go on from the moved x_t.

    Acts whatever `how.at` says: who puts it into a list has decided. To a guidance around it the move is a constant.

    Args:
        how: The settings.
        attention: The maps, differentiable in the latents; of the denoiser, or of another network.
        states: (b, n, d) text states; the rows sampled are n hypotheses for each.
        tokens: Positions of each row's words for hands.
        lengths: Of each row, the position of the end token; None counts every slot as text.
        generator: For random steps and refinements, one or one a row sampled.
    """

    needs_gradient: ClassVar[bool] = True

    how: TextAttention
    attention: Attend
    states: Tokens
    tokens: Positions
    lengths: Sequence[int] | None = None
    generator: Generators = None

    def __call__(self, denoise: Denoise, unconditional: Denoise, schedule: NoiseSchedule) -> Denoise:
        if self.how.scale == 0:
            return denoise
        run: list[int] = []  # the times so far; a denoiser may be asked more than once at each

        def attended(x: Signal, t: Time) -> Estimate:
            repeat, rest = divmod(len(x), len(self.tokens))
            if rest:
                raise ValueError(
                    f"TextAttentionGuidance has {len(self.tokens)} texts and {len(x)} latents are sampled: it must be "
                    "n hypotheses for each text."
                )
            step = None
            if self.how.milestones:
                now = int(t[0])
                if not run or run[-1] != now:
                    run.append(now)
                step = len(run) - 1
            moved = self.how.move(
                self.attention,
                x,
                t,
                self.states.repeat_interleave(repeat, dim=0),
                [own for own in self.tokens for _ in range(repeat)],
                schedule,
                self.lengths and [length for length in self.lengths for _ in range(repeat)],
                self.generator,
                step=step,
            ).x_t
            nested = torch.is_grad_enabled() and x.requires_grad  # an outer guidance differentiates through this one
            return denoise(x + (moved - x).detach() if nested else moved, t)

        return attended
