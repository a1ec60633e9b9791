"""Condition-aligned gradient guidance (HHMR, section 4.3): estimates go down the gradient of what they disagree with.

The score of the guided distribution is that of the prior plus the gradient of the log-likelihood, so by Tweedie's
formula its estimate of the clean signal is x0 - (1 - alpha_bar) / sqrt(alpha_bar) grad_{x_t} L: the correction of the
score of classifier guidance (Dhariwal and Nichol 2021). It moves x0 and leaves x_t, therefore it serves every sampler,
also DDIM with eta = 0, whose variance, by which a shift of the mean would be multiplied, is nothing.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from zoo.diffusion import Denoise, Estimate, NoiseSchedule
from zoo.guidance.base import Guidance
from zoo.guidance.operators import Operator, Residual
from zoo.guidance.strength import STRENGTHS, Strength, StrengthName
from zoo.shapes import Float, Signal, Time

Norm = Literal["l2_squared", "l2", "l1"]
TOLERANCE, WORST = 2.0, 0.25  # a mean residual above 2 times the first, and above 0.25 units, has diverged


@dataclass(frozen=True, eq=False)
class AlignedGradient(Guidance):
    """Makes estimates agree with observations.

    Each step takes g, the gradient of the norm of the operator's residual, and moves the estimate by -step * g. Rows
    without any observation stay as they are, bit for bit; so does everything at scale 0.

    Args:
        operator: What to agree with.
        scale: Of the step; what it means is up to `normalize`.
        norm: l2_squared is the weighted mean of squared distances, l2 its root, l1 the weighted mean of absolute
            coordinates. Gradients are finite, also where the residual is zero.
        wrt: `x_t` goes through the network, so the whole hand moves with what is observed; `x0` costs almost nothing
            and moves only the vertices that the operator reads, which the next steps smooth.
        scale_by_variance: Times the variance of what x_t leaves open of x0: (1 - alpha_bar) / sqrt(alpha_bar) for
            x_t, which is the score's correction, and 1 - alpha_bar for x0.
        normalize: `none` takes scale * g; `unit` scale * g / ||g||, a length in the signal's unit; `share` the step
            that removes this share of the residual, to first order (Polyak's), comparable between operators.
        clip: The furthest that a vertex may move in a step, in the signal's unit; None for any distance.
        window: Where it acts, as shares of all times: 0 is clean, 1 pure noise.
        schedule: What the scale is multiplied by at which noise: a name, or a function of alpha_bar.
    """

    needs_gradient: ClassVar[bool] = True

    operator: Operator
    scale: float = 0.5
    norm: Norm = "l2_squared"
    wrt: Literal["x_t", "x0"] = "x_t"
    scale_by_variance: bool = False
    normalize: Literal["none", "unit", "share"] = "share"
    clip: float | None = 0.5
    window: tuple[float, float] = (0.0, 1.0)
    schedule: StrengthName | Strength = "constant"

    def __post_init__(self) -> None:
        low, high = self.window
        if self.scale < 0 or not 0 <= low < high <= 1:
            raise ValueError(
                f"AlignedGradient(scale={self.scale}, window={self.window}): the scale is at least 0, "
                "and the window rises within 0 (clean) to 1 (pure noise)."
            )

    def __call__(self, denoise: Denoise, unconditional: Denoise, schedule: NoiseSchedule) -> Denoise:
        return denoise if self.scale == 0 else _Aligned(self, denoise, schedule)

    def loss(self, residual: Residual) -> Float[Tensor, " r"]:
        """The norm of each row's residual."""
        vectors, weights = residual
        share = weights / weights.sum(-1, keepdim=True).clamp_min(1e-12)
        if self.norm == "l1":
            return (share * vectors.abs().sum(-1)).sum(-1)
        square = (share * vectors.square().sum(-1)).sum(-1)
        return square if self.norm == "l2_squared" else (square + 1e-12).sqrt()


class _Aligned:
    """One sampling run's guided denoiser; remembers how far off its first estimates were."""

    def __init__(self, guide: AlignedGradient, denoise: Denoise, schedule: NoiseSchedule) -> None:
        self.guide, self.denoise, self.schedule = guide, denoise, schedule
        self.allowed: Tensor | None = None

    def __call__(self, x: Signal, t: Time) -> Estimate:
        low, high = self.guide.window
        when = t / max(self.schedule.steps - 1, 1)
        inside = (when >= low) & (when <= high)
        if t.device.type == "cpu" and not bool(inside.any()):  # elsewhere a look at it would make the host wait
            return self.denoise(x, t)
        nested = torch.is_grad_enabled() and x.requires_grad  # an outer guidance differentiates through this one
        with torch.inference_mode(False), torch.enable_grad():
            if not nested:
                x = x.detach().clone()
            estimate, shift, active = self.step(x, t, keep=nested)
            moving = (active & inside).view(-1, *[1] * (x.dim() - 1))
            x0 = torch.where(moving, estimate.x0 - shift, estimate.x0)
        with torch.no_grad():
            lost = self.lost(estimate.x0.detach(), x0.detach()).view_as(moving)
        x0 = torch.where(lost, torch.nan, x0)
        return Estimate(x0, estimate.x_t) if nested else Estimate(x0.detach(), estimate.x_t.detach())

    def step(self, x: Signal, t: Time, keep: bool) -> tuple[Estimate, Signal, Tensor]:
        """The plain estimate, what to take off it, and which rows have anything observed."""
        guide = self.guide
        through = guide.wrt == "x_t"
        if through:
            estimate = self.denoise(x if keep else x.requires_grad_(), t)
        else:
            with torch.set_grad_enabled(keep):
                estimate = self.denoise(x, t)
        leaf = estimate.x0.detach().float().requires_grad_()
        with torch.autocast(x.device.type, enabled=False):
            residual = guide.operator.residual(leaf)
            active = residual.weights.sum(-1) > 0
            loss = guide.loss(residual)
            (at_x0,) = torch.autograd.grad(loss.sum(), leaf)
        at_x0 = at_x0.detach()
        g = at_x0
        if through:
            (g,) = torch.autograd.grad(estimate.x0, x, at_x0.to(estimate.x0.dtype), retain_graph=keep)
            g = g.detach().float()
        with torch.no_grad():
            shift = self.scaled(g, at_x0, loss.detach(), t)
        return estimate, shift.to(estimate.x0.dtype), active

    def scaled(self, g: Signal, at_x0: Signal, loss: Tensor, t: Time) -> Signal:
        """The step along g."""
        guide, level = self.guide, self.schedule.alpha_bar[t]
        strength = STRENGTHS[guide.schedule] if isinstance(guide.schedule, str) else guide.schedule
        factor = guide.scale * strength(level)
        if guide.scale_by_variance:
            factor = factor * (1 - level) / (level.sqrt() if guide.wrt == "x_t" else 1)
        if guide.normalize == "unit":
            factor = factor / g.flatten(1).norm(dim=1).clamp_min(1e-12)
        elif guide.normalize == "share":
            # To first order the loss falls by <at_x0, g> a unit of the step; a squared loss twice as fast as its root.
            falls = (at_x0 * g).flatten(1).sum(1)
            least = 0.1 * at_x0.flatten(1).norm(dim=1) * g.flatten(1).norm(dim=1)
            factor = factor * loss * (2 if guide.norm == "l2_squared" else 1) / falls.maximum(least).clamp_min(1e-20)
        shift = factor.view(-1, *[1] * (g.dim() - 1)) * g
        if guide.clip is not None:
            longest = shift.norm(dim=-1).flatten(1).amax(1)
            shift = shift * (guide.clip / longest.clamp_min(guide.clip)).view(-1, *[1] * (g.dim() - 1))
        return shift

    def lost(self, before: Signal, after: Signal) -> Tensor:
        """Rows that have diverged: not finite, or far more wrong than they were before any guidance."""
        with torch.autocast(before.device.type, enabled=False):
            error = self.guide.operator.error(after.float())
            if self.allowed is None:
                self.allowed = (TOLERANCE * self.guide.operator.error(before.float())).clamp_min(WORST)
        return ~(error <= self.allowed)  # NaN too
