"""What an estimate should agree with: joints, vertices, pixels, or several of them.

Operators read the normalised signal: (r, 778, 3) in units of `scale` metres, wrist at the origin, camera frame of the
crop. Observations have b rows; r = b n, every row n times in a row, as in `HHMR.sample`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.guidance.cameras import put_in_front
from zoo.hands.camera import fit_weak_perspective, project
from zoo.hands.model import HandModel
from zoo.hands.skeleton import WRIST
from zoo.shapes import Bool, Float, Intrinsics, Joints, Joints2D, Translation, Vertices

Rows = Float[Tensor, "r v 3"]
Weights = Bool[Tensor, "b k"] | Float[Tensor, "b k"]  # confidence; 0 or False is not observed, and never read


class Residual(NamedTuple):
    """How far an estimate is from what was observed."""

    vectors: Float[Tensor, "r k d"]  # zero where not observed
    weights: Float[Tensor, "r k"]  # 0 = not observed


class Operator(ABC):
    """An observation, and the map from a hand to what it would have been."""

    @abstractmethod
    def residual(self, x0: Rows) -> Residual:
        """Prediction minus observation; differentiable in x0.

        Args:
            x0: Normalised hands, a multiple of the observation's rows, float32.
        """

    def error(self, x0: Rows) -> Float[Tensor, " r"]:
        """Weighted mean distance of each row, in the residual's unit; 0 where nothing is observed."""
        vectors, weights = self.residual(x0)
        return (vectors.norm(dim=-1) * weights).sum(-1) / weights.sum(-1).clamp_min(1e-12)


@dataclass(frozen=True, eq=False)
class JointsAt(Operator):
    """Joints at known places; for part of a skeleton, mask the rest. Residuals are in units of `scale`.

    Args:
        joints: (b, 21, 3) metres, camera frame, any origin: the wrist is subtracted. Without the wrist the skeleton
            may lie anywhere, so only its shape and direction count.
        valid: (b, 21) which joints are known, or how well.
        hand: Regresses joints from meshes.
        scale: Metres that count as one in the signal.
    """

    joints: Joints
    valid: Weights
    hand: HandModel
    scale: float = 0.1

    def residual(self, x0: Rows) -> Residual:
        joints, weights = _repeated(x0, self.joints, self.valid)
        seen = weights[..., None] > 0
        target = torch.where(seen, joints, 0.0) / self.scale
        found = self.hand.regress(x0)
        off = (found - found[:, WRIST : WRIST + 1]) - (target - target[:, WRIST : WRIST + 1])
        share = (weights / weights.sum(-1, keepdim=True).clamp_min(1e-12))[..., None]
        off = torch.where(seen[:, WRIST : WRIST + 1], off, off - (share * off).sum(1, keepdim=True))
        return Residual(torch.where(seen, off, 0.0), weights)


@dataclass(frozen=True, eq=False)
class VerticesAt(Operator):
    """Vertices at known places; residuals are in units of `scale`.

    Args:
        vertices: (b, 778, 3) metres, wrist-relative.
        mask: (b, 778) which of them are known, or how well.
        scale: Metres that count as one in the signal.
    """

    vertices: Vertices
    mask: Weights
    scale: float = 0.1

    def residual(self, x0: Rows) -> Residual:
        vertices, weights = _repeated(x0, self.vertices, self.mask)
        return Residual(torch.where(weights[..., None] > 0, x0 - vertices / self.scale, 0.0), weights)


@dataclass(frozen=True, eq=False)
class PixelsAt(Operator):
    """Joints seen at pixels; residuals are shares of the longer side of the observed joints' box.

    Pixels and intrinsics are those of the crop that the hand is sampled in (mirrored and turned like it), since its
    camera frame is the hand's: `crop_intrinsics(affine, K, frame)` of zoo.hands.camera makes them from the image's.
    Without intrinsics any unit of pixels serves, also crop coordinates.

    Args:
        pixels: (b, 21, 2).
        confidence: (b, 21) which joints were seen, or how surely.
        hand: Regresses joints from meshes.
        scale: Metres that count as one in the signal.
        intrinsics: (b, 3, 3) of the crop. None fits a weak perspective to every estimate, robustly and in closed form.
        translation: (b, 3) metres, where the wrist is. None solves for it at every estimate, from the intrinsics.
        outlier: Residuals well above it count less (Geman and McClure's loss): for detectors that sometimes miss.
            None trusts every joint as far as its confidence.
    """

    pixels: Joints2D
    confidence: Weights
    hand: HandModel
    scale: float = 0.1
    intrinsics: Intrinsics | None = None
    translation: Translation | None = None
    outlier: float | None = None

    def residual(self, x0: Rows) -> Residual:
        pixels, weights = _repeated(x0, self.pixels, self.confidence)
        seen = weights[..., None] > 0
        pixels = torch.where(seen, pixels, 0.0)
        joints = self.scale * self.hand.regress(x0)
        joints = joints - joints[:, WRIST : WRIST + 1]
        low = pixels.masked_fill(~seen, torch.inf).amin(1)
        high = pixels.masked_fill(~seen, -torch.inf).amax(1)
        size = (high - low).amax(-1).clamp(min=1e-6).nan_to_num(1.0, 1.0, 1.0)[:, None, None]
        off = torch.where(seen, (self.project(joints, pixels, weights) - pixels) / size, 0.0)
        if self.outlier is not None:
            width = self.outlier**2
            weights = weights * (width / (width + off.detach().square().sum(-1))).square()
        return Residual(off, weights)

    def project(self, joints: Joints, pixels: Joints2D, weights: Float[Tensor, "r 21"]) -> Joints2D:
        """Wrist-relative joints in metres to pixels; the camera's place carries no gradient."""
        if self.intrinsics is None:
            return fit_weak_perspective(joints.detach(), pixels, weights).project(joints)
        (camera,) = _repeated(joints, self.intrinsics)
        if self.translation is None:
            place = put_in_front(joints.detach(), pixels, camera, weights)
        else:
            (place,) = _repeated(joints, self.translation)
        joints = joints + place[:, None]
        # nearer than a centimetre the projection says nothing about the hand
        return project(torch.cat((joints[..., :2], joints[..., 2:].clamp_min(0.01)), -1), camera)


@dataclass(frozen=True, eq=False)
class Together(Operator):
    """Several operators; each counts as the mean over what it observes, times its weight.

    Args:
        operators: At least one.
        weights: One each; all 1 when None.
    """

    operators: Sequence[Operator]
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if not self.operators or (self.weights is not None and len(self.weights) != len(self.operators)):
            raise ValueError(
                f"Together got {len(self.operators)} operators and weights {self.weights}. It needs at least one "
                "operator, and one weight for each."
            )

    def residual(self, x0: Rows) -> Residual:
        residuals = [operator.residual(x0) for operator in self.operators]
        d = max(vectors.shape[-1] for vectors, _ in residuals)
        padded = [torch.nn.functional.pad(vectors, (0, d - vectors.shape[-1])) for vectors, _ in residuals]
        shares = [
            factor * weights / weights.sum(-1, keepdim=True).clamp_min(1e-12)
            for factor, (_, weights) in zip(self.weights or [1.0] * len(residuals), residuals, strict=True)
        ]
        return Residual(torch.cat(padded, 1), torch.cat(shares, 1))


def _repeated(x0: Tensor, *observed: Tensor) -> tuple[Tensor, ...]:
    """Observations for every row of x0, as float32; copies, so that inference tensors may take part in autograd."""
    b = len(observed[0])
    if b == 0 or len(x0) % b:
        raise ValueError(
            f"{b} rows are observed and {len(x0)} hands sampled: it must be n hypotheses for each observed row. "
            "Give the operator as many rows as the conditions have."
        )
    return tuple(
        part.to(x0.device, torch.float32, non_blocking=True).repeat_interleave(len(x0) // b, dim=0) for part in observed
    )
