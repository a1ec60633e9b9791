"""One picture of a mesh: shaded colour, depth, silhouette and part ids, on OpenGL or in plain torch."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zoo.shapes import Faces, RawImages

Backend = Literal["auto", "gl", "torch"]
Number = float | int
Triple = tuple[Number, Number, Number]

NEAR = 0.01  # metres; nothing nearer to the camera is drawn
MAX_LIGHTS = 8
SKIN = (0.86, 0.68, 0.58)  # the colour of a mesh that brings none

_log = logging.getLogger("zoo")


class Rendered(NamedTuple):
    """A batch of pictures on the device of the vertices."""

    color: RawImages  # (b, 3, h, w) RGB
    depth: Float[Tensor, "b h w"]  # metres along z, 0 where empty
    mask: Bool[Tensor, "b h w"]  # True where a surface is seen
    parts: Int[Tensor, "b h w"]  # int16, -1 where empty (0 everywhere on a mesh without parts)


@dataclass(frozen=True)
class Lights:
    """Lights in the camera frame; the same for all pictures of a call. Intensities are RGB, 1 = full.

    Attributes:
        ambient: light from everywhere.
        directions: from the surface towards each light (any length); (0, 0, -1) is a lamp on the camera.
        colors: intensity of each light.
        specular: strength of the highlight (Blinn-Phong), 0 for none.
        shininess: its sharpness.
        wrap: how far light reaches around the terminator, 0 (Lambert) to 1; soft light and skin want 0.2 to 0.4.
    """

    ambient: Triple = (0.32, 0.32, 0.34)
    directions: tuple[Triple, ...] = ((-0.55, -0.75, -0.75), (0.9, -0.1, -0.6), (0.1, 0.9, -0.3))
    colors: tuple[Triple, ...] = ((0.62, 0.60, 0.57), (0.20, 0.21, 0.23), (0.08, 0.07, 0.07))
    specular: Number = 0.06
    shininess: Number = 18.0
    wrap: Number = 0.25

    def __post_init__(self) -> None:
        if len(self.directions) != len(self.colors) or len(self.directions) > MAX_LIGHTS:
            raise ValueError(
                f"Lights got {len(self.directions)} directions and {len(self.colors)} colors. "
                f"There must be as many of both, at most {MAX_LIGHTS}."
            )
        if any(sum(x * x for x in direction) == 0 for direction in self.directions):
            raise ValueError("Lights got a direction of length zero. Point every light somewhere.")

    def unit_directions(self) -> list[Triple]:
        """Directions scaled to length one."""
        lengths = [sum(x * x for x in direction) ** 0.5 for direction in self.directions]
        return [(x / n, y / n, z / n) for (x, y, z), n in zip(self.directions, lengths, strict=True)]


class Job(NamedTuple):
    """What a backend draws: `render`'s arguments, checked and with the defaults filled in."""

    vertices: Float[Tensor, "b v 3"]
    normals: Float[Tensor, "b v 3"]
    faces: Faces
    intrinsics: Float[Tensor, "b 3 3"]
    size: tuple[int, int]
    colors: Float[Tensor, "b v 3"]
    face_parts: Int[Tensor, " f"]
    lights: Lights
    background: Triple


def render(
    vertices: Float[Tensor, "b v 3"],
    faces: Faces,
    intrinsics: Float[Tensor, "b 3 3"],
    size: tuple[int, int],
    *,
    colors: Float[Tensor, "#b v 3"] | None = None,
    parts: Int[Tensor, " v"] | None = None,
    lights: Lights | None = None,
    background: Sequence[Number] | None = None,
    backend: Backend = "auto",
) -> Rendered:
    """Draw a batch of meshes of one topology, each with its own pinhole camera.

    Integer pixel coordinates are pixel centres, as in OpenCV and FreiHAND: a point that `project()` puts at (u, v) is
    drawn in column round(u), row round(v), and a picture spans [-0.5, w - 0.5). Both sides of a face are drawn. The
    part of a face is the one that at least two of its corners have (else its first corner's). Nothing nearer than
    `NEAR` metres is drawn; what crosses that plane is cut. There are no gradients.

    Args:
        vertices: camera frame (x right, y down, z forward), metres.
        faces: counter-clockwise seen from outside.
        intrinsics: pixels; skew and an off-centre principal point are honoured, the last row is taken as (0, 0, 1).
        size: height and width in pixels.
        colors: RGB in [0, 1] per vertex; skin without.
        parts: id per vertex, 0 to 32,767.
        lights: a soft three-point setting without.
        background: RGB in [0, 1]; black without.
        backend: "gl" (OpenGL), "torch" (no library needed, follows CUDA tensors), or "auto": gl for tensors on the
            CPU where a context can be made, else torch; the log says once which one and why.

    Raises:
        ValueError: vertices or cameras with NaN or infinity, faces that point outside, a bad size.
        RuntimeError: backend "gl" where no context can be made.
    """
    b, v, _ = vertices.shape
    height, width = size
    if height < 1 or width < 1:
        raise ValueError(f"render(size={size}) asks for an empty picture. Give height and width of at least 1.")
    for name, tensor in (("vertices", vertices), ("intrinsics", intrinsics)):
        if not torch.isfinite(tensor).all():
            row = int((~torch.isfinite(tensor).flatten(1).all(1)).nonzero()[0])
            raise ValueError(f"render() got NaN or infinite {name} in row {row}. Leave out rows without a mesh.")
    if faces.numel() and (int(faces.max()) >= v or int(faces.min()) < 0):
        raise ValueError(f"render() got faces up to index {int(faces.max())} for {v} vertices. Pass matching faces.")
    device = vertices.device
    vertices, faces = vertices.detach().float(), faces.to(device).long()
    if colors is None:
        colors = torch.tensor(SKIN, device=device).expand(b, v, 3)
    if parts is None:
        parts = torch.zeros(v, dtype=torch.long, device=device)
    job = Job(
        vertices=vertices,
        normals=vertex_normals(vertices, faces),
        faces=faces,
        intrinsics=intrinsics.detach().to(device).float(),
        size=(height, width),
        colors=colors.detach().to(device).float().clamp(0, 1).expand(b, v, 3),
        face_parts=_face_parts(parts.to(device).long(), faces),
        lights=lights or Lights(),
        background=_triple(background),
    )
    if b == 0 or _choose(backend, device.type) == "torch":
        from zoo.hands import render_torch

        return render_torch.draw(job)
    from zoo.hands import render_gl

    return render_gl.draw(job)


def vertex_normals(vertices: Float[Tensor, "b v 3"], faces: Faces) -> Float[Tensor, "b v 3"]:
    """Unit normals, averaged over the faces around a vertex by area; zero where there is no face."""
    corners = vertices[:, faces]
    normal = torch.linalg.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total.index_add_(1, faces[:, corner], normal)
    return torch.nn.functional.normalize(total, dim=-1, eps=1e-20)


def supersample(intrinsics: Float[Tensor, "*b 3 3"], factor: int) -> Float[Tensor, "*b 3 3"]:
    """Cameras of the same view with `factor` times the pixels a side: draw with them and shrink by area averaging."""
    finer = intrinsics.clone()
    finer[..., :2, :] *= factor
    finer[..., :2, 2] += (factor - 1) / 2
    return finer


def gl_problem() -> str | None:
    """Why the gl backend cannot be used here, or None where it can."""
    from zoo.hands import render_gl

    return render_gl.problem()


def _choose(backend: str, device: str) -> str:
    if backend == "torch":
        return backend
    if backend not in ("auto", "gl"):
        raise ValueError(f"render(backend={backend!r}) is not known. Use 'auto', 'gl' or 'torch'.")
    if backend == "auto" and device != "cpu":
        _say(f"Rendering with torch: the meshes are on {device}.")
        return "torch"
    reason = gl_problem()
    if reason is None:
        if backend == "auto":
            from zoo.hands import render_gl

            _say(f"Rendering with OpenGL: {render_gl.renderer_name()}.")
        return "gl"
    if backend == "gl":
        raise RuntimeError(f"render(backend='gl') cannot draw here: {reason} Or use backend='torch'.")
    _say(f"Rendering with torch, which is slower: {reason}")
    return "torch"


@cache
def _say(message: str) -> None:
    _log.info(message)


def _face_parts(parts: Int[Tensor, " v"], faces: Faces) -> Int[Tensor, " f"]:
    if parts.numel() and (int(parts.min()) < 0 or int(parts.max()) > 32767):
        raise ValueError(f"render() got part ids {int(parts.min())} to {int(parts.max())}. Keep them in 0 to 32,767.")
    first, second, third = parts[faces].unbind(1)
    return torch.where(second == third, second, first)


def _triple(background: Sequence[Number] | None) -> Triple:
    if background is None:
        return (0.0, 0.0, 0.0)
    red, green, blue = (min(max(float(x), 0.0), 1.0) for x in background)
    return (red, green, blue)
