"""Puts meshes that have no camera before one, and draws them as AttentionHand was trained to see them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from datamodules.mesh_pictures import LAMPS, PORCELAIN
from datamodules.scene import ByteArray
from zoo.commands.tasks.align import UNITS
from zoo.hands.render import render
from zoo.shapes import Faces, Float, Tensor, Translation

FOCAL = 2.0  # times the side of the picture: a hand that fills it is half a metre away
SMALLEST, LARGEST = 0.02, 2.0  # metres between which a mesh of hands is
_STEPS = 20  # each takes the error of perspective down by the mesh's depth over its distance


class Stood(NamedTuple):
    """Where a mesh stands, and the camera that sees it."""

    shift: Translation  # (3,) metres, to be added to its points
    intrinsics: Float[Tensor, "3 3"]  # pixels


@dataclass(frozen=True)
class Stand:
    """A camera for meshes that have none.

    Args:
        size: Side of the picture, pixels.
        focal: Focal length, pixels of that picture; None takes `FOCAL` times its side.
        fill: Share of the side that a mesh takes.
    """

    size: int
    focal: float | int | None = None
    fill: float | int = 0.65

    def units(self, unit: str) -> float:
        """How many of a unit are a metre."""
        return float(UNITS[unit])

    def before(self, points: Float[Tensor, "v 3"]) -> Stood:
        """In the middle of the picture, at the distance at which the mesh fills its share."""
        if not bool(points.isfinite().all()):
            raise ValueError("it holds numbers that are not finite")
        extent = float((points.amax(0) - points.amin(0)).amax())
        if not SMALLEST < extent < LARGEST:
            raise ValueError(f"it is {extent:.3g} m large, which no hands are; say its unit with --unit")
        focal = float(self.focal or FOCAL * self.size)
        low, high = points.amin(0), points.amax(0)
        shift = -(low + high) / 2
        depth = focal * extent / (self.fill * self.size)
        for _ in range(_STEPS):
            depth = max(depth, float(high[2] - low[2]))  # all of it in front of the camera
            rays = (points + shift)[:, :2] / (points + shift)[:, 2:].add(depth)
            depth *= focal * float((rays.amax(0) - rays.amin(0)).amax()) / (self.fill * self.size)
        shift = shift + torch.tensor([0.0, 0.0, max(depth, float(high[2] - low[2]))])
        rays = (points + shift)[:, :2] / (points + shift)[:, 2:]
        middle = (self.size - 1) / 2 - focal * (rays.amax(0) + rays.amin(0)) / 2
        camera = torch.eye(3)
        camera[0, 0] = camera[1, 1] = focal
        camera[:2, 2] = middle
        return Stood(shift, camera)

    def picture(
        self,
        points: Float[Tensor, "v 3"],
        faces: Faces,
        intrinsics: Float[Tensor, "3 3"] | None = None,
        size: tuple[int, int] | None = None,
    ) -> ByteArray:
        """(h, w, 3) a mesh of any topology, bright on black.

        Args:
            points: Metres.
            faces: Of the mesh.
            intrinsics: Of the camera that it stands before; None puts it before this one.
            size: Height and width of that camera's picture; None is this one's.
        """
        if intrinsics is None:
            shift, intrinsics = self.before(points)
            points = points + shift
        colors = torch.tensor(PORCELAIN).expand(1, len(points), 3)
        drawn = render(
            points[None].float(), faces, intrinsics[None], size or (self.size, self.size), colors=colors, lights=LAMPS
        )
        return np.ascontiguousarray(drawn.color[0].permute(1, 2, 0).cpu().numpy())
