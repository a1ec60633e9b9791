"""What tells two networks apart: a hash of their weights."""

import hashlib

import torch
from torch import nn


def fingerprint(module: nn.Module, *facts: object) -> str:
    """SHA-256 of a network's weights and buffers, as hexadecimal digits; the same on every device.

    Args:
        module: Names, shapes, types and values of its state count.
        facts: What else makes a difference, such as a scale.
    """
    digest = hashlib.sha256(repr((type(module).__name__, *facts)).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
