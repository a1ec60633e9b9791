"""Hands of OpenHand in drawn poses, before a camera."""

import torch

from zoo.hands.openhand import OpenHand
from zoo.hands.poses import PosePrior
from zoo.hands.rotations import axis_angle_to_matrix


def posed_hands(n: int, seed: int = 0, side: str = "right"):
    """(n, 21, 3) regressed joints and (n, 778, 3) vertices, metres, half a metre away, turned anyhow."""
    hand, generator = OpenHand(side), torch.Generator().manual_seed(seed)
    fingers = PosePrior().sample(n, generator).rotations
    if side == "left":
        fingers = PosePrior().left(fingers)
    root = axis_angle_to_matrix(torch.randn(n, 1, 3, generator=generator))
    place = torch.tensor([0.02, -0.01, 0.5]) + 0.05 * torch.randn(n, 3, generator=generator)
    with torch.no_grad():
        vertices = hand(torch.cat((root, fingers), 1), torch.zeros(n, 10), place).vertices
        return hand.regress(vertices), vertices
