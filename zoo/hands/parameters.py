"""From a mesh back to the parameters of a hand model that make it."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.hands.linearize import SHAPES, SHIFTS, TURNS, SkinnedPoints, linearize, mesh_points, solve
from zoo.hands.model import HandModel
from zoo.hands.rotations import axis_angle_to_matrix, compose
from zoo.hands.skeleton import MANO_PARENTS
from zoo.hands.skinning import exact_products
from zoo.shapes import Betas, Rotations, Translation, Vertices

CHUNK = 64  # meshes at a time: 40 MB of derivatives
DAMPING, LESS, MORE = 1e-3, 0.2, 8.0  # of the first step; after a step that helped; after one that did not
ENOUGH = 1e-4  # share of its squares that a row must lose in a step for the fit to go on
LEAST = 1e-6  # metres; smaller residuals are rounding


class Parameters(NamedTuple):
    """What `HandModel.forward` takes, and how far its mesh stays from the one it should be."""

    rotations: Rotations  # (b, 16, 3, 3)
    betas: Betas  # (b, 10)
    transl: Translation  # (b, 3) metres
    residual: Float[Tensor, " b"]  # metres, mean over the vertices


@torch.no_grad()
def fit_parameters(hand: HandModel, vertices: Vertices, iterations: int = 12, prior: float = 10.0) -> Parameters:
    """The parameters whose mesh is nearest, in least squares, to a given one.

    Rotations start at the rigid motions of the parts (Kabsch). Then come Levenberg and Marquardt's steps on all 61
    numbers at once, each row damped by itself, until no row gains or the steps are used up. Carries no gradient.

    Betas are pulled towards zero as by their normal prior, against noise of the size of the residual itself: meshes
    of the model keep their shape, and what a mesh leaves open stays near the mean.

    Args:
        hand: The model, of the same side as the meshes.
        vertices: (b, 778, 3) metres, any origin, any orientation. Rows that are not finite get the resting hand and a
            residual of NaN.
        iterations: At most so many steps.
        prior: Weight of the pull: 1 suits meshes whose vertices err independently, more those whose errors go
            together, as a network's do; 0 is none.

    Returns:
        Rotations, shape and place; `hand.forward` of them is the fitted mesh.
    """
    if not prior >= 0 or iterations < 0:
        raise ValueError(f"fit_parameters(iterations={iterations}, prior={prior}): neither may be negative.")
    points = mesh_points(hand)
    fits = [_fit(hand, points, rows, iterations, prior) for rows in torch.split(vertices, CHUNK) if len(rows)]
    if not fits:
        none = points.bias.new_zeros(0)
        return Parameters(none.view(0, 16, 3, 3), none.view(0, 10), none.view(0, 3), none)
    return Parameters(*(torch.cat(parts) for parts in zip(*fits, strict=True)))


def _fit(hand: HandModel, points: SkinnedPoints, vertices: Vertices, iterations: int, prior: float) -> Parameters:
    rest = _rest(hand)
    b = len(vertices)
    good = vertices.isfinite().all(-1).all(-1)
    target = torch.where(good[:, None, None], vertices.to(rest.dtype), rest)
    middle = target.mean(1)  # metres away from the origin cost digits
    target = target - middle[:, None]
    rotations, betas, transl = _start(hand, rest, target), rest.new_zeros(b, 10), rest.new_zeros(b, 3)
    transl = -hand(rotations, betas, transl).vertices.mean(1)
    damping = rest.new_full((b,), DAMPING)
    square = _square(hand, target, rotations, betas, transl)
    for _ in range(iterations):
        pull = prior * (square / target[0].numel()).clamp_min(LEAST**2)
        linear = linearize(hand, points, rotations, betas, transl)
        with exact_products(rest):
            jacobian = linear.jacobian.flatten(2)
            normal = jacobian @ jacobian.mT
            downhill = (jacobian @ (target.mT - linear.points).reshape(b, -1, 1)).squeeze(-1)
        normal.diagonal(dim1=-2, dim2=-1)[:, SHAPES] += pull[:, None]
        downhill[:, SHAPES] -= pull[:, None] * betas
        step = solve(normal, downhill, damping)
        moved = (turned(rotations, linear.turns, step[:, TURNS]), betas + step[:, SHAPES], transl + step[:, SHIFTS])
        found = _square(hand, target, *moved)
        gain = square - found + pull * (betas.square() - moved[1].square()).sum(-1)
        better = gain > 0
        rotations = torch.where(better[:, None, None, None], moved[0], rotations)
        betas = torch.where(better[:, None], moved[1], betas)
        transl = torch.where(better[:, None], moved[2], transl)
        going = torch.where(better, gain > ENOUGH * square, damping < 1)
        square = torch.where(better, found, square)
        damping = torch.where(better, damping * LESS, damping * MORE)
        if not bool((going & (square > target[0].numel() * LEAST**2)).any()):
            break
    residual = (hand(rotations, betas, transl).vertices - target).norm(dim=-1).mean(-1)
    return Parameters(rotations, betas, transl + middle, torch.where(good, residual, torch.nan))


def turned(rotations: Rotations, world: Rotations, turns: Float[Tensor, "b 48"]) -> Rotations:
    """Turns the subtree of each joint by a rotation vector.

    Args:
        rotations: (b, 16, 3, 3) relative to the parents.
        world: (b, 16, 3, 3) the same against the world.
        turns: Radians, along the world's axes, before any of them is turned.
    """
    inside = (_above(world).mT * torch.unflatten(turns, -1, (16, 1, 3))).sum(-1)  # along the parent's axes
    return compose(axis_angle_to_matrix(inside), rotations)


def _above(world: Rotations) -> Rotations:
    """What each joint's parent is turned by."""
    return torch.cat((torch.eye(3).to(world).expand_as(world[:, :1]), world[:, list(MANO_PARENTS[1:])]), 1)


def _square(hand: HandModel, target: Tensor, rotations: Tensor, betas: Tensor, transl: Tensor) -> Tensor:
    return (hand(rotations, betas, transl).vertices - target).square().sum((-2, -1))


def _start(hand: HandModel, rest: Tensor, target: Tensor) -> Rotations:
    """Each part's own rigid motion from the resting hand; relative to the parents."""
    share = (hand.weights / hand.weights.sum(0)).mT.unsqueeze(-1)
    lever = (rest - (share * rest).sum(1, keepdim=True)) * share  # (16, 778, 3)
    with exact_products(target):
        moment = (lever.mT.reshape(48, -1) @ target).view(-1, 16, 3, 3)
        u, _, vh = torch.linalg.svd(moment.mT)
        u[..., 2] *= torch.linalg.det(u @ vh).sign().unsqueeze(-1)
        world = u @ vh
    return compose(_above(world).mT, world)


def _rest(hand: HandModel) -> Float[Tensor, "778 3"]:
    identity = torch.eye(3).to(hand.bias).expand(1, 16, 3, 3)
    return hand(identity, hand.bias.new_zeros(1, 10), hand.bias.new_zeros(1, 3)).vertices[0]
