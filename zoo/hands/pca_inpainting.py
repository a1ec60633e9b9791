"""Completes hands of which some vertices are known with samples of PCA's prior: HHMR's inpainting baseline."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zoo.hands.linearize import SkinnedPoints, mesh_points, solve
from zoo.hands.pca import PCAPrior
from zoo.hands.skinning import exact_products
from zoo.shapes import Vertices

CHUNK = 64  # hands at a time
STEPS = (12, 8)  # to the likeliest hand, then from it to each sample
FINGERS = 0.02  # how much vertices of fingers count for the first rotation


class _Goal(NamedTuple):
    """What rows should agree with."""

    root: Float[Tensor, "r 3 3"]
    target: Float[Tensor, "r 778 3"]  # metres
    known: Float[Tensor, "r 778"]  # 1 or 0
    mean: Float[Tensor, "r p"]  # of the prior


@torch.no_grad()
def complete(
    prior: PCAPrior,
    vertices: Vertices,
    mask: Bool[Tensor, "b 778"],
    n: int,
    generator: torch.Generator,
    noise: float = 1e-3,
) -> Float[Tensor, "b n 778 3"]:
    """Hands that keep what is known, the rest drawn from the prior given it.

    Randomised maximum likelihood (Oliver 1996): each sample draws a hand from the prior and noise for the known
    vertices, then minimises the distance to both in their own deviations (Levenberg and Marquardt, from the likeliest
    hand). Were vertices linear in components and shapes, these would be exact samples of the posterior. Global rotation
    and place have no prior. Last, known vertices are put back as they were given.

    Args:
        prior: Which hands.
        vertices: (b, 778, 3) metres, any origin; what is not known is not read.
        mask: True = known. Rows without any give hands of the prior, unturned.
        n: Samples of each hand.
        generator: On the CPU; the same seed draws the same hands.
        noise: Standard deviation of the known vertices, metres: how well the model's hand must fit them.

    Returns:
        Vertices, metres, in the frame of those given.
    """
    if n < 1 or not noise > 0:
        raise ValueError(f"complete(n={n}, noise={noise}): at least one sample, and noise above zero.")
    like = prior.mean
    known = mask.to(like)
    measured = torch.where(mask[..., None], vertices.to(like), 0.0)
    drawn = prior.draw(len(vertices) * n, generator)
    blur = noise * torch.randn(len(drawn), 778, 3, generator=generator).to(like)
    points = mesh_points(prior.hand)
    root, start = _start(prior, measured, known)
    parts = []
    for rows in torch.split(torch.arange(len(vertices), device=like.device), CHUNK):
        goal = _Goal(root[rows], measured[rows], known[rows], torch.zeros_like(start[rows]))
        likeliest = _optimize(prior, points, goal, start[rows], STEPS[0], noise)
        many = rows.repeat_interleave(n)
        goal = _Goal(root[many], measured[many], known[many], torch.zeros_like(start[many]))
        own = (n * rows[:, None] + torch.arange(n, device=rows.device)).flatten()
        goal = goal._replace(target=goal.target + blur[own], mean=drawn[own])
        parts.append(torch.cat(_samples(prior, points, goal, likeliest.repeat_interleave(n, 0), noise)))
    hands = torch.cat(parts) if parts else like.new_zeros(0, 778, 3)
    return torch.where(mask[:, None, :, None], measured[:, None], hands.view(-1, n, 778, 3))


def _samples(prior: PCAPrior, points: SkinnedPoints, goal: _Goal, start: Tensor, noise: float) -> list[Tensor]:
    found = []
    for rows in torch.split(torch.arange(len(start), device=start.device), CHUNK):
        part = _Goal(*(field[rows] for field in goal))
        numbers = _optimize(prior, points, part, start[rows], STEPS[1], noise)
        found.append(prior.hand(*prior.place(part.root, numbers)).vertices)
    return found


def _optimize(prior: PCAPrior, points: SkinnedPoints, goal: _Goal, numbers: Tensor, steps: int, noise: float) -> Tensor:
    pull = torch.zeros(prior.size).to(numbers)
    pull[3:-3] = noise**2
    damping = torch.full_like(numbers[:, 0], 1e-4)
    known = goal.known[:, None]
    target = goal.target.mT

    def cost(vertices: Tensor, at: Tensor) -> Tensor:
        return (known * (vertices.mT - target).square()).sum((1, 2)) + (pull * (at - goal.mean).square()).sum(1)

    loss = cost(prior.hand(*prior.place(goal.root, numbers)).vertices, numbers)
    for _ in range(steps):
        linear, frames = prior.linearize(points, goal.root, numbers)
        jacobian = prior.pull(linear.jacobian * known[:, None], frames).flatten(2)
        with exact_products(jacobian):
            normal = jacobian @ jacobian.mT
            downhill = (jacobian @ (target - linear.points).flatten(1).unsqueeze(-1)).squeeze(-1)
        normal.diagonal(dim1=-2, dim2=-1).add_(pull)
        moved = numbers + solve(normal, downhill - pull * (numbers - goal.mean), damping)
        found = cost(prior.hand(*prior.place(goal.root, moved)).vertices, moved)
        better = found < loss
        numbers, loss = torch.where(better[:, None], moved, numbers), torch.where(better, found, loss)
        damping = torch.where(better, damping * 0.2, damping * 8)
    return numbers


def _start(prior: PCAPrior, measured: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """The mean hand, moved rigidly onto what is known, its palm first."""
    b = len(measured)
    numbers = torch.zeros(b, prior.size).to(measured)
    mean = prior.hand(*prior.place(torch.eye(3).to(measured)[None], numbers.new_zeros(1, prior.size))).vertices[0]
    share = known * (prior.hand.weights[:, 0] + FINGERS)
    share = (share / share.sum(1, keepdim=True).clamp_min(1e-12)).unsqueeze(-1)
    here, there = (share * mean).sum(1), (share * measured).sum(1)
    with exact_products(measured):
        u, _, vh = torch.linalg.svd((share * (measured - there[:, None])).mT @ (mean - here[:, None]))
        u[..., 2] *= torch.linalg.det(u @ vh).sign().unsqueeze(-1)
        root = u @ vh
        hands = prior.hand(*prior.place(root, numbers)).vertices
    numbers[:, -3:] = there - (share * hands).sum(1)
    return root, numbers
