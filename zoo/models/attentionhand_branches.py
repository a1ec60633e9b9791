"""AttentionHand's two branches on their way through the network."""

from collections.abc import Mapping

import torch

from zoo.condition import Condition
from zoo.denoisers.dual_unet import Branch, DualUNet
from zoo.shapes import Latents, Time


def predict(
    given: Mapping[Branch, tuple[Latents, Condition]], t: Time, dual: DualUNet, together: bool
) -> dict[Branch, Latents]:
    """The noise that the network sees in each branch.

    Args:
        given: Noisy latents, and text and mesh, by branch.
        t: Times, of both branches.
        dual: The network.
        together: Whether both branches are one batch: faster, for a copy that they share and memory for both.
    """
    if not together or len(given) < 2:
        return {name: dual(x_t, t, condition, name) for name, (x_t, condition) in given.items()}
    x_t = torch.cat([x for x, _ in given.values()])
    tokens, control = (
        torch.cat([x for x in parts if x is not None])
        for parts in zip(*((c.tokens, c.control) for _, c in given.values()), strict=True)
    )
    both = dual(x_t, t.repeat(len(given)), Condition(tokens, control=control))
    return dict(zip(given, both.chunk(len(given)), strict=True))
