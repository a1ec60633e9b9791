"""How far text attention goes along its gradient: functions of time and iteration."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from zoo.guidance.attention_scores import Generators, uniform
from zoo.shapes import Float, Time

Alpha = Callable[[Time, int, int, int], Float[Tensor, " b"]]  # (t, T, iteration, iterations) -> alpha of each row
AlphaName = Literal["falling", "inner", "random"]


def falling(t: Time, steps: int, iteration: int, iterations: int) -> Float[Tensor, " b"]:
    """From 20 in noise to 10 at the clean signal (the paper, after equation 4): 10 + 10 t / (T - 1)."""
    return 10 + 10 * t.float() / max(steps - 1, 1)


def inner(t: Time, steps: int, iteration: int, iterations: int) -> Float[Tensor, " b"]:
    """The released code's, whatever the time: 20 sqrt(s), s from 1 in the first iteration to 0.5 in the last."""
    share = iteration / max(iterations - 1, 1)
    return torch.full_like(t, 0, dtype=torch.float32) + 20 * (1 - 0.5 * share) ** 0.5


def alphas(
    which: AlphaName | Alpha, t: Time, steps: int, iteration: int, iterations: int, generator: Generators
) -> Float[Tensor, " b"]:
    """Of each row.

    Args:
        which: `random` draws between 0 and 30, of the mean of `falling` but without its order: the paper's ablation
            without regularisation, whose range it does not give.
        t: Times of the rows.
        steps: T.
        iteration: From 0.
        iterations: How many there are at most.
        generator: For `random`.
    """
    if which == "random":
        return uniform(t, 0.0, 30.0, generator)
    rule = {"falling": falling, "inner": inner}[which] if isinstance(which, str) else which
    return rule(t, steps, iteration, iterations)
