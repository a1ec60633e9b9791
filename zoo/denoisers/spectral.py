"""A way for the noisy mesh into the estimate that no network has to learn: the smooth part of it, gated by time."""

import numpy as np
import torch
from torch import nn

from zoo.denoisers.hierarchy import smooth_basis
from zoo.shapes import Pooled, Vertices


class SpectralSkip(nn.Module):
    """Exchanges a share of an estimate's smooth part for the noisy mesh's own.

    A network that predicts x0 has to rebuild at little noise what it is shown; what it rebuilds is a little nearer to
    the mean, and a sampler repeats that at every step, so that hands come out alike. Low frequencies of the mesh gather
    the signal and spread the noise: `x0 + B (a * B'x_t - b * B'x0)`, where the gates a and b of every frequency come
    from the embedding of time and condition. They begin at 0, which changes nothing. The same purpose as c_skip of
    Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", NeurIPS 2022, for meshes.

    Args:
        edges: (e, 2) of the mesh.
        size: Vertices.
        count: Smoothest functions on the mesh, at most as many as vertices.
        time: Channels of the embedding.
    """

    basis: torch.Tensor

    def __init__(self, edges: np.ndarray, size: int, count: int, time: int) -> None:
        super().__init__()
        if not 1 <= count <= size:
            raise ValueError(
                f"SpectralSkip(count={count}): a mesh of {size} vertices has 1 to {size} frequencies. "
                "Set --model.denoiser.spectral_skip to one of them, or to 0 to leave the skip out."
            )
        # Saved with the weights: eigenvectors of nearly equal frequencies turn into each other between machines.
        self.register_buffer("basis", torch.from_numpy(smooth_basis(edges, size, count) / size**0.5).float())
        self.gate = nn.Linear(time, 2 * count)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def forward(self, clean: Vertices, x_t: Vertices, emb: Pooled) -> Vertices:
        """The estimate with a share of its smooth part exchanged.

        Args:
            clean: The network's estimate.
            x_t: The noisy mesh.
            emb: Embedding of time and condition.
        """
        of_noisy, of_clean = self.gate(emb)[..., None].chunk(2, dim=1)
        return clean + self.basis @ (of_noisy * (self.basis.mT @ x_t) - of_clean * (self.basis.mT @ clean))
