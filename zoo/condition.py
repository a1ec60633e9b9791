"""The common currency between encoders and denoisers."""

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.shapes import Pooled, TokenMask, Tokens


@dataclass(frozen=True)
class Condition:
    """What a denoiser is told about the sample.

    Args:
        tokens: (b, n, d) for cross-attention.
        mask: (b, n), True = usable; every row has at least one usable token.
        pooled: (b, p) a summary of the whole condition.
        control: (b, c, h, w) a spatial hint, such as a mesh image.
        heat: (b, 21, h, w) logits of where in the crop an encoder sees each joint; no denoiser reads them.
        joints: (b, 21, 3) the skeleton that an encoder guesses, relative to the wrist, in tenths of a metre; as heat.
    """

    tokens: Tokens | None = None
    mask: TokenMask | None = None
    pooled: Pooled | None = None
    control: Tensor | None = None
    heat: Tensor | None = None
    joints: Tensor | None = None

    def repeat(self, n: int) -> "Condition":
        """Every row n times in a row, for n hypotheses of each sample."""
        return Condition(*(None if x is None else x.repeat_interleave(n, dim=0) for x in self.fields()))

    def rows(self, which: Tensor) -> "Condition":
        """Some rows, by number."""
        return Condition(*(None if x is None else x[which] for x in self.fields()))

    def fields(self) -> tuple[Tensor | None, ...]:
        return self.tokens, self.mask, self.pooled, self.control, self.heat, self.joints


def stack(conditions: list[Condition]) -> Condition:
    """Joins conditions: tokens one after the other, pooled vectors added; at most one may carry a control."""
    tokens = [c.tokens for c in conditions if c.tokens is not None]
    masks = [c.mask for c in conditions if c.mask is not None]
    pooled = [c.pooled for c in conditions if c.pooled is not None]
    control = [c.control for c in conditions if c.control is not None]
    if len(control) > 1:
        raise ValueError(f"{len(control)} conditions carry a spatial control; a denoiser takes one.")
    return Condition(
        torch.cat(tokens, dim=1) if tokens else None,
        torch.cat(masks, dim=1) if masks else None,
        torch.stack(pooled).sum(0) if pooled else None,
        control[0] if control else None,
    )
