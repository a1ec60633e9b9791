"""The building blocks of the mesh U-Net."""

import math
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from zoo.attention import Attention, Backend, FeedForward
from zoo.condition import Condition
from zoo.denoisers.chebconv import ChebConv
from zoo.denoisers.sparse import SparseMatrix
from zoo.shapes import Features, Pooled, Time


def sinusoid(t: Time, channels: int) -> Pooled:
    """Sines and cosines of the time at `channels / 2` frequencies from 1 to 1/10000 (Vaswani et al. 2017)."""
    half = channels // 2
    frequency = torch.exp(-math.log(10000) * torch.arange(half, device=t.device) / half)
    angle = t[:, None].float() * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class TimeNorm(nn.Module):
    """Layer normalisation whose scale and shift come from the time embedding.

    Args:
        dim: Channels.
        time: Channels of the embedding.
    """

    def __init__(self, dim: int, time: int) -> None:
        super().__init__()
        self.modulate = nn.Linear(time, 2 * dim)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Features, emb: Pooled) -> Features:
        scale, shift = self.modulate(emb)[:, None].chunk(2, dim=-1)
        return torch.addcmul(shift, functional.layer_norm(x, x.shape[-1:], eps=1e-6), 1 + scale)


class GraphResidual(nn.Module):
    """Two graph convolutions, each after a time-modulated normalisation, around a skip.

    Args:
        dim: Channels.
        laplacian: Of the level's graph.
        time: Channels of the time embedding.
        order: Chebyshev terms.
        dropout: Before the second convolution.
        conv: `fast` or `pyg`.
    """

    def __init__(
        self, dim: int, laplacian: SparseMatrix, time: int, order: int, dropout: float, conv: Literal["fast", "pyg"]
    ) -> None:
        super().__init__()
        self.norms = nn.ModuleList(TimeNorm(dim, time) for _ in range(2))
        self.convs = nn.ModuleList(ChebConv(dim, dim, laplacian, order, conv) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Features, emb: Pooled) -> Features:
        h = self.convs[0](functional.relu(self.norms[0](x, emb)))
        return x + self.convs[1](self.dropout(functional.relu(self.norms[1](h, emb))))


class AttentionResidual(nn.Module):
    """Self-attention and a feed-forward layer; what replaces a graph residual in the `sa_only` ablation.

    Args:
        dim: Channels.
        time: Channels of the time embedding.
        heads: Attention heads.
        feed_forward: Hidden channels as a multiple of `dim`.
        dropout: In the feed-forward layer.
        backend: Of the attention.
    """

    def __init__(self, dim: int, time: int, heads: int, feed_forward: int, dropout: float, backend: Backend) -> None:
        super().__init__()
        self.norms = nn.ModuleList(TimeNorm(dim, time) for _ in range(2))
        self.attention = Attention(dim, heads, backend=backend)
        self.feed_forward = FeedForward(dim, feed_forward, dropout)

    def forward(self, x: Features, emb: Pooled) -> Features:
        x = x + self.attention(self.norms[0](x, emb))
        return x + self.feed_forward(self.norms[1](x, emb))


class GraphBlock(nn.Module):
    """One level of the U-Net: graph residuals, self-attention, cross-attention to the condition.

    Args:
        dim: Channels.
        laplacian: Of the level's graph.
        time: Channels of the time embedding.
        context: Channels of the condition's tokens; None leaves cross-attention out.
        attend: Whether there is self-attention.
        blocks: Graph residuals.
        order: Chebyshev terms.
        heads: Attention heads.
        feed_forward: Hidden channels as a multiple of `dim`.
        dropout: In graph residuals and feed-forward layers.
        block: `graph` or `sa_only`.
        conv: `fast` or `pyg`.
        backend: Of the attention.
        graph_last: Puts the graph residuals after the attentions, as the paper's figure draws the decoder.
    """

    def __init__(
        self,
        dim: int,
        laplacian: SparseMatrix,
        *,
        time: int,
        context: int | None,
        attend: bool,
        blocks: int,
        order: int,
        heads: int,
        feed_forward: int,
        dropout: float,
        block: Literal["graph", "sa_only"],
        conv: Literal["fast", "pyg"],
        backend: Backend,
        graph_last: bool,
    ) -> None:
        super().__init__()
        self.graph_last = graph_last
        self.residuals = nn.ModuleList(
            GraphResidual(dim, laplacian, time, order, dropout, conv)
            if block == "graph"
            else AttentionResidual(dim, time, heads, feed_forward, dropout, backend)
            for _ in range(blocks)
        )
        self.self_attention = AttentionResidual(dim, time, heads, feed_forward, dropout, backend) if attend else None
        self.cross_norm = TimeNorm(dim, time) if context is not None else None
        self.cross_attention = None if context is None else Attention(dim, heads, context, backend)

    def forward(self, x: Features, emb: Pooled, condition: Condition) -> Features:
        if not self.graph_last:
            x = self.convolve(x, emb)
        if self.self_attention is not None:
            x = self.self_attention(x, emb)
        if self.cross_attention is not None and self.cross_norm is not None and condition.tokens is not None:
            x = x + self.cross_attention(self.cross_norm(x, emb), condition.tokens, condition.mask)
        return self.convolve(x, emb) if self.graph_last else x

    def convolve(self, x: Features, emb: Pooled) -> Features:
        for residual in self.residuals:
            x = residual(x, emb)
        return x
