"""What a task is: cases in, hands out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.batch import Given, Hands
from zoo.commands.tasks.case import Case, Unreadable
from zoo.guidance.base import Diverged, Guidance
from zoo.models.base import HandMethod
from zoo.samplers.noise import seeded
from zoo.shapes import Float, Joints, Vertices


@dataclass(frozen=True)
class Outcome:
    """The hypotheses of one hand, best first, as the hand is: left hands left, in the frame they were given in.

    Args:
        case: What it was made from.
        vertices: (n, 778, 3) metres.
        joints: (n, 21, 3) metres.
        scores: By name with its unit; (n,) each.
        camera: (3, 3) of the image, pixels, or None.
        size: Height and width of the image, or None.
        extras: Further arrays for the file.
    """

    case: Case
    vertices: Vertices
    joints: Joints
    scores: dict[str, Float[Tensor, " n"]] = field(default_factory=dict)
    camera: Float[Tensor, "3 3"] | None = None
    size: tuple[int, int] | None = None
    extras: dict[str, NDArray[Any]] = field(default_factory=dict)


class Task(ABC):
    """Makes hands with a method.

    Args:
        method: Samples them.
        n: Hypotheses for each.
        guide: Strength of the guidance; 1 is usual, 0 none.
    """

    def __init__(self, method: HandMethod, n: int = 1, guide: float = 1.0) -> None:
        self.method, self.n, self.guide = method, n, guide

    @abstractmethod
    def solve(self, cases: Sequence[Case]) -> list[Outcome | Unreadable]:
        """The hands of some cases, in their order; for each one that cannot be made, why."""

    @property
    def understands(self) -> list[str]:
        """Which of image, skeleton2d and skeleton3d the method takes."""
        conditioner: Any = getattr(self.method, "conditioner", None)
        return list(getattr(conditioner, "names", ("skeleton2d", "skeleton3d")))

    @property
    def image_side(self) -> int | None:
        """Side of the images that the method takes, pixels; None when it takes none."""
        if "image" not in self.understands:
            return None
        conditioner: Any = self.method.conditioner
        return int(conditioner.parts["image"].size)

    def sample(
        self, given: Given, cases: Sequence[Case], guidance: Sequence[Guidance] = ()
    ) -> tuple[Hands, dict[int, str]]:
        """Samples, on the CPU, and reasons for rows that came out as no hands."""
        seeds = [int(seed) for case in cases for seed in np.random.SeedSequence(case.draw).generate_state(self.n)]
        extra: dict[str, Any] = {"guidance": list(guidance)} if guidance else {}
        reasons: dict[int, str] = {}
        try:
            hands = self.method.sample(given, self.n, seeded(seeds), len(cases), **extra)
        except Diverged as error:
            hands = error.hands
            for row in error.rows:
                many = int(error.which[row].sum())
                reasons[row] = f"guidance diverged in {many} of {self.n} hypotheses; give a smaller --guide, or 0"
        hands = Hands(vertices=hands["vertices"].float().cpu(), joints=hands["joints"].float().cpu())
        finite = hands["vertices"].isfinite().flatten(1).all(1)
        for row in torch.nonzero(~finite)[:, 0].tolist():
            reasons.setdefault(row, "the model's answer is not finite")
        return hands, reasons


def best_first(score: Float[Tensor, " n"], *others: Tensor) -> list[Tensor]:
    """Tensors of n rows, ordered by a score, the smallest first."""
    order = score.argsort()
    return [other[order] for other in others]
