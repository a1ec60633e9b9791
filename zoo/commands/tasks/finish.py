"""What every hand gets, whatever made it: scores of its mesh and MANO's parameters."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from zoo.commands.tasks.store import Parameters
from zoo.commands.tasks.task import Outcome
from zoo.hands.model import HandModel
from zoo.hands.rotations import matrix_to_axis_angle
from zoo.hands.skeleton import LEFT
from zoo.metrics.intersection import self_intersections
from zoo.shapes import Float


def described(
    outcomes: Sequence[Outcome], hand: HandModel, parameters: bool
) -> Iterator[tuple[Outcome, Parameters | None]]:
    """Outcomes with their common scores, each with the parameters that make its meshes.

    Args:
        outcomes: Any number of hypotheses each.
        hand: The right hand.
        parameters: Whether to fit them.
    """
    vertices = torch.cat([outcome.vertices for outcome in outcomes])
    crossing = 100 * self_intersections(vertices, hand.faces.cpu()).float().mean(-1)
    fitted = _fit(outcomes, vertices, hand) if parameters else None
    start = 0
    for outcome in outcomes:
        rows = slice(start, start + len(outcome.vertices))
        start = rows.stop
        scores = {**outcome.scores, "intersecting_percent": crossing[rows]}
        found = None
        if fitted is not None:
            found = Parameters(*(part[rows] for part in fitted))
            scores["parameters_mm"] = 1000 * found.residual
        yield replace(outcome, scores=scores), found


def _fit(outcomes: Sequence[Outcome], vertices: Float[Tensor, "r 778 3"], hand: HandModel) -> Parameters:
    """Left hands are fitted as their mirror images, for one model serves both: MANO's left is its right, mirrored."""
    from zoo.hands.parameters import fit_parameters

    left = torch.tensor([outcome.case.side == LEFT for outcome in outcomes for _ in outcome.vertices])
    mirror = torch.where(left[:, None], torch.tensor([-1.0, 1.0, 1.0]), torch.ones(3))
    found = fit_parameters(hand, (vertices * mirror[:, None]).to(hand.template.device))
    rotations, betas, transl, residual = (part.detach().float().cpu() for part in found)
    # M R M turns a mirrored hand as R turns the hand.
    rotations = mirror[:, None, :, None] * rotations * mirror[:, None, None, :]
    return Parameters(rotations, matrix_to_axis_angle(rotations).flatten(1), betas, transl * mirror, residual)
