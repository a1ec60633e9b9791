"""The text attention stage of AttentionHand (section 3.2): noisy latents move so that words for hands are attended to.

The gradient of how much the worst attended token lacks, taken through the denoiser's cross-attention maps, moves x_t
(equations 2 to 4). In training the network then learns to remove the noise that lies between x_0 and the moved x_t.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from zoo.diffusion import NoiseSchedule
from zoo.guidance.attention_scores import (
    Axis,
    Generators,
    PerToken,
    contrast,
    imbalance,
    kept_maps,
    neglect,
    smooth,
    uniform,
)
from zoo.guidance.attention_steps import Alpha, AlphaName, alphas
from zoo.shapes import AttentionMaps, Bool, Float, Int, Latents, Time, Tokens

Attend = Callable[[Latents, Time, Tokens], AttentionMaps]  # (x_t, t, text states) -> maps; rows are independent
Positions = Sequence[Sequence[int]]  # of each row's hand tokens in the text states; 0 is the start token
LOSS_SCALE = 1024.0  # a power of two, so exact: gradients on their way through half-precision layers do not vanish


class Moved(NamedTuple):
    """Noisy latents after text attention; nothing of it carries gradients."""

    x_t: Latents
    loss_before: Float[Tensor, " b"]  # 0 where it did not act
    loss_after: Float[Tensor, " b"] | None  # None where it was not asked for
    updates: Int[Tensor, " b"]  # gradient steps of each row; 0 where it did not act


@dataclass(frozen=True, eq=False)
class TextAttention:
    """Everything that the text attention stage may do differently; the defaults are the paper's.

    Where the paper is silent, on temperature, axis and the dropping of tokens, they are the released code's.

    Args:
        over: Tokens among which the worst is looked for: words for hands, or all of the text (equation 3).
        refined: Tokens whose maps are refined (equation 2); the others' are taken as they are.
        refinement: Smoothing after the softmax: the same kernel always, or for the ablation a kernel of random width
            (0.2 to 4 sigma; each row and iteration anew), or none.
        sigma: Of the kernel exp(-(d / 2 sigma)^2), places.
        size: Side of the kernel, places.
        axis: The softmax is between the tokens at each place, or between the places of each token.
        temperature: What probabilities are multiplied by before the softmax.
        drop: Leaves out the first and the last token, which hold no word.
        objective: `max` is equation 3. `balanced` is the ablation's load-balancing loss, which the paper names and
            does not spell out: ours is Switch Transformer's, over all tokens of the text.
        alpha: Step size: `falling` with t from 20 to 10, `inner` over the iterations from 20 to 14.1, `random`, or a
            function of (t, T, iteration, iterations).
        scale: Multiplies alpha; 0 leaves everything where it is.
        iterations: Gradient steps.
        enough: Attention, 1 - loss, with which a row needs no further step; None for no early stop.
        milestones: At sampling, step number to attention that must be reached there, within `refinements` gradient
            steps (Attend-and-Excite: {0: 0.05, 10: 0.5, 20: 0.8}); elsewhere `iterations` and `enough` hold.
        refinements: See `milestones`.
        window: Where it acts, as shares of all times: 0 is clean, 1 pure noise.
        clip: The furthest that a row may move in all, root mean square over its entries, in standard deviations of the
            noise: the residual noise is that far from the noise at most. Without it the division by
            sqrt(1 - alpha_bar) magnifies the step up to 34 times. None for any distance.
        absent: Rows without a word for hands stay `still`, or attend to the `last` slot of the text.
        target: What is predicted in training: the residual noise between x_0 and the moved x_t, or the noise as drawn.
        at: When it acts.
    """

    over: Literal["hand", "all"] = "all"
    refined: Literal["hand", "all"] = "hand"
    refinement: Literal["gaussian", "random", "none"] = "gaussian"
    sigma: float = 0.5
    size: int = 3
    axis: Axis = "tokens"
    temperature: float = 100.0
    drop: bool = True
    objective: Literal["max", "balanced"] = "max"
    alpha: AlphaName | Alpha = "falling"
    scale: float = 1.0
    iterations: int = 1
    enough: float | None = None
    milestones: dict[int, float] | None = None
    refinements: int = 20
    window: tuple[float, float] = (0.0, 1.0)
    clip: float | None = 0.5
    absent: Literal["still", "last"] = "still"
    target: Literal["residual", "noise"] = "residual"
    at: Literal["train", "sample", "both", "none"] = "both"

    def __post_init__(self) -> None:
        low, high = self.window
        positive = self.sigma > 0 and self.temperature > 0 and (self.clip is None or self.clip > 0)
        if self.scale < 0 or min(self.iterations, self.refinements) < 1 or not positive or not 0 <= low < high <= 1:
            raise ValueError(
                f"TextAttention(scale={self.scale}, iterations={self.iterations}, refinements={self.refinements}, "
                f"sigma={self.sigma}, temperature={self.temperature}, clip={self.clip}, window={self.window}): the "
                "scale is at least 0, there is at least one iteration, widths and limits are positive, and the window "
                "rises within 0 (clean) to 1 (pure noise). Set them under --model.tas."
            )

    def loss(
        self, maps: AttentionMaps, tokens: Positions, lengths: Sequence[int] | None = None, generator: Generators = None
    ) -> Float[Tensor, " b"]:
        """The loss of each row, float32; 0 where no token counts.

        Args:
            maps: (b, r, r, n) probabilities.
            tokens: Positions of each row's words for hands.
            lengths: Of each row, the position of the end token, so that padding does not count as text; None counts
                every slot.
            generator: For a random refinement, one or one a row.
        """
        with torch.autocast(maps.device.type, enabled=False):  # the smoothing would be done in half precision
            return self._loss(kept_maps(maps), tokens, lengths, generator)

    def _loss(
        self, raw: PerToken, tokens: Positions, lengths: Sequence[int] | None, generator: Generators
    ) -> Float[Tensor, " b"]:
        n, edge = raw.shape[1], int(self.drop)
        hand, text = (mask.to(raw.device)[:, edge : n - edge] for mask in self._masks(tokens, lengths, n))
        raw = raw[:, edge : n - edge]
        refined = self._refine(contrast(raw, self.temperature, self.axis), generator)
        acts = hand.any(1)
        if self.objective == "balanced":
            return torch.where(acts, imbalance(refined, text), 0)
        if self.refined == "hand" and self.over == "all":
            refined = torch.where(hand[..., None, None], refined, raw)
        counted = hand if self.over == "hand" else (text | hand) & acts[:, None]
        return neglect(refined.amax((2, 3)), counted)

    def move(
        self,
        attention: Attend,
        x_t: Latents,
        t: Time,
        states: Tokens,
        tokens: Positions,
        schedule: NoiseSchedule,
        lengths: Sequence[int] | None = None,
        generator: Generators = None,
        measure: bool = False,
        step: int | None = None,
    ) -> Moved:
        """Equation 4, as often as asked for. Works within no_grad and inference mode; rows do not affect each other.

        Args:
            attention: The maps, differentiable in the latents.
            x_t: (b, c, h, w)
            t: (b,)
            states: (b, n, d)
            tokens: Positions of each row's words for hands.
            schedule: Of the noise.
            lengths: See `loss`.
            generator: For random steps and refinements, one or one a row.
            measure: Also computes the loss after the last step, which costs a forward pass.
            step: Number of the sampling step, for the milestones.
        """
        given = _Rows(x_t, t, states, tokens, lengths, generator)
        goal = None if step is None else (self.milestones or {}).get(step)
        iterations, enough = (self.iterations, self.enough) if goal is None else (self.refinements, goal)
        rows = going = self._acting(t, tokens, schedule.steps)
        with torch.inference_mode(False), torch.enable_grad():
            before, after = torch.zeros(2, len(x_t), device=x_t.device)
            off, updates = torch.zeros(x_t.shape, device=x_t.device), torch.zeros_like(t)
            for i in range(iterations if rows else 0):
                part, index = given.take(going), torch.tensor(going, device=t.device)
                here = (part.x_t.float() + off[index]).requires_grad_()
                loss = self.loss(attention(here, part.t, part.states), part.tokens, part.lengths, part.generator)
                if i == 0:
                    before[index] = loss.detach()
                needy = torch.ones_like(loss, dtype=torch.bool)
                if enough is not None:  # the host waits for the device, to spare it what follows
                    needy = loss.detach() > 1 - enough
                    going = [row for row, needs in zip(going, needy.tolist(), strict=True) if needs]
                    if not going:
                        break
                (gradient,) = torch.autograd.grad(loss.sum() * LOSS_SCALE, here)
                alpha = self.scale * alphas(self.alpha, part.t, schedule.steps, i, iterations, part.generator)
                further = self._clipped(off[index] - _column(alpha) * gradient / LOSS_SCALE, part.t, schedule)
                off[index] = torch.where(_column(needy), further, off[index])
                updates[index] += needy
            moved = (x_t.detach().float() + off).to(x_t.dtype)
            if measure and rows:
                part, index = given.take(rows), torch.tensor(rows, device=t.device)
                with torch.no_grad():
                    maps = attention(moved[index].float(), part.t, part.states)
                    after[index] = self.loss(maps, part.tokens, part.lengths, part.generator)
        return Moved(moved, before, after if measure else None, updates)

    def noise(self, eps: Latents, x_t: Latents, x0: Latents, t: Time, schedule: NoiseSchedule) -> Latents:
        """What the network is to predict from the moved latents (equations 7 to 9).

        Args:
            eps: As drawn.
            x_t: Moved.
            x0: Clean latents.
            t: (b,)
            schedule: Of the noise.
        """
        return residual_noise(x_t, x0, t, schedule) if self.target == "residual" else eps

    def _acting(self, t: Time, tokens: Positions, steps: int) -> list[int]:
        """Rows within the window that have something to attend to."""
        rows = [row for row, own in enumerate(tokens) if own or self.absent == "last"]
        if self.window == (0.0, 1.0):
            return rows
        low, high = (bound * max(steps - 1, 1) for bound in self.window)
        return [row for row, when in enumerate(t.tolist()) if low <= when <= high and row in rows]

    def _clipped(self, off: Latents, t: Time, schedule: NoiseSchedule) -> Latents:
        if self.clip is None:
            return off
        limit = self.clip * (1 - schedule.alpha_bar[t]).sqrt()
        far = off.flatten(1).square().mean(1).sqrt()
        return off * _column(limit / far.maximum(limit).clamp_min(1e-12))

    def _refine(self, maps: PerToken, generator: Generators) -> PerToken:
        if self.refinement == "none":
            return maps
        sigma = torch.full((len(maps),), self.sigma, device=maps.device)
        if self.refinement == "random":
            sigma = sigma * uniform(sigma, 0.2, 4.0, generator)
        return smooth(maps, sigma, self.size)

    def _masks(
        self, tokens: Positions, lengths: Sequence[int] | None, n: int
    ) -> tuple[Bool[Tensor, "b n"], Bool[Tensor, "b n"]]:
        """Which slots of the text states are words for hands, and which are words at all."""
        edge = int(self.drop)
        hand, text = torch.zeros(2, len(tokens), n, dtype=torch.bool)
        for row, own in enumerate(tokens):
            for position in own:
                if not edge <= position < n - edge:
                    raise ValueError(
                        f"Token {position} of row {row} was given as a word for hands; of {n} text states those from "
                        f"{edge} to {n - 1 - edge} hold words. Give positions in the text states, 0 being the start."
                    )
                hand[row, position] = True
            if not own and self.absent == "last":
                hand[row, n - 1 - edge] = True
            text[row, edge if lengths is None else 1 : n - edge if lengths is None else lengths[row]] = True
        return hand, text


@dataclass(frozen=True, eq=False)
class _Rows:
    """What belongs to each row."""

    x_t: Latents
    t: Time
    states: Tokens
    tokens: Positions
    lengths: Sequence[int] | None
    generator: Generators

    def __post_init__(self) -> None:
        for name, given in (("tokens", self.tokens), ("lengths", self.lengths)):
            if given is not None and len(given) != len(self.x_t):
                raise ValueError(f"Text attention got {name} of {len(given)} rows for {len(self.x_t)} latents.")

    def take(self, rows: list[int]) -> "_Rows":
        """Copies of some rows: what inference mode made is not for autograd, copies are."""
        index = torch.tensor(rows, device=self.t.device)
        return _Rows(
            self.x_t[index].detach(),
            self.t[index],
            self.states[index].detach(),
            [self.tokens[row] for row in rows],
            None if self.lengths is None else [self.lengths[row] for row in rows],
            self.generator
            if self.generator is None or isinstance(self.generator, torch.Generator)
            else [self.generator[row] for row in rows],
        )


def residual_noise(x_t: Latents, x0: Latents, t: Time, schedule: NoiseSchedule) -> Latents:
    """The noise that lies between x_0 and the moved x_t: eps - alpha grad / sqrt(1 - alpha_bar), by equation 4.

    Its distance from eps is clipped where x_t is (`TextAttention.clip`), so that x_t stays x_0 with this very noise.
    """
    return schedule.from_x0(x0.float(), x_t.float(), t, "eps").to(x_t.dtype)


def _column(rows: Float[Tensor, " b"] | Bool[Tensor, " b"]) -> Tensor:
    return rows[:, None, None, None]
