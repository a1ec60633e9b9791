"""Hands as a Gaussian in MANO's space: principal components of the fingers' axis-angles, and ten shapes.

The customary prior before learned ones, and the baseline of HHMR's tables.
"""

from typing import Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.hands.linearize import SHAPES, SHIFTS, Linear, SkinnedPoints, linearize
from zoo.hands.model import HandModel
from zoo.hands.poses import PosePrior
from zoo.hands.rotations import axis_angle_to_matrix, compose, left_jacobian, matrix_to_axis_angle
from zoo.hands.skeleton import LEFT, MANO_PARENTS, WRIST
from zoo.hands.skinning import exact_products
from zoo.shapes import Betas, Rotations, Translation

STIFF: Final = 1e-3  # radians; components that move less are left out


class Posed(NamedTuple):
    """What `HandModel.forward` takes."""

    rotations: Rotations
    betas: Betas
    transl: Translation  # metres


class PCAPrior:
    """A normal distribution of finger poses with independent principal components, and of shapes.

    The components are the hand model's own; mean and deviations along them are those of a pose prior's hands.
    Numbers of a hand, in standard deviations but for the first and the last: a turn of the root (3, radians) from
    where the caller says, components (k), shapes (10), translation (3, metres).

    Args:
        hand: The model.
        components: How many of the 45, the largest first; those that never move are left out.
        prior: Whose hands are measured; None for all gestures.
        samples: Hands that are measured.
        seed: Of those hands.
    """

    def __init__(
        self,
        hand: HandModel,
        components: int = 45,
        prior: PosePrior | None = None,
        samples: int = 2048,
        seed: int = 0,
    ) -> None:
        if not 1 <= components <= 45 or samples < 2:
            raise ValueError(
                f"PCAPrior(components={components}, samples={samples}): there are 1 to 45 components, and deviations "
                "need two samples."
            )
        prior = PosePrior() if prior is None else prior
        angles = prior.sample(samples, torch.Generator().manual_seed(seed)).axis_angle
        if hand.side == LEFT:
            angles = (angles.view(-1, 15, 3) * torch.tensor([1.0, -1.0, -1.0])).flatten(1)
        angles = angles.to(hand.hands_mean)
        rows = torch.linalg.qr(hand.hands_components.mT).Q.mT  # orthonormal, also where a file has them rounded
        coefficients = (angles - angles.mean(0)) @ rows.mT
        deviations = coefficients.std(0)
        kept = deviations.argsort(descending=True)[:components]
        kept = kept[deviations[kept] > STIFF]
        self.hand = hand
        self.mean = angles.mean(0)  # (45,) radians
        self.deviations = deviations[kept]  # (k,) radians
        self.components = rows[kept]  # (k, 45)
        self.directions = self.components * self.deviations[:, None]
        self.count = len(kept)
        self.size = self.count + 16

    def place(self, root: Float[Tensor, "b 3 3"], numbers: Float[Tensor, "b p"]) -> Posed:
        """Numbers to a hand model's parameters.

        Args:
            root: Rotation that the turn starts from.
            numbers: As the class says.
        """
        turn, coefficients, betas, transl = self.split(numbers)
        fingers = axis_angle_to_matrix(self._angles(coefficients))
        rotations = torch.cat((compose(axis_angle_to_matrix(turn), root).unsqueeze(1), fingers), 1)
        return Posed(rotations, betas, transl)

    def split(self, numbers: Float[Tensor, "b p"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Turn, components, betas, translation."""
        turn, coefficients, betas, transl = torch.split(numbers, [3, self.count, 10, 3], dim=1)
        return turn, coefficients, betas, transl

    def draw(self, n: int, generator: torch.Generator) -> Float[Tensor, "n p"]:
        """Numbers of hands from the prior; no turn, no translation."""
        numbers = torch.zeros(n, self.size)
        numbers[:, 3:-3] = torch.randn(n, self.count + 10, generator=generator)
        return numbers.to(self.mean)

    def sample(
        self, n: int, generator: torch.Generator, roots: Float[Tensor, "n 3 3"] | None = None
    ) -> Float[Tensor, "n 778 3"]:
        """Draws hands: what HHMR's table calls PCA sampling.

        Args:
            n: How many.
            generator: On the CPU; the same seed draws the same hands.
            roots: Their global rotations; None for none.

        Returns:
            Vertices, metres, wrist at the origin.
        """
        identity = torch.eye(3).to(self.mean).expand(n, 3, 3)
        with torch.no_grad():
            vertices = self.hand(
                *self.place(identity if roots is None else roots.to(self.mean), self.draw(n, generator))
            ).vertices
            return vertices - self.hand.regress(vertices)[:, [WRIST]]

    def linearize(
        self, points: SkinnedPoints, root: Float[Tensor, "b 3 3"], numbers: Float[Tensor, "b p"]
    ) -> tuple[Linear, Float[Tensor, "b 16 3 3"]]:
        """Points, their derivatives along the 61 directions, and what `pull` needs to make them those of numbers."""
        posed = self.place(root, numbers)
        linear = linearize(self.hand, points, *posed)
        turn, coefficients, *_ = self.split(numbers)
        spins = left_jacobian(torch.cat((turn.unsqueeze(1), self._angles(coefficients)), 1))
        above = linear.turns[:, list(MANO_PARENTS[1:])]
        return linear, torch.cat((spins[:, :1], compose(above, spins[:, 1:])), 1)

    def pull(self, directions: Float[Tensor, "b 61 *q"], frames: Float[Tensor, "b 16 3 3"]) -> Float[Tensor, "b p *q"]:
        """Derivatives along the 61 directions to derivatives by numbers.

        Args:
            directions: Of anything.
            frames: From `linearize`.
        """
        b = len(directions)
        flat = directions.unsqueeze(-1).flatten(2)
        with exact_products(flat):
            turns = (frames.mT @ flat[:, :48].view(b, 16, 3, flat.shape[-1])).flatten(1, 2)
            fingers = self.directions @ turns[:, 3:]
        pulled = torch.cat((turns[:, :3], fingers, flat[:, SHAPES], flat[:, SHIFTS]), 1)
        return pulled.view(b, self.size, *directions.shape[2:])

    def numbers(self, rotations: Rotations, betas: Betas, transl: Translation) -> Float[Tensor, "b p"]:
        """The nearest numbers to parameters, for a root rotation that is theirs.

        Args:
            rotations: (b, 16, 3, 3); the root is not read.
            betas: (b, 10).
            transl: (b, 3) metres.
        """
        angles = matrix_to_axis_angle(rotations[:, 1:]).flatten(1)
        coefficients = (angles - self.mean) @ self.components.mT / self.deviations
        return torch.cat((torch.zeros_like(transl), coefficients, betas, transl), 1)

    def _angles(self, coefficients: Tensor) -> Float[Tensor, "b 15 3"]:
        with exact_products(coefficients):
            return torch.unflatten(self.mean + coefficients @ self.directions, -1, (15, 3))
