"""Similarity alignment of point sets in closed form, with and without reflections."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

EPSILON = 1e-8  # FreiHAND's guard against hands of size zero, metres


class Aligned(NamedTuple):
    """The moved prediction and whether a reflection moved it."""

    points: Float[Tensor, "*b k 3"]
    mirrored: Bool[Tensor, "*b"]


def procrustes(
    predicted: Float[Tensor, "*b k 3"],
    target: Float[Tensor, "*b k 3"],
    valid: Bool[Tensor, "*b k"] | None = None,
    allow_reflection: bool = True,
) -> Aligned:
    """Moves, turns and scales the prediction onto the target with the least squared error.

    FreiHAND's protocol (Zimmermann et al., ICCV 2019) lets the rotation be a reflection, so that a mirrored hand scores
    no error; most later papers (SPIN, MeshGraphormer, HaMeR) force a proper rotation.

    Args:
        predicted: Points to move, in any unit.
        target: Points to meet, in the same unit and order; decides unit and frame of the result.
        valid: Points that count. The others are moved along.
        allow_reflection: FreiHAND's choice; False forces det +1.
    """
    # Half precision and float32 lose the third singular value of flat hands; Apple's GPUs have no float64.
    precise = torch.float32 if predicted.device.type == "mps" else torch.float64
    moving, fixed = predicted.to(precise), target.to(precise)
    weight = torch.ones_like(moving[..., :1]) if valid is None else valid[..., None].to(precise)
    count = weight.sum(-2, keepdim=True).clamp(min=1)
    fixed_mean = (weight * fixed).sum(-2, keepdim=True) / count
    moving = moving - (weight * moving).sum(-2, keepdim=True) / count
    fixed = fixed - fixed_mean
    moving_size = torch.linalg.matrix_norm(weight * moving, keepdim=True) + EPSILON
    fixed_size = torch.linalg.matrix_norm(weight * fixed, keepdim=True) + EPSILON
    moving = moving / moving_size
    u, s, vh = torch.linalg.svd((weight * moving).mT @ (weight * fixed / fixed_size))
    mirrored = torch.linalg.det(u) * torch.linalg.det(vh) < 0
    if not allow_reflection:
        sign = torch.where(mirrored, -1.0, 1.0).to(precise)
        ones = torch.ones_like(sign)
        flip = torch.stack([ones, ones, sign], dim=-1)
        u, s, mirrored = u * flip[..., None, :], s * flip, torch.zeros_like(mirrored)
    points = moving @ (u @ vh) * s.sum(-1)[..., None, None] * fixed_size + fixed_mean
    return Aligned(points.to(target.dtype), mirrored)


class Alignments(NamedTuple):
    """Both customs of alignment, and whom they treat differently."""

    official: Float[Tensor, "*b k 3"]
    proper: Float[Tensor, "*b k 3"]
    mirrored: Bool[Tensor, "*b"]


def both_alignments(
    predicted: Float[Tensor, "b k 3"], target: Float[Tensor, "b k 3"], valid: Bool[Tensor, "b k"] | None = None
) -> Alignments:
    """`procrustes` with and without reflections; the second is worked out anew only where the first one mirrored."""
    official, mirrored = procrustes(predicted, target, valid)
    proper, rows = official, mirrored.nonzero()[:, 0]
    if len(rows):
        again = procrustes(predicted[rows], target[rows], None if valid is None else valid[rows], False).points
        proper = official.index_copy(0, rows, again)
    return Alignments(official, proper, mirrored)
