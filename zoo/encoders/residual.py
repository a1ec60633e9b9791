"""The block that the deeper mappers are made of."""

from typing import cast

from torch import Tensor, nn


class Residual(nn.Module):
    """Two linear layers around a normalised skip.

    Args:
        width: Channels in and out; twice as many between.
        dropout: Before the skip is added.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + cast(Tensor, self.change(x))
