"""What a conditioner is."""

from abc import ABC, abstractmethod
from dataclasses import replace

import torch
from torch import Tensor, nn

from zoo.batch import Given
from zoo.condition import Condition
from zoo.shapes import Mask


class Conditioner(nn.Module, ABC):
    """Turns one kind of raw input into tokens.

    A learned null token stands for the absent input, so that attention is never over an empty set.

    Args:
        dim: Channels of its tokens and of its pooled vector.
    """

    name: str  # skeleton3d, skeleton2d or image
    stands_for: str | None = None  # another conditioner, in whose place its tokens are read when it is absent

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.kind = nn.Parameter(0.02 * torch.randn(dim))  # tells the modalities apart
        self.null_token = nn.Parameter(0.02 * torch.randn(dim))
        self.trust = nn.Parameter(torch.zeros(()))  # logarithm of its pooled vector's weight beside those of others

    @abstractmethod
    def forward(self, given: Given, batch: int, keep: Mask | None = None) -> Condition:
        """The condition of a batch.

        Args:
            given: Raw inputs; what is missing becomes the null token.
            batch: Rows of the batch.
            keep: Rows whose input may be used; the others get the null token.
        """

    def null(self, batch: int) -> Condition:
        """The condition of rows without this input."""
        token = (self.null_token + self.kind).expand(batch, 1, -1)
        return Condition(token, token.new_ones(batch, 1, dtype=torch.bool), token.new_zeros(batch, self.dim))

    def with_null(self, tokens: Tensor, mask: Tensor, pooled: Tensor, present: Mask) -> Condition:
        """Tokens of the present rows, the null token of the others.

        Args:
            tokens: (b, n, d).
            mask: (b, n) usable tokens of a present row.
            pooled: (b, d).
            present: Rows that have the input.
        """
        null = (self.null_token + self.kind).expand(len(tokens), 1, -1)
        return Condition(
            torch.cat([null.to(tokens.dtype), tokens + self.kind], dim=1),
            torch.cat([~present[:, None], mask & present[:, None]], dim=1),
            torch.where(present[:, None], pooled, 0.0),
        )

    def left_out(self, condition: Condition, keep: Mask) -> Condition:
        """The same condition with the null token alone in rows that are not kept.

        Args:
            condition: Made by this conditioner.
            keep: (b,) rows to leave as they are.
        """
        if condition.mask is None or condition.pooled is None:
            return condition
        null = torch.zeros_like(condition.mask)
        null[:, 0] = True
        kept = keep[:, None]
        pooled = torch.where(kept, condition.pooled, 0.0)
        return replace(condition, mask=torch.where(kept, condition.mask, null), pooled=pooled)
