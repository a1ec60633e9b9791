"""What text attention does to AttentionHand's attention maps, for pictures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from zoo.shapes import Float, Images, Latents, Tensor

if TYPE_CHECKING:
    from zoo.models.attentionhand import AttentionHand


@torch.no_grad()
def attended(
    model: "AttentionHand", images: Images, texts: Sequence[str], noise: Latents, level: float = 0.5
) -> Float[Tensor, "b 2 r r"]:
    """Attention to the words for hands, before and after text attention has moved the latents.

    Args:
        model: Whose base, texts and text attention.
        images: What is looked at.
        texts: Of the pictures.
        noise: Of their latents.
        level: Time as a share of all times.
    """
    t = torch.full((len(images),), int(level * (model.schedule.steps - 1)), device=images.device)
    with torch.inference_mode(False), torch.no_grad():  # the first switches gradients on
        x_t = model.schedule.add_noise(model.codec.encode(images.clone()), noise.clone(), t)
        states, positions = model.states(texts), model.positions(texts)
        moved = model.tas.move(model.attention, x_t, t, states, positions, model.schedule, model.lengths(texts)).x_t
        both = torch.stack([model.attention(x, t, states) for x in (x_t, moved)], 1)  # (b, 2, r, r, n)
    hand = torch.zeros(len(texts), both.shape[-1], device=both.device)
    for row, own in enumerate(positions):
        hand[row, own] = 1 / max(len(own), 1)
    return torch.einsum("bkijn,bn->bkij", both, hand)
