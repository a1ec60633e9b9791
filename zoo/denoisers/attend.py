"""The zoo's attention inside of diffusers' networks."""

from typing import Any

import torch
from torch import Tensor

from zoo.attention import attend

MASKED = -5000.0  # what is added to scores lies below it where a token is masked, and is 0 elsewhere


class Attend:
    """A processor for the attention layers of U-Nets; the result is that of diffusers' own.

    Args:
        backend: `sdpa`, `xformers` or `math`.
    """

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        def split(x: Tensor) -> Tensor:  # (b, heads, n, d)
            return torch.unflatten(x, -1, (attn.heads, -1)).transpose(1, 2)

        told = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        mask = None if attention_mask is None else attention_mask[:, 0] > MASKED
        q, k, v = split(attn.to_q(hidden_states)), split(attn.to_k(told)), split(attn.to_v(told))
        mixed = attend(q, k, v, mask, self.backend).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](mixed))
