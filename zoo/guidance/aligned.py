"""Condition-aligned gradient guidance (HHMR, section 4.3): estimates go down the gradient of what they disagree with.

The score of the guided distribution is that of the prior plus the gradient of the log-likelihood, so by Tweedie's
formula its estimate of the clean signal is x0 - (1 - alpha_bar) / sqrt(alpha_bar) grad_{x_t} L: the correction of the
score of classifier guidance (Dhariwal and Nichol 2021). It moves x0 and leaves x_t, therefore it serves every sampler,
also DDIM with eta = 0, whose variance, by which a shift of the mean would be multiplied, is nothing.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor

from zoo.diffusion import Denoise, Estimate, NoiseSchedule
from zoo.guidance.base import Guidance
from zoo.guidance.operators import Operator, Residual
from zoo.guidance.strength import STRENGTHS, Strength, StrengthName
from zoo.shapes import Bool, Float, Signal, Time

Norm = Literal["l2_squared", "l2", "l1"]
TOLERANCE, WORST = 3.0, 0.5  # a mean residual above 3 times the first, and above half a unit, has diverged


@dataclass(frozen=True, eq=False)
class AlignedGradient(Guidance):
    """Makes estimates agree with observations.

    Every step takes g, the gradient of the norm of the operator's residual, and moves by -step * g. Rows without any
    observation stay as they are, and so does everything at scale 0, bit for bit. The defaults are those found best
    for `PixelsAt` under a 2D condition. For more force raise `repeats`, not the scale: beyond 0.4 hands get worse. For
    several observations take one guidance of `Together`, since guidance around guidance differentiates through it.
    The score's correction as published is `AlignedGradient(operator, scale, normalize="none", moves="estimate",
    scale_by_variance=True, repeats=1, clip=None, window=(0, 1))`.

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
        clip: The furthest that a row may move at once, root mean square over its entries, in standard deviations of
            the noise, sqrt(1 - alpha_bar); None for any distance.
        window: Where it acts, as shares of all times: 0 is clean, 1 pure noise, in which a gradient means nothing.
        schedule: What the scale is multiplied by at which noise: a name, or a function of alpha_bar.
        moves: `estimate` moves x0: the score's correction. `signal` moves x_t and asks the network again, so that
            estimates are always the network's own, without dents. `both` does one after the other: the estimate only
            has to go where the network would not. With respect to x0 only the estimate moves.
        noise: Of the observation, as a root mean square in the residual's unit: what `share` removes is a share of what
            is off beyond it, and nothing within it (Morozov's discrepancy principle). Of 2D joints whose coordinates
            are off by s times the box it is sqrt(2) s.
        repeats: Moves a step. For the signal each costs an evaluation, for the estimate a backward pass through the
            one evaluation, and almost nothing with respect to x0.
    """

    needs_gradient: ClassVar[bool] = True

    operator: Operator
    scale: float = 0.3
    norm: Norm = "l2_squared"
    wrt: Literal["x_t", "x0"] = "x_t"
    scale_by_variance: bool = False
    normalize: Literal["none", "unit", "share"] = "share"
    clip: float | None = 0.2
    window: tuple[float, float] = (0.0, 0.85)
    schedule: StrengthName | Strength = "constant"
    moves: Literal["estimate", "signal", "both"] = "both"
    noise: float = 0.0
    repeats: int = 2

    def __post_init__(self) -> None:
        low, high = self.window
        if self.scale < 0 or self.repeats < 1 or not 0 <= low < high <= 1:
            raise ValueError(
                f"AlignedGradient(scale={self.scale}, repeats={self.repeats}, window={self.window}): the scale is at "
                "least 0, there is at least one repeat, and the window rises within 0 (clean) to 1 (pure noise)."
            )
        if self.noise < 0 or (self.noise and (self.normalize != "share" or self.norm == "l1")):
            raise ValueError(
                f"AlignedGradient(noise={self.noise}, normalize={self.normalize!r}, norm={self.norm!r}): noise is at "
                "least 0 and goes with normalize='share' and norm 'l2' or 'l2_squared'."
            )

    def __call__(self, denoise: Denoise, unconditional: Denoise, schedule: NoiseSchedule) -> Denoise:
        if self.scale == 0:
            return denoise
        if self.wrt == "x_t" and self.moves != "estimate":
            denoise = _AlongSignal(self, denoise, schedule)
            if self.moves == "signal":
                return denoise
        return _AlongEstimate(self, denoise, schedule)

    def inside(self, t: Time, schedule: NoiseSchedule) -> Bool[Tensor, " r"]:
        """Rows whose time lies in the window."""
        when = t / max(schedule.steps - 1, 1)
        return (when >= self.window[0]) & (when <= self.window[1])

    def gradient(self, x0: Signal) -> tuple[Signal, Float[Tensor, " r"], Bool[Tensor, " r"]]:
        """Of the loss with respect to x0, float32; the loss of each row; which rows have anything observed."""
        leaf = x0.detach().float().requires_grad_()
        with torch.autocast(x0.device.type, enabled=False), torch.enable_grad():
            residual = self.operator.residual(leaf)
            loss = self.loss(residual)
            (g,) = torch.autograd.grad(loss.sum(), leaf)
        return g, loss.detach(), residual.weights.sum(-1) > 0

    def loss(self, residual: Residual) -> Float[Tensor, " r"]:
        """The norm of each row's residual."""
        vectors, weights = residual
        share = weights / weights.sum(-1, keepdim=True).clamp_min(1e-12)
        if self.norm == "l1":
            return (share * vectors.abs().sum(-1)).sum(-1)
        square = (share * vectors.square().sum(-1)).sum(-1)
        return square if self.norm == "l2_squared" else (square + 1e-12).sqrt()

    def step(self, g: Signal, falls: Tensor, most: Tensor, loss: Tensor, level: Tensor) -> Signal:
        """What to take off.

        Args:
            g: The gradient, along which to go.
            falls: (r,) how fast the loss falls along g, to first order.
            most: (r,) how fast it would, if g were all of its gradient with respect to what is moved.
            loss: (r,) now.
            level: (r,) alpha_bar.
        """
        strength = STRENGTHS[self.schedule] if isinstance(self.schedule, str) else self.schedule
        factor = self.scale * strength(level)
        if self.scale_by_variance:
            factor = factor * (1 - level) / (level.sqrt() if self.wrt == "x_t" else 1)
        if self.normalize == "unit":
            factor = factor / g.flatten(1).norm(dim=1).clamp_min(1e-12)
        elif self.normalize == "share":
            twice = 2 if self.norm == "l2_squared" else 1  # a squared residual falls twice as fast as its root
            root = loss.sqrt() if self.norm == "l2_squared" else loss
            beyond = (root - self.noise).clamp_min(0) / root.clamp_min(1e-12) if self.noise else 1.0
            factor = factor * beyond * twice * loss / falls.maximum(0.1 * most).clamp_min(1e-20)
        step = factor.view(-1, *[1] * (g.dim() - 1)) * g
        if self.clip is not None:
            far, limit = step.flatten(1).square().mean(1).sqrt(), self.clip * (1 - level).sqrt()
            step = step * (limit / far.maximum(limit).clamp_min(1e-12)).view(-1, *[1] * (g.dim() - 1))
        return step


class _Descent(ABC):
    """A guided denoiser; remembers how far off its first estimates were."""

    def __init__(self, guide: AlignedGradient, denoise: Denoise, schedule: NoiseSchedule) -> None:
        self.guide, self.denoise, self.schedule = guide, denoise, schedule
        self.allowed: Tensor | None = None

    def __call__(self, x: Signal, t: Time) -> Estimate:
        inside = self.guide.inside(t, self.schedule)
        if t.device.type == "cpu" and not bool(inside.any()):  # elsewhere a look at it would make the host wait
            return self.denoise(x, t)
        nested = torch.is_grad_enabled() and x.requires_grad  # an outer guidance differentiates through this one
        with torch.inference_mode(False), torch.set_grad_enabled(nested):
            if not nested:
                x = x.detach().clone()  # what was made in inference mode cannot take part in autograd
            x0, x_t = self.moved(x, t, inside)
            lost = self.lost(x0.detach()).view(-1, *[1] * (x0.dim() - 1))
            x0 = torch.where(lost, torch.nan, x0)
        return Estimate(x0, x_t)

    @abstractmethod
    def moved(self, x: Signal, t: Time, inside: Tensor) -> Estimate:
        """The guided estimate; calls `remember` with the first plain one. Part of a graph where x is."""

    def column(self, rows: Tensor, like: Signal) -> Tensor:
        """A number a row, shaped to go with the signal."""
        return rows.view(-1, *[1] * (like.dim() - 1))

    @torch.no_grad()
    def remember(self, x0: Signal) -> None:
        """Takes the first plain estimate as the measure of all later ones."""
        if self.allowed is None:
            with torch.autocast(x0.device.type, enabled=False):
                self.allowed = (TOLERANCE * self.guide.operator.error(x0.detach().float())).clamp_min(WORST)

    @torch.no_grad()
    def lost(self, x0: Signal) -> Tensor:
        """Rows that have diverged: not finite, or far more wrong than before any guidance."""
        with torch.autocast(x0.device.type, enabled=False):
            return ~(self.guide.operator.error(x0.float()) <= cast(Tensor, self.allowed))  # NaN too


class _AlongEstimate(_Descent):
    """Moves x0, along the gradient with respect to x0 or, through the network, to x_t."""

    def moved(self, x: Signal, t: Time, inside: Tensor) -> Estimate:
        guide, level, nested = self.guide, self.schedule.alpha_bar[t], x.requires_grad
        through = guide.wrt == "x_t"
        with torch.set_grad_enabled(through or nested):
            if through and not nested:
                x.requires_grad_()
            x0, x_t = self.denoise(x, t)
        self.remember(x0)
        off = torch.zeros_like(x0, dtype=torch.float32)
        for left in reversed(range(guide.repeats)):
            at_x0, loss, active = guide.gradient(x0.detach() - off)
            g = at_x0
            if through:
                (g,) = torch.autograd.grad(x0, x, at_x0.to(x0.dtype), retain_graph=nested or left > 0)
                g = g.detach().float()
            falls = (at_x0 * g).flatten(1).sum(1)
            most = at_x0.flatten(1).norm(dim=1) * g.flatten(1).norm(dim=1)
            step = guide.step(g, falls, most, loss, level)
            off = torch.where(self.column(active & inside, x0), off + step, off)
        x0, x_t = (x0, x_t) if nested else (x0.detach(), x_t.detach())
        # rows that nothing moves keep their bits, which -0.0 and rounding would change
        return Estimate(torch.where(off == 0, x0, x0 - off.to(x0.dtype)), x_t)


class _AlongSignal(_Descent):
    """Moves x_t down the gradient through the network, and asks the network again."""

    def moved(self, x: Signal, t: Time, inside: Tensor) -> Estimate:
        guide, level = self.guide, self.schedule.alpha_bar[t]
        off = torch.zeros_like(x.detach())
        for _ in range(guide.repeats):
            with torch.enable_grad():
                here = (x.detach() - off).requires_grad_()
                x0 = self.denoise(here, t).x0
            self.remember(x0)
            at_x0, loss, active = guide.gradient(x0)
            (g,) = torch.autograd.grad(x0, here, at_x0.to(x0.dtype))
            g = g.detach().float()
            falls = g.flatten(1).square().sum(1)
            step = guide.step(g, falls, falls, loss, level).to(x.dtype)
            off = torch.where(self.column(active & inside, x), off + step, off)
        return self.denoise(torch.where(off == 0, x, x - off), t)
