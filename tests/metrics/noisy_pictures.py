"""Pictures with edges and colours, written by code, and extractors that cost nothing."""

import torch
from torch import nn

from zoo.metrics.extractors import Extractor


class Flat(Extractor):
    """The pixels themselves: with pictures of 1 x d/3 pixels, any features can be put in."""

    name, side, about = "flat", 16, "flat: pixels."

    def __init__(self, num_features):
        super().__init__()
        self.num_features = num_features

    def forward(self, images):
        return images.flatten(1)


class Pooled(Extractor):
    """Means over a grid of 2 x 2, of any picture."""

    name, side, about, num_features = "pooled", 16, "pooled: means of quarters.", 12

    def forward(self, images):
        return nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)


def as_images(features):
    """Features (n, d) as pictures of which `Flat` makes them again."""
    return features.view(len(features), 3, 1, -1)


def blobs(n, side=64, seed=0):
    """Discs of random colours on gradients (n, 3, side, side)."""
    generator = torch.Generator().manual_seed(seed)
    line = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(line, line, indexing="ij")
    back = (
        0.5
        + 0.3 * torch.randn(n, 3, 1, 1, generator=generator) * x
        + 0.1 * torch.randn(n, 3, 1, 1, generator=generator)
    )
    for _ in range(4):
        middle, radius = (
            1.4 * torch.rand(n, 2, 1, 1, generator=generator) - 0.7,
            0.1 + 0.4 * torch.rand(n, 1, 1, generator=generator),
        )
        disc = ((x - middle[:, 0]) ** 2 + (y - middle[:, 1]) ** 2 < radius**2)[:, None]
        back = torch.where(disc, torch.rand(n, 3, 1, 1, generator=generator), back)
    return back.clamp(0, 1)
