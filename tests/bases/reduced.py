"""A base and a guidance copy of reduced size, with random weights everywhere, also where training starts from zero."""

import torch

from zoo.bases.base import Base
from zoo.denoisers.dual_unet import DualUNet
from zoo.denoisers.latent_unet import LatentUNet
from zoo.diffusion import NoiseSchedule
from zoo.encoders.clip_text import ClipText
from zoo.encoders.codec import KLCodec

HEADS, VOCAB = 8, 600


def base(heads=HEADS, groups=32, kind="scaled_linear", text_heads=1):
    """Attention on one of two levels; pictures are eight times as large as latents."""
    torch.manual_seed(0)
    codec = KLCodec((32, 32, 64, 64), layers=1)
    text = ClipText(64, layers=2, heads=text_heads, vocab=VOCAB)
    unet = LatentUNet(4, (32, 64), layers=1, heads=heads, context=64, groups=groups, side=8)
    return Base(codec, text, unet, NoiseSchedule(kind))


def dual(base, seed=1, spread=0.1):
    """The base's U-Net with a copy whose weights have moved away from it."""
    found = DualUNet(base.unet)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in found.guide.parameters():
            weight += spread * torch.randn(weight.shape, generator=generator)
    return found.eval()


def same(one, other):
    """Whether two modules have the same weights under the same names."""
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
