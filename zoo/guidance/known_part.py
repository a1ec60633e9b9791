"""Inpainting by replacement: what is known of a hand is put back at every step (RePaint, Lugmayr et al. 2022).

At the known entries the estimate of the clean signal is what is known. Whatever the sampler, its next noisy signal then
is there a sample of q(x_t' | x_t, x0 = known), the known part at the next noise level, and in the end the known part.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from zoo.diffusion import Denoise, Estimate, NoiseSchedule
from zoo.guidance.base import Guidance
from zoo.shapes import Bool, Faces, Float, Signal, Time, Vertices


@dataclass(frozen=True, eq=False)
class KnownPart(Guidance):
    """Keeps known vertices where they are and lets the network complete the rest.

    Put it last in the list: what comes after it may move the known part. The sample then stays where the known part
    is, so its wrist may be a millimetre off the origin where the wrist was not known.

    Args:
        vertices: (b, 778, 3) metres, wrist-relative; b rows.
        mask: (b, 778) True where known. A row without any is left as it is.
        scale: Metres that count as one in the signal.
        blend: Rings of vertices around the known part over which its offset from the network's estimate fades out,
            so that there is no step at the seam; 0 replaces and nothing more. Needs `faces`.
        faces: Of the mesh.
        resample: Further estimates a step, each from the completed hand with fresh noise, so that the rest has time to
            agree with the known part; each costs what a step costs.
        generator: Source of that noise; the global one when None.
    """

    anchored: ClassVar[bool] = True

    vertices: Vertices
    mask: Bool[Tensor, "b 778"]
    scale: float = 0.1
    blend: int = 0
    faces: Faces | None = None
    resample: int = 0
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if self.blend and self.faces is None:
            raise ValueError(f"KnownPart(blend={self.blend}) needs faces, to know which vertices are neighbours.")

    def __call__(self, denoise: Denoise, unconditional: Denoise, schedule: NoiseSchedule) -> Denoise:
        if not 0 < len(self.mask) == len(self.vertices):
            raise ValueError(f"KnownPart got {len(self.vertices)} meshes and {len(self.mask)} masks: one for each.")
        run: list[_Known] = []  # made at the first call, which knows rows and device

        def completed(x: Signal, t: Time) -> Estimate:
            if not run:
                run.append(_Known(self, x))
            x0, x_t = denoise(x, t)
            for _ in range(self.resample):
                a, s = schedule.at(t, x)
                fresh = torch.randn(x.shape, generator=self.generator, device=x.device, dtype=x.dtype)
                x0, x_t = denoise(a * run[0].put_back(x0) + s * fresh, t)
            return Estimate(run[0].put_back(x0), x_t)

        return completed


class _Known:
    """The known part for every row of one sampling run."""

    def __init__(self, guide: KnownPart, x: Signal) -> None:
        rows = len(guide.vertices)
        if len(x) % rows:
            raise ValueError(
                f"KnownPart has {rows} rows and {len(x)} hands are sampled: it must be n hypotheses for each row."
            )
        repeat = len(x) // rows
        self.known = guide.mask.to(x.device).repeat_interleave(repeat, dim=0)[..., None]
        target = (guide.vertices.to(x.device, torch.float32) / guide.scale).repeat_interleave(repeat, dim=0)
        self.target = torch.where(self.known, target, 0.0)
        self.rings: list[tuple[Tensor, Tensor, float]] = []
        if guide.blend and guide.faces is not None:
            self.neighbours = neighbours(guide.faces.to(x.device), x.shape[1])
            reached = self.known.float()
            for ring in range(guide.blend):
                around = self.neighbours @ reached
                new = (around > 0) & (reached == 0)
                fade = (1 + math.cos(math.pi * (ring + 1) / (guide.blend + 1))) / 2
                self.rings.append((new, around.clamp_min(1), fade))
                reached = reached + new

    def put_back(self, x0: Signal) -> Signal:
        """The estimate with the known part in its place."""
        offset = torch.where(self.known, self.target - x0, 0.0)
        faded = offset
        for new, around, fade in self.rings:
            spread = self.neighbours @ offset / around
            offset = torch.where(new, spread, offset)
            faded = torch.where(new, fade * spread, faded)
        return torch.where(self.known, self.target.to(x0.dtype), x0 + faded)


def neighbours(faces: Faces, vertices: int) -> Float[Tensor, "v v"]:
    """1 where two vertices share an edge."""
    matrix = torch.zeros(vertices, vertices, device=faces.device)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        matrix[faces[:, a], faces[:, b]] = 1
        matrix[faces[:, b], faces[:, a]] = 1
    return matrix
