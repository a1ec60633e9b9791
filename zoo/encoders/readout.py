"""A short way from the data to the mappers: what each of them has understood, read out by one linear layer."""

import torch
from torch import nn

from zoo.condition import Condition
from zoo.shapes import JointMask, Joints, Joints2D, Mask, Scalar, Tensor


class Readout(nn.Module):
    """The skeleton as a linear function of a mapper's pooled vector; its error trains the mapper without the denoiser.

    Mappers that learn only through a denoiser learn slowly: most of what a denoiser does does not depend on them.
    The function is the same for all mappers, so that what a denoiser learns under one condition serves the others.

    Args:
        dim: Channels of pooled vectors.
        heat: Weight of the heat maps' cross-entropy, for mappers that have them.
        place: Weight of the distance between joints and the means of their heat maps.
    """

    def __init__(self, dim: int, heat: float = 0.3, place: float = 1.0) -> None:
        super().__init__()
        self.heat, self.place = heat, place
        self.pose = nn.Linear(dim, 21 * 3)

    def forward(
        self, each: dict[str, Condition], joints: Joints, joints2d: Joints2D, valid: JointMask, rows: Mask
    ) -> Scalar:
        """Mean absolute error of the skeletons, summed over mappers; of each, over the rows whose input was shown.

        Args:
            each: Condition by mapper, none left out.
            joints: (b, 21, 3) true joints in the normalised signal's unit.
            joints2d: (b, 21, 2) their places in crop coordinates.
            valid: (b, 21) joints whose place is known.
            rows: (b,) whose `joints` are known.
        """
        loss = joints.sum() * 0
        for condition in each.values():
            mask, pooled, heat = condition.mask, condition.pooled, condition.heat
            if mask is None or pooled is None:
                continue
            shown = ~mask[:, :1]  # the first token is the null token
            guess = self.pose(pooled) if condition.joints is None else condition.joints.flatten(1)
            loss = loss + _mean((guess.float() - joints.flatten(1)).abs(), shown & rows[:, None])
            if heat is not None:
                there = shown & valid & _inside(joints2d)
                loss = loss + self.heat * _mean(_cross_entropy(heat, joints2d), there)
                loss = loss + self.place * _mean((means(heat) - joints2d).abs(), there[..., None])
        return loss


def _inside(joints2d: Joints2D) -> JointMask:
    return (joints2d.abs() < 1).all(-1)


def means(heat: Tensor) -> Joints2D:
    """Where heat maps (b, 21, h, w) of logits lie on average, in crop coordinates."""
    maps = torch.unflatten(heat.flatten(2).float().softmax(-1), -1, heat.shape[-2:])
    across, down = ((2 * torch.arange(n, device=heat.device) + 1) / n - 1 for n in (heat.shape[-1], heat.shape[-2]))
    return torch.stack([(maps.sum(-2) * across).sum(-1), (maps.sum(-1) * down).sum(-1)], dim=-1)


def _cross_entropy(heat: Tensor, joints2d: Joints2D) -> Tensor:
    """(b, 21): how surprised each heat map is by the cell that its joint is in."""
    height, width = heat.shape[-2:]
    size = joints2d.new_tensor([width, height])
    column, row = ((joints2d + 1) / 2 * size).long().clamp_min(0).minimum(size.long() - 1).unbind(-1)
    logits = heat.flatten(2).float().log_softmax(-1)
    return -logits.gather(-1, (row * width + column)[..., None])[..., 0]


def _mean(error: Tensor, shown: Tensor) -> Scalar:
    shown = shown.expand_as(error)
    return (error * shown).sum() / shown.sum().clamp_min(1)
