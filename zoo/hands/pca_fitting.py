"""Fits PCA's hands to 2D keypoints: the customary optimisation that learned priors are measured against."""

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.hands.camera import project
from zoo.hands.lbfgs import minimize
from zoo.hands.linearize import SkinnedPoints, joint_points, solve
from zoo.hands.pca import PCAPrior, Posed
from zoo.hands.rotations import axis_angle_to_matrix
from zoo.shapes import Intrinsics, Joints, Joints2D, Vertices

VIEWS = 24  # directions that starts look from
PALM = (0, 1, 5, 9, 13, 17)  # joints that move little with the fingers
OTHERS = 0.2  # how much the other joints count for a start
COARSE, KEPT = 0.01, 4  # all restarts first meet this much noise, then the best few what noise there is
SURE = 5.0  # standard deviations beyond which a keypoint may be a mistake
NEAREST = 0.02  # metres; a joint nearer to the camera is a step too far
ALONE = 1.0  # metres; the depth of hands of which nothing was seen


class Fit2D(NamedTuple):
    """The best of a hand's restarts, camera frame."""

    vertices: Vertices  # (b, 778, 3) metres
    joints: Joints  # (b, 21, 3) metres, regressed
    posed: Posed  # parameters of the hand model
    loss: Float[Tensor, " b"]
    pixel_error: Float[Tensor, " b"]  # mean over the joints, weighted by confidence


@dataclass(frozen=True)
class Weights:
    """The loss: squared residuals over the noise, robust, plus squared deviations from the prior.

    Args:
        noise: Standard deviation of a keypoint, as a share of the longer side of the keypoints' box. Say what it
            is: 0.001 suits exact keypoints, 0.02 a detector's.
        outlier: Residuals well above this share of the box, and above five times the noise, are taken for mistakes.
        pose: Weight of the components' squares; 1 is the prior's own.
        shape: Weight of the shapes' squares.
    """

    noise: float = 0.001
    outlier: float = 0.05
    pose: float = 1.0
    shape: float = 1.0


@torch.no_grad()
def fit_2d(
    prior: PCAPrior,
    pixels: Joints2D,
    confidence: Float[Tensor, "b 21"],
    intrinsics: Intrinsics,
    restarts: int = 4,
    steps: int = 100,
    weights: Weights | None = None,
    method: Literal["lbfgs", "lm"] = "lbfgs",
) -> Fit2D:
    """Rotation, place, components and shape that keypoints and prior like best.

    Starts at the mean hand seen from the directions that fit the palm best, turned and sized in closed form. All starts
    are optimised against a coarse noise, the best few of them then against the noise of the keypoints. Takes about half
    a megabyte for each start.

    Args:
        prior: Whose hand, which components.
        pixels: (b, 21, 2).
        confidence: Weights of the keypoints; 0 where not seen.
        intrinsics: (b, 3, 3) pixels.
        restarts: Directions that are tried, 1 to 24; the least loss wins. More than 8 gain little.
        steps: Of the optimiser in each of the two passes, at most: 100 suit L-BFGS, 30 the other.
        weights: Of the loss; None for tuned ones.
        method: L-BFGS, or Levenberg and Marquardt's steps, which see the curvature: better in a fifth of the time.
    """
    if not 1 <= restarts <= VIEWS or steps < 0:
        raise ValueError(f"fit_2d(restarts={restarts}, steps={steps}): restarts are 1 to {VIEWS}, steps not negative.")
    like = prior.mean
    confidence = confidence.to(like).clamp_min(0)
    pixels = torch.where(confidence[..., None] > 0, pixels.to(like), 0.0)
    weights = Weights() if weights is None else weights
    seen = (pixels, confidence, intrinsics.to(like))
    points = joint_points(prior.hand)
    root, numbers = _starts(prior, *seen, restarts)
    tried, loss = restarts, like.new_zeros(0)
    for last, kept in ((False, min(KEPT, restarts)), (True, 1)):
        loosened = weights if last else replace(weights, noise=max(COARSE, weights.noise))
        problem = _Problem(prior, points, root, numbers, *seen, loosened, last)
        zero = torch.zeros_like(numbers)
        x, loss = minimize(problem.evaluate, zero, steps) if method == "lbfgs" else problem.marquardt(zero, steps)
        numbers = numbers + x * problem.units
        best = loss.view(len(pixels), tried).topk(kept, dim=1, largest=False).indices
        best = (best + tried * torch.arange(len(best), device=best.device)[:, None]).flatten()
        root, numbers, loss, tried = root[best], numbers[best], loss[best], kept
    posed = prior.place(root, numbers)
    vertices = prior.hand(*posed).vertices
    joints = prior.hand.regress(vertices)
    apart = (project(joints, intrinsics.to(like)) - pixels).norm(dim=-1)
    error = (apart * confidence).sum(-1) / confidence.sum(-1).clamp_min(1e-12)
    return Fit2D(vertices, joints, posed, loss, error)


class _Problem:
    """The loss of all restarts, in units in which each number bends it about equally at its start."""

    def __init__(
        self,
        prior: PCAPrior,
        points: SkinnedPoints,
        root: Tensor,
        start: Tensor,
        pixels: Tensor,
        confidence: Tensor,
        intrinsics: Tensor,
        weights: Weights,
        redescending: bool,
    ) -> None:
        n = len(start) // max(1, len(pixels))
        self.prior, self.points, self.root, self.start = prior, points, root, start
        self.pixels, self.confidence, self.intrinsics = (
            x.repeat_interleave(n, 0) for x in (pixels, confidence, intrinsics)
        )
        self.sharpness = 1 / (weights.noise * _box(self.pixels, self.confidence))
        self.redescending = redescending
        self.limit = max(weights.outlier / weights.noise, SURE) ** 2
        pull = start.new_zeros(prior.size)
        pull[3 : 3 + prior.count], pull[-13:-3] = weights.pose, weights.shape
        self.pull = pull
        self.units = torch.ones_like(start)
        everyone = torch.arange(len(start), device=start.device)
        _, _, curvature = self.model(torch.zeros_like(start), everyone)
        self.units = curvature.diagonal(dim1=-2, dim2=-1).clamp_min(1e-6).rsqrt()

    def evaluate(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Losses and gradients."""
        numbers, frames, jacobian, error, slope, share, loss = self._residuals(x, rows)
        push = ((share * self.sharpness[rows, None])[..., None] * error).unsqueeze(-2) @ slope  # (r, 21, 1, 3)
        at_points = (push.squeeze(-2).mT @ self.points.to_joints.mT).flatten(1)
        gradient = self.prior.pull((jacobian.flatten(2) @ at_points.unsqueeze(-1)).squeeze(-1), frames)
        return loss, 2 * (gradient + self.pull * numbers) * self.units[rows]

    def model(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Losses, half gradients and half Gauss and Newton's matrices."""
        numbers, frames, jacobian, error, slope, share, loss = self._residuals(x, rows)
        at_joints = (jacobian @ self.points.to_joints).permute(0, 3, 2, 1)  # (r, 21, 3, 61)
        root = share.sqrt()[..., None]
        rows_of = (slope @ at_joints * (self.sharpness[rows, None, None, None] * root[..., None])).flatten(1, 2).mT
        pulled = self.prior.pull(rows_of, frames) * self.units[rows, :, None]
        gradient = (pulled @ (root * error).flatten(1).unsqueeze(-1)).squeeze(-1)
        matrix = pulled @ pulled.mT
        matrix.diagonal(dim1=-2, dim2=-1).add_(self.pull * self.units[rows].square())
        return loss, gradient + self.pull * numbers * self.units[rows], matrix

    def marquardt(self, x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """Levenberg and Marquardt's steps, each row damped by itself."""
        damping = x.new_full((len(x),), 1e-2)
        everyone = torch.arange(len(x), device=x.device)
        going = torch.ones_like(everyone, dtype=torch.bool)
        loss, gradient, matrix = self.model(x, everyone)
        for _ in range(steps):
            rows = torch.nonzero(going)[:, 0]
            if not len(rows):
                break
            tried = x[rows] + solve(matrix[rows], -gradient[rows], damping[rows])
            found = self.model(tried, rows)
            better = found[0] < loss[rows]
            gain = loss[rows] - found[0]
            going[rows] = torch.where(better, gain > 1e-5 * loss[rows], damping[rows] < 1e4)
            damping[rows] = torch.where(better, damping[rows] * 0.3, damping[rows] * 5).clamp_min(1e-7)
            taken = rows[better]
            x = x.index_copy(0, taken, tried[better])
            for old, new in zip((loss, gradient, matrix), found, strict=True):
                old[taken] = new[better]
        return x, loss

    def _residuals(self, x: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
        numbers = self.start[rows] + x * self.units[rows]
        linear, frames = self.prior.linearize(self.points, self.root[rows], numbers)
        joints = (linear.points @ self.points.to_joints).mT
        camera = self.intrinsics[rows].unsqueeze(1)
        image = (camera @ joints.unsqueeze(-1)).squeeze(-1)
        behind = (joints[..., 2] < NEAREST).any(-1)
        depth = image[..., 2:].clamp_min(1e-6)
        seen = image[..., :2] / depth
        slope = (camera[..., :2, :] - seen.unsqueeze(-1) * camera[..., 2:, :]) / depth.unsqueeze(-1)
        error = (seen - self.pixels[rows]) * self.sharpness[rows, None, None]
        square = error.square().sum(-1)
        # Far from the hand every residual pulls (pseudo-Huber); near it, wild ones no longer do (Geman-McClure).
        if self.redescending:
            share = (self.limit / (self.limit + square)).square()
            robust = self.limit * square / (self.limit + square)
        else:
            share = (1 + square / self.limit).rsqrt()
            robust = 2 * self.limit * (1 / share - 1)
        confidence = self.confidence[rows]
        loss = (confidence * robust).sum(-1) + (self.pull * numbers.square()).sum(-1)
        loss = torch.where(behind | ~loss.isfinite(), torch.inf, loss)
        return numbers, frames, linear.jacobian, error, slope, confidence * share, loss


def _box(pixels: Tensor, confidence: Tensor) -> Tensor:
    """The longer side of the box of what was seen, pixels."""
    seen = (confidence > 0)[..., None]
    low, high = pixels.masked_fill(~seen, torch.inf).amin(1), pixels.masked_fill(~seen, -torch.inf).amax(1)
    return torch.where(seen.any(1), high - low, 1.0).amax(-1).clamp_min(1.0)


def _starts(
    prior: PCAPrior, pixels: Tensor, confidence: Tensor, intrinsics: Tensor, restarts: int
) -> tuple[Tensor, Tensor]:
    """Root rotations and numbers of the mean hand as the best directions show it, (b restarts, ...)."""
    b = len(pixels)
    views = _views().to(pixels)
    mean = torch.zeros(VIEWS, prior.size).to(pixels)
    joints = prior.hand.regress(prior.hand(*prior.place(views, mean)).vertices)  # (v, 21, 3)
    counts = torch.full((21,), OTHERS).to(pixels)
    counts[list(PALM)] = 1
    share = counts * confidence
    share = share / share.sum(-1, keepdim=True).clamp_min(1e-12)  # (b, 21)
    middle, target = share @ joints.flatten(1).view(VIEWS, 21, 3), (share[..., None] * pixels).sum(1)
    middle = middle.transpose(0, 1)  # (b, v, 3)
    flat = torch.view_as_complex((joints[None, ..., :2] - middle[:, :, None, :2]).contiguous())
    seen = torch.view_as_complex((pixels - target[:, None]).contiguous())
    size = (share[:, None] * flat.abs().square()).sum(-1).clamp_min(1e-12)
    turn = (share[:, None] * flat.conj() * seen[:, None]).sum(-1) / size  # rotation and scale at once
    explained = turn.abs().square() * size
    best = explained.topk(restarts, dim=1).indices.flatten()
    rows = torch.arange(b, device=best.device).repeat_interleave(restarts)
    turn = turn[rows, best]
    zero = torch.zeros_like(turn.real)
    spin = axis_angle_to_matrix(torch.stack((zero, zero, torch.angle(turn)), -1))
    focal = (intrinsics[rows, 0, 0] + intrinsics[rows, 1, 1]) / 2
    depth = torch.where(turn.abs() > 1e-9, focal / turn.abs().clamp_min(1e-9), ALONE).clamp(0.1, 100.0)
    inverse, _ = torch.linalg.inv_ex(intrinsics[rows])
    ray = (inverse @ torch.cat((target, torch.ones_like(target[:, :1])), 1)[rows].unsqueeze(-1)).squeeze(-1)
    numbers = torch.zeros(len(rows), prior.size).to(pixels)
    numbers[:, -3:] = ray * depth[:, None] - (spin @ middle[rows, best].unsqueeze(-1)).squeeze(-1)
    return spin @ views[best], numbers


def _views() -> Float[Tensor, "v 3 3"]:
    """Rotations whose third rows, the directions that are seen from, are spread over the sphere (Fibonacci)."""
    i = torch.arange(VIEWS, dtype=torch.float64) + 0.5
    z, angle = 1 - 2 * i / VIEWS, i * math.pi * (1 + 5**0.5)
    radius = (1 - z.square()).sqrt()
    third = torch.stack((radius * angle.cos(), radius * angle.sin(), z), -1)
    first = torch.linalg.cross(third, torch.tensor([0.3, 0.5, 0.8]).double().expand_as(third))
    first = first / first.norm(dim=-1, keepdim=True)
    return torch.stack((first, torch.linalg.cross(third, first), third), 1).float()
