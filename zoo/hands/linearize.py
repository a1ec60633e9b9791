"""Skinned points and how they move with rotations, shape and place: the Jacobian that fits are made of."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.hands.model import HandModel
from zoo.hands.skeleton import MANO_PARENTS
from zoo.hands.skinning import exact_products
from zoo.shapes import Betas, Rotations, Translation

TURNS, SHAPES, SHIFTS = slice(0, 48), slice(48, 58), slice(58, 61)  # of the 61 directions
EPSILON = 1e-12


class SkinnedPoints(NamedTuple):
    """Points that a hand's skeleton carries, coordinates before points."""

    bias: Float[Tensor, "3 m"]  # metres, at rest, mean shape
    basis: Float[Tensor, "145 3 m"]  # ten shapes, then the entries of 15 finger rotations
    weights: Float[Tensor, "16 m"]
    to_joints: Float[Tensor, "m j"]  # weights of the points in the joints, which are sums of them


class Linear(NamedTuple):
    """Points and their derivatives along 61 directions.

    The directions: each joint's subtree turns about the joint, about x, y and z of the world (48); shapes (10);
    translation (3).
    """

    points: Float[Tensor, "b 3 m"]  # metres
    jacobian: Float[Tensor, "b 61 3 m"]
    turns: Rotations  # (b, 16, 3, 3) of each joint against the world


def mesh_points(hand: HandModel) -> SkinnedPoints:
    """The 778 vertices."""
    basis = hand.basis.view(3, 778, 145).permute(2, 0, 1).contiguous()
    return SkinnedPoints(hand.bias.view(3, 778), basis, hand.weights.mT.contiguous(), hand.joint_regressor.mT)


def joint_points(hand: HandModel) -> SkinnedPoints:
    """A few points, the weighted means of what each part of the hand adds to each of the 21 regressed joints.

    Skinning and regression are both linear, so `hand.regress` of a posed mesh is the same to rounding, for a
    fifteenth of the work.
    """
    vertices = mesh_points(hand)
    pairs = torch.einsum("jv,kv->jkv", hand.joint_regressor, vertices.weights).flatten(0, 1)
    total = pairs.sum(-1)
    kept = torch.nonzero(total.abs() > 1e-9)[:, 0]
    mean = pairs[kept] / total[kept, None]
    joint, part = kept // 16, kept % 16
    columns = torch.arange(len(kept), device=kept.device)
    weights, to_joints = mean.new_zeros(16, len(kept)), mean.new_zeros(len(kept), 21)
    weights[part, columns] = 1
    to_joints[columns, joint] = total[kept]
    with exact_products(mean):
        return SkinnedPoints(vertices.bias @ mean.mT, vertices.basis @ mean.mT, weights, to_joints)


def linearize(
    hand: HandModel, points: SkinnedPoints, rotations: Rotations, betas: Betas, transl: Translation
) -> Linear:
    """Skins points and differentiates them.

    Args:
        hand: Whose skeleton.
        points: From `mesh_points` or `joint_points` of the same hand.
        rotations: (b, 16, 3, 3) as in `HandModel.forward`.
        betas: (b, 10).
        transl: (b, 3) metres.
    """
    b, m = len(rotations), points.bias.shape[1]
    with exact_products(points.bias):
        rest = (hand.rest.mT + betas @ hand.rest_basis.mT).view(b, 16, 3)
        turns, places = [rotations[:, 0]], [rest[:, 0]]
        moves = [hand.rest_basis.view(16, 3, 10)[0].expand(b, 3, 10)]  # of the joints with the shape
        for child in range(1, 16):
            parent = MANO_PARENTS[child]
            bone = (rest[:, child] - rest[:, parent]).unsqueeze(-1)
            change = hand.rest_basis.view(16, 3, 10)[child] - hand.rest_basis.view(16, 3, 10)[parent]
            places.append(places[parent] + (turns[parent] @ bone).squeeze(-1))
            moves.append(moves[parent] + turns[parent] @ change)
            turns.append(turns[parent] @ rotations[:, child])
        turn, place, move = torch.stack(turns, 1), torch.stack(places, 1), torch.stack(moves, 1)
        place = place + transl[:, None]
        features = torch.cat((betas, rotations[:, 1:].flatten(1)), 1)
        unposed = (points.bias.flatten() + features @ points.basis.flatten(1)).view(b, 3, m)
        shift = place - (turn @ rest.unsqueeze(-1)).squeeze(-1)
        carried = torch.baddbmm(shift.view(b, 48, 1), turn.view(b, 48, 3), unposed).view(b, 16, 3, m)
        carried *= points.weights[:, None]
        jacobian = carried.new_empty(b, 61, 3, m)
        _turning(jacobian, carried, points.weights, place)
        _blending(jacobian, points, rotations, turn)
        offset = move - turn @ hand.rest_basis.view(16, 3, 10)  # (b, 16, 3, 10)
        jacobian[:, SHAPES] += (offset.permute(0, 3, 2, 1).reshape(b, 30, 16) @ points.weights).view(b, 10, 3, m)
        jacobian[:, SHIFTS] = torch.eye(3).to(jacobian)[..., None]
    return Linear(carried.sum(1), jacobian, turn)


def solve(matrix: Float[Tensor, "b k k"], right: Float[Tensor, "b k"], damping: Float[Tensor, " b"]) -> Tensor:
    """Levenberg and Marquardt's step: the diagonal grows by a share of itself. Never raises, never returns NaN.

    Args:
        matrix: Symmetric, not negative.
        right: The negative gradient.
        damping: The shares.
    """
    diagonal = matrix.diagonal(dim1=-2, dim2=-1).clamp_min(EPSILON)
    scale = diagonal.rsqrt()
    even = (matrix * scale[:, None] * scale[..., None]).double()
    even.diagonal(dim1=-2, dim2=-1).copy_((1 + damping.double()[:, None]).expand(diagonal.shape))
    lower, failed = torch.linalg.cholesky_ex(even)
    step = torch.cholesky_solve((right * scale).double().unsqueeze(-1), lower).squeeze(-1).to(right.dtype) * scale
    return torch.where((failed == 0).unsqueeze(-1) & step.isfinite(), step, 0.0)


def _turning(jacobian: Tensor, carried: Tensor, weights: Tensor, place: Tensor) -> None:
    """The first 48 directions: axis times lever."""
    b, m = len(carried), carried.shape[-1]
    lever = torch.empty_like(carried)
    whole = torch.empty_like(weights)
    fingers, shares = lever[:, 1:].view(b, 5, 3, 3, m), whole[1:].view(5, 3, m)
    own, share = carried[:, 1:].view(b, 5, 3, 3, m), weights[1:].view(5, 3, m)
    fingers[:, :, 2], shares[:, 2] = own[:, :, 2], share[:, 2]
    for level in (1, 0):  # a joint carries what its children carry
        torch.add(own[:, :, level], fingers[:, :, level + 1], out=fingers[:, :, level])
        torch.add(share[:, level], shares[:, level + 1], out=shares[:, level])
    torch.sum(carried, 1, out=lever[:, 0])
    torch.sum(weights, 0, out=whole[0])
    lever -= place.unsqueeze(-1) * whole[:, None]
    x, y, z = lever.unbind(2)
    zero = torch.zeros((), dtype=x.dtype, device=x.device)
    out = torch.unflatten(jacobian[:, TURNS], 1, (16, 3))
    for axis, row in enumerate(((zero, -z, y), (z, zero, -x), (-y, x, zero))):
        for coordinate, value in enumerate(row):
            out[:, :, axis, coordinate] = value


def _blending(jacobian: Tensor, points: SkinnedPoints, rotations: Tensor, turn: Tensor) -> None:
    """Adds what pose blendshapes move to the turns of 15 joints; sets what shapes move in a skeleton that stays."""
    b, m = len(turn), points.bias.shape[1]
    parents = turn[:, list(MANO_PARENTS[1:])]
    axes = axis_generators(turn)
    # A turn of the subtree about a world axis changes the joint's own rotation by G_parent' [axis] G_joint.
    change = (parents.mT.unsqueeze(2) @ axes @ turn[:, 1:].unsqueeze(2)).flatten(-2)  # (b, 15, 3, 9)
    poses = points.basis[10:].view(15, 9, 3 * m)
    moved = torch.bmm(change.transpose(0, 1).reshape(15, b * 3, 9), poses).view(15, b, 3, 3, m)
    blended = (turn.flatten(2).mT @ points.weights).view(b, 3, 3, m)  # each point's own mean rotation
    shapes = points.basis[:10]
    for row in range(3):
        out = jacobian[:, :, row]
        torch.mul(blended[:, None, row, 0], shapes[:, 0], out=out[:, SHAPES])
        turned = torch.unflatten(out[:, 3:48], 1, (15, 3)).transpose(0, 1)
        for k in range(3):
            turned.addcmul_(blended[:, None, row, k], moved[..., k, :])
            if k:
                out[:, SHAPES].addcmul_(blended[:, None, row, k], shapes[:, k])


def axis_generators(like: Tensor) -> Float[Tensor, "3 3 3"]:
    """The cross products with x, y and z as matrices."""
    generators = torch.zeros(3, 3, 3, dtype=like.dtype, device=like.device)
    for axis, (one, other) in enumerate(((1, 2), (2, 0), (0, 1))):
        generators[axis, other, one], generators[axis, one, other] = 1, -1
    return generators
