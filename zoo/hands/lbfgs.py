"""L-BFGS on many small problems at once, each with its own memory and its own step."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

# Points (r, d) and which rows (r,) they belong to; losses (r,) and gradients (r, d).
Problem = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

HISTORY = 10
ARMIJO, SHORTER, TRIES = 1e-4, 0.4, 12
FIRST = 1.0  # longest first step


class Minimum(NamedTuple):
    """Where rows ended."""

    x: Float[Tensor, "b d"]
    loss: Float[Tensor, " b"]


@torch.no_grad()
def minimize(problem: Problem, start: Float[Tensor, "b d"], steps: int, tolerance: float = 1e-7) -> Minimum:
    """Nocedal's two-loop recursion with Armijo's backtracking, row by row.

    `torch.optim.LBFGS` on the sum of rows would share one step length and one curvature among all of them.

    Args:
        problem: Losses and gradients of some rows. A loss that is not finite is a step too far.
        start: Must have finite losses; rows without stay where they are. Its units should suit all coordinates.
        steps: At most so many.
        tolerance: Rows that lose a smaller share of their loss in a step stop; so do rows that find no step.
    """
    x = start.clone()
    b, d = x.shape
    loss, gradient = problem(x, torch.arange(b, device=x.device))
    changes, yields = x.new_zeros(HISTORY, b, d), x.new_zeros(HISTORY, b, d)
    inverse = x.new_zeros(HISTORY, b)  # 1 / (change . yield); 0 where nothing is remembered
    scale = FIRST / gradient.norm(dim=1).clamp_min(FIRST)
    going = loss.isfinite()
    for _ in range(steps):
        rows = torch.nonzero(going)[:, 0]
        if not len(rows):
            break
        direction = -_times_inverse(gradient[rows], changes[:, rows], yields[:, rows], inverse[:, rows], scale[rows])
        slope = (direction * gradient[rows]).sum(1)
        lost = slope >= 0  # rounding: forget the curvature
        direction = torch.where(lost[:, None], -gradient[rows] * scale[rows, None], direction)
        slope = torch.where(lost, (direction * gradient[rows]).sum(1), slope)
        length = torch.ones_like(slope)
        waiting = torch.arange(len(rows), device=x.device)
        new, found, slant = x[rows].clone(), loss[rows].clone(), gradient[rows].clone()
        for _ in range(TRIES):
            tried = x[rows[waiting]] + length[waiting, None] * direction[waiting]
            value, grad = problem(tried, rows[waiting])
            fine = value <= loss[rows[waiting]] + ARMIJO * length[waiting] * slope[waiting]
            done = waiting[fine]
            new[done], found[done], slant[done] = tried[fine], value[fine], grad[fine]
            waiting = waiting[~fine]
            if not len(waiting):
                break
            length[waiting] *= SHORTER
        change, bent = new - x[rows], slant - gradient[rows]
        curvature = (change * bent).sum(1)
        keep = curvature > 1e-10 * change.norm(dim=1) * bent.norm(dim=1)
        changes, yields, inverse = changes.roll(1, 0), yields.roll(1, 0), inverse.roll(1, 0)
        changes[0], yields[0], inverse[0] = 0, 0, 0
        changes[0, rows], yields[0, rows] = change, bent
        inverse[0, rows] = torch.where(keep, 1 / curvature.clamp_min(1e-30), 0.0)
        scale[rows] = torch.where(keep, curvature / bent.square().sum(1).clamp_min(1e-30), scale[rows])
        going[rows] = loss[rows] - found > tolerance * loss[rows].abs()
        x[rows], loss[rows], gradient[rows] = new, found, slant
    return Minimum(x, loss)


def _times_inverse(gradient: Tensor, changes: Tensor, yields: Tensor, inverse: Tensor, scale: Tensor) -> Tensor:
    """The approximate inverse Hessian times gradients; the newest memory comes first."""
    direction = gradient.clone()
    shares = []
    for change, bent, weight in zip(changes, yields, inverse, strict=True):
        shares.append(weight * (change * direction).sum(1))
        direction -= shares[-1][:, None] * bent
    direction *= scale[:, None]
    for change, bent, weight, share in reversed(list(zip(changes, yields, inverse, shares, strict=True))):
        direction += (share - weight * (bent * direction).sum(1))[:, None] * change
    return direction
