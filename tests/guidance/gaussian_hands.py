"""A prior whose best denoiser is known, alone and as HHMR's network."""

import torch
from torch import nn

from zoo.condition import Condition
from zoo.denoisers.base import Denoiser
from zoo.diffusion import Estimate, NoiseSchedule
from zoo.encoders import HandConditioner, Masking, Skeleton2D, Skeleton3D
from zoo.guidance.operators import Operator, Residual
from zoo.hands.openhand import OpenHand
from zoo.models import HHMR

HAND = OpenHand()
SPREAD = 0.5  # of every coordinate around the flat hand
NO_MASKING = Masking(modality=0.0, everything=0.0, finger=0.0, noise_3d=0.0, noise_2d=0.0)


def standard_normal(schedule: NoiseSchedule):
    """E[x0 | x_t] of N(0, I)."""

    def denoise(x, t):
        return Estimate(schedule.at(t, x)[0] * x, x)

    return denoise


class Seen(Operator):
    """y = A x + noise, for x of shape (r, 1, 3)."""

    def __init__(self, matrix, observed):
        self.matrix, self.observed = matrix, observed

    def residual(self, x0):
        off = x0 @ self.matrix.mT - self.observed
        return Residual(off, torch.ones_like(off[..., 0]))


class GaussianHands(Denoiser):
    """Every coordinate normal around the flat hand; the condition bends that a little."""

    prediction = "x0"

    def __init__(self, hand):
        super().__init__()
        flat = (hand.template - hand.regress(hand.template)[:1]) / 0.1
        self.register_buffer("mean", flat)
        self.gain = nn.Parameter(torch.ones(()))
        self.schedule = NoiseSchedule()

    def forward(self, x_t, t, condition: Condition):
        a, s = self.schedule.at(t, x_t)
        says = 1 + 0.1 * torch.tanh(condition.tokens.mean((1, 2)))[:, None, None]
        share = SPREAD**2 * a / (a**2 * SPREAD**2 + s**2)
        return self.gain * says * (self.mean + share * (x_t - a * self.mean))


def model(**changes) -> HHMR:
    torch.manual_seed(0)
    parts = HandConditioner(None, Skeleton2D(16, 64, 0.0, True), Skeleton3D(16, 64, 0.0, True), NO_MASKING)
    return HHMR(parts, GaussianHands, HAND, **changes).eval()


def bent(rows: int, seed: int = 0):
    """Wrist-relative meshes of somewhat bent hands, metres."""
    g = torch.Generator().manual_seed(seed)
    angle = 0.4 * torch.rand(rows, 1, generator=g)
    c, s, o, i = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    turn = torch.cat((c, -s, o, s, c, o, o, o, i), 1).view(rows, 1, 3, 3)
    rotations = torch.cat((torch.eye(3).expand(rows, 1, 3, 3), turn.expand(rows, 15, 3, 3)), 1)
    vertices = HAND(rotations, torch.randn(rows, 10, generator=g), torch.zeros(rows, 3)).vertices
    return vertices - HAND.regress(vertices)[:, :1]
