"""The mesh U-Net of HHMR: graph convolution, self-attention, cross-attention, down and up on a mesh hierarchy.

Li et al., "HHMR: Holistic Hand Mesh Recovery by Enhancing the Multimodal Controllability of Graph Diffusion Models",
CVPR 2024, section 4.2. Widths, orders and the time embedding are not published; they are arguments here.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from zoo.attention import Backend
from zoo.condition import Condition
from zoo.denoisers.base import Denoiser
from zoo.denoisers.blocks import GraphBlock, sinusoid
from zoo.denoisers.chebconv import scaled_laplacian
from zoo.denoisers.hierarchy import build, mesh_edges, smooth_basis
from zoo.denoisers.sparse import SparseMatrix
from zoo.denoisers.spectral import SpectralSkip
from zoo.hands.model import HandModel
from zoo.shapes import Time, Vertices


class MeshUNet(Denoiser):
    """Predicts the clean, normalised mesh from a noisy one.

    Args:
        hand: Gives the faces and rest vertices that the hierarchy is built from.
        sizes: Vertices of the coarser levels, fine to coarse; the finest is the mesh itself.
        widths: Channels of every level, fine to coarse; one more than `sizes`.
        blocks: Graph residual blocks on each side of a level.
        order: Chebyshev terms of a graph convolution.
        heads: Attention heads, of every level or one number for each level.
        self_attention: Levels with self-attention, 0 = finest.
        cross_attention: Levels with cross-attention to the condition's tokens.
        condition: Channels of the condition's tokens and of its pooled vector.
        time: Channels of the time embedding.
        pooled: Adds the condition's pooled vector to the time embedding. The paper lets conditions in through
            cross-attention only; the short cut learns several times faster.
        overview: Channels of a dense decoder from the whole coarsest level to the whole mesh, whose result the finer
            levels refine; 0 leaves it out, as the paper does. Fingers get their thickness in far fewer steps.
        spectral_skip: Smoothest functions on the mesh in which the noisy mesh itself joins the estimate, each as far as
            the time says; 0 leaves the skip out, as the paper does. Generated hands keep more of the data's variety.
        feed_forward: Hidden channels of the feed-forward layers, as a multiple of the width.
        dropout: In graph blocks and feed-forward layers.
        block: `graph`, or `sa_only`: every graph convolution replaced by self-attention (the paper's ablation).
        conv: `fast` or `pyg`, the same numbers.
        attention: `auto`, `sdpa`, `xformers` or `math`, the same numbers.
    """

    prediction = "x0"

    def __init__(
        self,
        hand: HandModel,
        sizes: tuple[int, ...] = (389, 195, 98),
        widths: tuple[int, ...] = (64, 128, 256, 512),
        blocks: int = 2,
        order: int = 2,
        heads: int | tuple[int, ...] = 4,
        self_attention: tuple[int, ...] = (0, 1, 2, 3),
        cross_attention: tuple[int, ...] = (0, 1, 2, 3),
        condition: int = 512,
        time: int = 256,
        pooled: bool = False,
        overview: int = 0,
        spectral_skip: int = 0,
        feed_forward: int = 2,
        dropout: float = 0.05,
        block: Literal["graph", "sa_only"] = "graph",
        conv: Literal["fast", "pyg"] = "fast",
        attention: Backend = "auto",
    ) -> None:
        super().__init__()
        if len(widths) != len(sizes) + 1:
            raise ValueError(
                f"MeshUNet got {len(widths)} widths for {len(sizes)} coarser levels; "
                "--model.denoiser.widths needs one more than --model.denoiser.sizes."
            )
        self.time, self.pooled = time, pooled
        points = hand.template.detach().double().cpu().numpy()
        levels = build(points, hand.faces.cpu().numpy(), tuple(sizes))
        edges = [mesh_edges(hand.faces.cpu().numpy()), *(level.edges for level in levels)]
        counts = (len(points), *sizes)
        graphs = [SparseMatrix(scaled_laplacian(e, n)) for e, n in zip(edges, counts, strict=True)]

        def make(level: int, graph_last: bool = False) -> GraphBlock:
            return GraphBlock(
                widths[level],
                graphs[level],
                time=time,
                context=condition if level in cross_attention else None,
                attend=level in self_attention,
                blocks=blocks,
                order=order,
                heads=heads if isinstance(heads, int) else heads[level],
                feed_forward=feed_forward,
                dropout=dropout,
                block=block,
                conv=conv,
                backend=attention,
                graph_last=graph_last,
            )

        deep = range(len(sizes))
        self.embed_time = nn.Sequential(nn.Linear(time, time), nn.SiLU(), nn.Linear(time, time))
        self.embed_pooled = nn.Linear(condition, time) if pooled else None
        self.stem = nn.Linear(3, widths[0])
        self.position = nn.ParameterList(
            nn.Parameter(torch.from_numpy(smooth_basis(e, n, w)).float())
            for e, n, w in zip(edges, counts, widths, strict=True)
        )
        self.encoder = nn.ModuleList(make(i) for i in deep)
        self.down = nn.ModuleList(SparseMatrix(level.down) for level in levels)
        self.widen = nn.ModuleList(nn.Linear(widths[i], widths[i + 1]) for i in deep)
        self.middle = make(len(sizes))
        self.up = nn.ModuleList(SparseMatrix(level.up) for level in levels)
        self.narrow = nn.ModuleList(nn.Linear(widths[i + 1], widths[i]) for i in deep)
        self.fuse = nn.ModuleList(nn.Linear(2 * widths[i], widths[i]) for i in deep)
        self.decoder = nn.ModuleList(make(i, graph_last=True) for i in deep)
        self.overview = _dense(counts[-1] * widths[-1] + time, overview, 3 * counts[0]) if overview else None
        self.refine = nn.Linear(3, widths[0]) if overview else None
        self.norm = nn.LayerNorm(widths[0], eps=1e-6)
        self.head = nn.Linear(widths[0], 3)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.spectral = SpectralSkip(edges[0], counts[0], spectral_skip, time) if spectral_skip else None

    def forward(self, x_t: Vertices, t: Time, condition: Condition) -> Vertices:
        emb = self.embed_time(sinusoid(t, self.time))
        if self.embed_pooled is not None and condition.pooled is not None:
            emb = emb + self.embed_pooled(condition.pooled)
        emb = nn.functional.silu(emb)
        x = self.stem(x_t) + self.position[0]
        skips: list[Tensor] = []
        for i, block in enumerate(self.encoder):
            x = block(x, emb, condition)
            skips.append(x)
            x = self.widen[i](self.down[i](x)) + self.position[i + 1]
        x = self.middle(x, emb, condition)
        rough = None
        if self.overview is not None and self.refine is not None:
            rough = self.overview(torch.cat([x.flatten(1), emb], dim=-1)).unflatten(1, (-1, 3))
            skips[0] = skips[0] + self.refine(rough)
        for i in reversed(range(len(skips))):
            # Narrowing before going up gives the same numbers at a quarter of the cost.
            x = self.fuse[i](torch.cat([self.up[i](self.narrow[i](x)), skips[i]], dim=-1))
            x = self.decoder[i](x, emb, condition)
        fine = self.head(self.norm(x))
        clean = fine if rough is None else rough + fine
        return clean if self.spectral is None else self.spectral(clean, x_t, emb)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Vertices of every level, fine to coarse."""
        return tuple(len(p) for p in self.position)


def _dense(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    last = nn.Linear(hidden, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), last)
