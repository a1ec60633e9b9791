"""Scaled dot-product attention behind one name, and the layer that every network of the zoo uses."""

from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from zoo.shapes import TokenMask, Tokens

Backend = Literal["auto", "sdpa", "xformers", "math"]


@lru_cache(maxsize=1)
def xformers_problem() -> str | None:
    """Why xformers cannot be used here, found by trying it; None when it works."""
    if not torch.cuda.is_available():
        return "xformers needs a CUDA device"
    try:
        from xformers.ops import memory_efficient_attention

        probe = torch.randn(1, 8, 2, 32, device="cuda", dtype=torch.float16)
        memory_efficient_attention(probe, probe, probe)
    except Exception as error:  # a broken build fails in many ways, and all mean the same to us
        return f"xformers does not work here ({type(error).__name__}: {error})"
    return None


def resolve_backend(backend: Backend) -> str:
    """The backend that will run: `auto` is sdpa, which PyTorch maps to its fastest kernel on every device."""
    if backend == "xformers" and (problem := xformers_problem()):
        raise ValueError(f"attention=xformers was asked for, but {problem}. Use --model.denoiser.attention sdpa.")
    return "sdpa" if backend == "auto" else backend


def attend(q: Tensor, k: Tensor, v: Tensor, mask: TokenMask | None = None, backend: str = "sdpa") -> Tensor:
    """softmax(q k^T / sqrt(d)) v over (b, heads, n, d); mask (b, n_keys), True = may be attended to."""
    if backend == "math":
        scores = (q @ k.mT) * q.shape[-1] ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None], -torch.inf)
        return scores.softmax(-1) @ v
    if backend == "xformers":
        from xformers.ops import memory_efficient_attention

        bias = None
        if mask is not None:
            keys = -(-mask.shape[1] // 8) * 8  # its kernels want rows aligned to eight
            bias = torch.zeros(len(q), q.shape[1], q.shape[2], keys, dtype=q.dtype, device=q.device)
            # In place: a copy would lose the alignment.
            bias = bias[..., : mask.shape[1]].masked_fill_(~mask[:, None, None], -torch.inf)
        out = memory_efficient_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_bias=bias)
        return out.transpose(1, 2)
    bias = None if mask is None else mask[:, None, None]
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and torch.is_grad_enabled():
        # Two to four times as fast: on CPUs the backward pass of this kernel is slow in bfloat16.
        return functional.scaled_dot_product_attention(q.float(), k.float(), v.float(), bias).to(q.dtype)
    return functional.scaled_dot_product_attention(q, k, v, bias)


class Attention(nn.Module):
    """Multi-head attention, to itself or to a context.

    Args:
        dim: Channels of the queries and of the result.
        heads: Number of heads; divides `dim`.
        context: Channels of keys and values; `dim` when None.
        backend: `auto`, `sdpa`, `xformers` or `math`, all with the same result.
    """

    def __init__(self, dim: int, heads: int = 4, context: int | None = None, backend: Backend = "auto") -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"Attention(dim={dim}, heads={heads}): the heads must divide the channels.")
        self.heads, self.backend = heads, resolve_backend(backend)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim if context is None else context, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self, x: Tokens, context: Float[Tensor, "b m e"] | None = None, mask: Bool[Tensor, "b m"] | None = None
    ) -> Tokens:
        q = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = (
            self.key_value(x if context is None else context).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )
        return self.out(attend(q, k, v, mask, self.backend).transpose(1, 2).flatten(2))


class FeedForward(nn.Sequential):
    """Linear, GELU, Linear.

    Args:
        dim: Channels in and out.
        multiple: Hidden channels as a multiple of `dim`.
        dropout: Probability of dropping a hidden channel.
    """

    def __init__(self, dim: int, multiple: int = 2, dropout: float = 0.0) -> None:
        super().__init__(nn.Linear(dim, multiple * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(multiple * dim, dim))
