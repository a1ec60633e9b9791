"""Latent U-Nets of a size for tests."""

import torch

from zoo.condition import Condition
from zoo.denoisers import DualUNet, LatentUNet

TINY = {"widths": (32, 32), "layers": 1, "heads": 4, "context": 16, "groups": 8, "side": 8}


def tiny_unet(**options):
    torch.manual_seed(0)
    return LatentUNet(**TINY | options)


def tiny_dual(base=None, **options):
    torch.manual_seed(1)
    return DualUNet(tiny_unet() if base is None else base, hint=(8, 8, 8, 8), **options)


def noisy(rows=2, height=8, width=8):
    """Latents, times and a condition with a control eight times as large."""
    torch.manual_seed(2)
    control = torch.rand(rows, 3, 8 * height, 8 * width)
    condition = Condition(tokens=torch.randn(rows, 7, 16), control=control)
    return torch.randn(rows, 4, height, width), torch.randint(0, 1000, (rows,)), condition


def touch(dual):
    """Moves the zero convolutions away from zero."""
    torch.manual_seed(3)
    for name, parameter in dual.named_parameters():
        if "controlnet" in name:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return dual
