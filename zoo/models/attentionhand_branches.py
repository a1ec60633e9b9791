"""AttentionHand's two branches on their way through the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from zoo.condition import Condition
from zoo.denoisers.dual_unet import Branch, DualUNet
from zoo.diffusion import NoiseSchedule
from zoo.guidance.text_attention import Attend, Moved, TextAttention
from zoo.shapes import Latents, Time, Tokens


@dataclass(frozen=True)
class Noisy:
    """A branch's rows with noise.

    Args:
        x_t: Noisy latents.
        clean: Latents without noise.
        noise: Of the latents.
        states: Of the text's tokens.
        positions: Of each row's words for hands.
        lengths: Position of each text's end token.
    """

    x_t: Latents
    clean: Latents
    noise: Latents
    states: Tokens
    positions: Sequence[Sequence[int]]
    lengths: Sequence[int]


def attend(
    parts: Mapping[Branch, Noisy],
    t: Time,
    tas: TextAttention,
    attention: Attend,
    schedule: NoiseSchedule,
    together: bool,
) -> dict[Branch, Moved]:
    """Text attention in each branch.

    Args:
        parts: By branch.
        t: Times, of both branches.
        tas: Moves the latents.
        attention: Of the network that both branches share.
        schedule: Of the noise.
        together: Whether both branches are one batch: faster, where there is memory for both. Rows do not depend on
            each other.
    """
    groups = [list(parts)] if together else [[name] for name in parts]
    moved: dict[Branch, Moved] = {}
    for names in groups:
        own = [parts[name] for name in names]
        found = tas.move(
            attention, torch.cat([x.x_t for x in own]), t.repeat(len(own)), torch.cat([x.states for x in own]),
            [row for x in own for row in x.positions], schedule, [row for x in own for row in x.lengths],
        )  # fmt: skip
        pieces = (found.x_t.chunk(len(own)), found.loss_before.chunk(len(own)), found.updates.chunk(len(own)))
        for name, x_t, before, updates in zip(names, *pieces, strict=True):
            moved[name] = Moved(x_t, before, None, updates)
    return moved


def predict(
    given: Mapping[Branch, tuple[Latents, Condition]], t: Time, dual: DualUNet, together: bool
) -> dict[Branch, Latents]:
    """The noise that the network sees in each branch, the copy at strength 1 as it is learned.

    Args:
        given: Noisy latents, and text and mesh, by branch.
        t: Times, of both branches.
        dual: The network.
        together: Whether both branches are one batch: faster, for a copy that they share and memory for both.
    """
    if not together or len(given) < 2:
        return {name: dual(x_t, t, condition, name, scale=1.0) for name, (x_t, condition) in given.items()}
    x_t = torch.cat([x for x, _ in given.values()])
    tokens, control = (
        torch.cat([x for x in parts if x is not None])
        for parts in zip(*((c.tokens, c.control) for _, c in given.values()), strict=True)
    )
    both = dual(x_t, t.repeat(len(given)), Condition(tokens, control=control), scale=1.0)
    return dict(zip(given, both.chunk(len(given)), strict=True))
