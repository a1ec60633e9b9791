"""How AttentionHand saves memory."""

from typing import Literal

import torch

from zoo.denoisers.dual_unet import DualUNet
from zoo.encoders.codec import LatentCodec

Memory = Literal["low", "mid", "high"]


def spare(memory: Memory, dual: DualUNet, codec: LatentCodec) -> bool:
    """Arranges the parts for a budget; whether both branches may go through the network at once.

    `mid` recomputes the copy's activations, codes pictures one by one and takes one branch after the other; `low` also
    keeps the frozen U-Net in bfloat16 and recomputes what its decoder keeps for the gradient.

    Args:
        memory: The budget.
        dual: Base and copy.
        codec: Pictures to latents.
    """
    if memory == "high":
        return True
    codec.slicing = True
    for guide in (dual.guide, dual.guide_local):
        if guide is not None:
            guide.enable_gradient_checkpointing()
    if memory == "low":
        dual.base.to(torch.bfloat16)
        dual.base.net.enable_gradient_checkpointing()
    return False
