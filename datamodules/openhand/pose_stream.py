"""An endless, seeded stream of pose-only hands, made on the fly: no files, no pictures, every batch new."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from zoo.batch import HandBatch
from zoo.hands.camera import normalize_pixels, project
from zoo.hands.model import HandModel
from zoo.hands.poses import PosePrior, reject_intersecting
from zoo.hands.rotations import axis_angle_to_matrix
from zoo.hands.skeleton import RIGHT
from zoo.shapes import Betas, FingerRotations, Intrinsics, Joints, Rotations, Translation, Vertices


@dataclass(frozen=True)
class ViewCone:
    """How hands are turned in front of the camera: a canonical view, tilted, then turned in the picture plane.

    A canonical view is a right hand with its fingers up that shows its back, its palm, its thumb's or its little
    finger's side. Narrow cones are learned faster, wide ones meet more pictures.

    Args:
        turn: in-plane turn, uniform within ± this angle, radians; pi is every angle.
        tilt: standard deviation of the rotation about each axis of the picture plane, radians.
        views: shares of the back, palm, thumb-side and little-finger-side views; need not sum to one.
    """

    turn: float = math.pi / 2
    tilt: float = 0.5
    views: tuple[float, float, float, float] = (0.4, 0.35, 0.15, 0.1)

    def __post_init__(self) -> None:
        if self.tilt < 0 or self.turn < 0 or min(self.views) < 0 or sum(self.views) <= 0:
            raise ValueError(
                f"ViewCone(turn={self.turn}, tilt={self.tilt}, views={self.views}): angles and shares are not negative "
                "and one share is above zero. Set --data.turn, --data.tilt, --data.views."
            )

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n 3 3"]:
        """Camera-frame orientations of right hands (absolute: identity is the rest pose, fingers along -x)."""
        shares = torch.tensor(self.views)
        roll = torch.multinomial(shares, n, replacement=True, generator=generator)
        quarter_turns = torch.tensor([0.0, math.pi, -math.pi / 2, math.pi / 2])[roll]
        tilt = self.tilt * torch.randn(n, 2, generator=generator)
        turn = self.turn * (2 * torch.rand(n, generator=generator) - 1)
        zero = torch.zeros(n)
        # Columns are where the rest axes go: x (to the wrist) down, y (out of the back) to the camera.
        back = torch.tensor([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
        rolled = axis_angle_to_matrix(torch.stack([zero, quarter_turns, zero], -1)) @ back
        tilted = axis_angle_to_matrix(torch.cat([tilt, zero[:, None]], -1)) @ rolled
        return axis_angle_to_matrix(torch.stack([zero, zero, turn], -1)) @ tilted


@dataclass(frozen=True)
class CropCamera:
    """Where hands stand and how the crop around them is cut.

    Args:
        distance: nearest and farthest middle of the hand, metres, log-uniform.
        off_axis: standard deviation of the direction to the hand, as a tangent: crops from a larger photograph.
        fill: smallest and largest share of the crop's side that the joints' box takes.
        shift: the box's middle lies within ± this share of the crop's side around the crop's middle.
    """

    distance: tuple[float, float] = (0.35, 1.2)
    off_axis: float = 0.15
    fill: tuple[float, float] = (0.55, 0.85)
    shift: float = 0.06

    def place(self, vertices: Vertices, generator: torch.Generator) -> Translation:
        """Translation (n, 3) in metres that puts hands, given anywhere, in front of the camera."""
        n = len(vertices)
        near, far = (math.log(d) for d in self.distance)
        depth = torch.exp(near + (far - near) * torch.rand(n, 1, generator=generator))
        ray = (self.off_axis * torch.randn(n, 2, generator=generator)).clamp(-3 * self.off_axis, 3 * self.off_axis)
        return torch.cat([ray * depth, depth], -1) - vertices.mean(1)

    def intrinsics(self, joints: Float[Tensor, "n 21 3"], size: int, generator: torch.Generator) -> Intrinsics:
        """Intrinsics (n, 3, 3) in pixels of a square of `size` around the placed joints."""
        n = len(joints)
        rays = joints[..., :2] / joints[..., 2:]
        low, high = rays.amin(1), rays.amax(1)
        least, most = self.fill
        fill = least + (most - least) * torch.rand(n, generator=generator)
        shift = self.shift * (2 * torch.rand(n, 2, generator=generator) - 1)
        focal = size * fill / (high - low).amax(-1)
        matrix = torch.eye(3).repeat(n, 1, 1)
        matrix[:, 0, 0] = matrix[:, 1, 1] = focal
        matrix[:, :2, 2] = size * (0.5 + shift) - 0.5 - focal[:, None] * (low + high) / 2
        return matrix


def generator_of(*key: int) -> torch.Generator:
    """A generator whose stream is a function of all of `key`; nearby keys give unrelated streams."""
    state = np.random.SeedSequence([k & 0xFFFFFFFF for k in key]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)


class Drawn(NamedTuple):
    """Right hands in front of cameras, with the parameters that made them."""

    rotations: Rotations  # (n, 16, 3, 3)
    betas: Betas  # (n, 10)
    transl: Translation  # (n, 3) metres
    vertices: Vertices  # (n, 778, 3) metres, camera frame
    joints: Joints  # (n, 21, 3) metres, camera frame, regressed
    intrinsics: Intrinsics  # (n, 3, 3) pixels


@dataclass(frozen=True)
class PoseStream:
    """Hands with a mesh, joints, a camera and no picture; batch `k` is a function of `seed` and `k` alone.

    Args:
        hand: the right hand model.
        prior: where finger poses come from.
        size: side of the crop, pixels; the unit of `intrinsics`.
        seed: which stream.
        stream: which of several streams of one seed that have nothing in common.
        cone: orientations.
        camera: places and crops.
        shape_std: standard deviation of the ten shape numbers, which are cut at 2.5.
        solid: draws again where fingers pass through each other; some ten times slower.
        bank: finger poses come from a bank of this many solid ones, renewed every `renew` batches; 0 draws every
            hand anew. Shapes, orientations and cameras are new in every batch.
        renew: batches that share a bank.
    """

    hand: HandModel
    prior: PosePrior
    size: int = 96
    seed: int = 0
    stream: int = 0
    cone: ViewCone = field(default_factory=ViewCone)
    camera: CropCamera = field(default_factory=CropCamera)
    shape_std: float = 1.0
    solid: bool = False
    bank: int = 0
    renew: int = 500
    _banks: dict[int, FingerRotations] = field(default_factory=dict, compare=False, repr=False)

    @torch.no_grad()
    def draw(self, k: int, n: int) -> Drawn:
        """The hands of batch number `k` of `n` rows."""
        generator = generator_of(self.seed, self.stream, k)
        fingers = self._fingers(k, n, generator)
        rotations = torch.cat([self.cone.sample(n, generator)[:, None], fingers], 1)
        betas = (self.shape_std * torch.randn(n, 10, generator=generator)).clamp(-2.5, 2.5)
        vertices = self.hand(rotations, betas, torch.zeros(n, 3)).vertices
        transl = self.camera.place(vertices, generator)
        vertices = vertices + transl[:, None]
        joints = self.hand.regress(vertices)
        return Drawn(rotations, betas, transl, vertices, joints, self.camera.intrinsics(joints, self.size, generator))

    def _fingers(self, k: int, n: int, generator: torch.Generator) -> FingerRotations:
        if not self.bank:
            return self._poses(n, generator, self.solid)
        number = k // self.renew
        if number not in self._banks:
            self._banks.clear()
            self._banks[number] = self._poses(self.bank, generator_of(self.seed, self.stream, number, self.bank), True)
        return self._banks[number][torch.randint(self.bank, (n,), generator=generator)]

    def _poses(self, n: int, generator: torch.Generator, solid: bool) -> FingerRotations:
        if not solid:
            return self.prior.sample(n, generator).rotations
        from zoo.metrics.intersection import self_intersections

        return reject_intersecting(self.prior, self.hand, self_intersections, n, generator).rotations

    def batch(self, k: int, n: int) -> HandBatch:
        """Batch number `k` of `n` rows, all of them right hands; rows are numbered on from `k * n`."""
        drawn = self.draw(k, n)
        everywhere = torch.ones(n, dtype=torch.bool)
        pixels = project(drawn.joints, drawn.intrinsics)
        return HandBatch(
            image=torch.zeros(0, 3, self.size, self.size),
            has_image=~everywhere,
            vertices=drawn.vertices,
            has_mesh=everywhere,
            joints=drawn.joints,
            joints_valid=torch.ones(n, 21, dtype=torch.bool),
            joints2d=normalize_pixels(pixels, (self.size, self.size)),
            joints2d_valid=torch.ones(n, 21, dtype=torch.bool),
            intrinsics=drawn.intrinsics,
            side=torch.full((n,), RIGHT),
            index=torch.arange(k * n, (k + 1) * n),
        )
