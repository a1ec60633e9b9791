"""Opens hands that pass through themselves by as little as is needed.

A tracked fist is a slimmer hand than ours, and flesh that gives way is no part of a linear model. A random search in
angles, on the mesh itself: a step is kept when it lowers the number of intersecting faces plus a price on moving.
"""

from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zoo.hands.build.poses_draw import pose_hands
from zoo.hands.openhand import OpenHand
from zoo.hands.poses_joints import FREE, Angles, JointAxes, joint_rotations, limit
from zoo.metrics.intersection import self_intersections

TOLERATED: Final = 4  # faces of 1,538 that may stay in contact
CURL = (1.0, 0.6, 0.4)  # how a step opens a finger's three joints together, of CURL_STEP
CURL_STEP, JOINT_STEP = 6.0, 2.0  # degrees, standard deviation
PRICES = (0.3, 0.1, 0.03)  # faces a squared degree (mean over the free angles), falling as the search goes on


def intersecting_faces(angles: Angles, axes: JointAxes, model: OpenHand) -> Tensor:
    """How many faces of each hand pass through others."""
    return self_intersections(pose_hands(model, joint_rotations(angles, axes)), model.faces).sum(-1)


def relax(angles: Angles, starts: Angles, axes: JointAxes, seed: int, rounds: int = 60, tries: int = 12) -> Angles:
    """The hands, opened where they pass through themselves; others come back as they are.

    Args:
        angles: Wanted; radians, within limits.
        starts: Where each search begins. Starting outside keeps a thumb outside.
        axes: Of the joints at rest.
        seed: Of the search.
        rounds: Steps in a row at each of the prices.
        tries: Steps tried at once.
    """
    model = OpenHand("right")
    generator = torch.Generator().manual_seed(seed)
    moved = intersecting_faces(angles, axes, model) > TOLERATED
    wanted, best = angles[moved], starts[moved].clone()
    hits = intersecting_faces(best, axes, model)
    scale = torch.ones(len(best))
    for price in PRICES:
        for _ in range(rounds):
            shape = (tries, len(best))
            step = torch.randn(*shape, 15, 3, generator=generator) * JOINT_STEP
            bend = torch.randn(*shape, 5, 1, generator=generator) * CURL_STEP
            bend = bend * (torch.rand(*shape, 5, 1, generator=generator) < 0.4)
            step[..., 0] += (bend * torch.tensor(CURL)).flatten(-2)
            tried = limit(best + torch.deg2rad(step * scale[:, None, None]) * FREE)
            faces = intersecting_faces(tried.flatten(0, 1), axes, model).view(shape)
            least, winner = _cost(tried, wanted, faces, price).min(0)
            better = torch.nonzero(least < _cost(best, wanted, hits, price))[:, 0]
            best[better], hits[better] = tried[winner[better], better], faces[winner[better], better]
            factor = torch.full_like(scale, 0.9).index_fill(0, better, 1.3)
            scale = (scale * factor).clamp(0.1, 2.0)
    result = angles.clone()
    result[moved] = best
    return result


def _cost(angles: Angles, wanted: Angles, faces: Int[Tensor, "*b"], price: float) -> Float[Tensor, "*b"]:
    squares = torch.rad2deg(angles - wanted).square().sum((-1, -2)) / int(FREE.sum())
    return (faces - TOLERATED).clamp_min(0) + price * squares
