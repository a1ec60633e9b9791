"""Pictures for people: shaded hands, skeletons, overlays, contact sheets."""

from typing import Literal

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from zoo.hands.render import SKIN, Backend, Lights, Rendered, Triple, render, supersample
from zoo.hands.sheets import INK, PAPER, Picture, comparison, contact_sheet, loss_curves
from zoo.hands.skeleton import SNAP_EDGES, SNAP_PARENTS
from zoo.shapes import Faces

__all__ = [
    "CLAY",
    "comparison",
    "contact_sheet",
    "draw_skeleton",
    "hand_picture",
    "loss_curves",
    "overlay",
]

Bytes = NDArray[np.uint8]
View = Literal["front", "back", "side", "top", "palm"]

CLAY = (0.62, 0.70, 0.80)  # a cool grey, for the truth beside a skin-coloured prediction
FINGER_COLORS = ((242, 95, 76), (247, 169, 52), (88, 190, 104), (58, 150, 230), (160, 102, 222))  # thumb to pinky
WRIST_COLOR = (96, 101, 110)

# Rows are the axes of the picture (right, down, away) in the frame of the mesh.
VIEWS: dict[str, tuple[Triple, Triple, Triple]] = {
    "front": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "back": ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0)),
    "side": ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)),
    "top": ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)),
    "palm": ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),  # of the right hand model at rest, fingers up
}
STUDIO = Lights(
    ambient=(0.34, 0.33, 0.36),
    directions=((-0.6, -0.85, -0.75), (0.95, -0.15, -0.5), (0.2, 0.9, -0.15), (0.3, -0.6, 0.8)),
    colors=((0.66, 0.63, 0.59), (0.17, 0.19, 0.23), (0.12, 0.09, 0.08), (0.16, 0.16, 0.18)),
    specular=0.09,
    shininess=14.0,
    wrap=0.3,
)


def hand_picture(
    vertices: Float[Tensor, "b v 3"],
    faces: Faces,
    size: int = 256,
    view: View = "front",
    *,
    color: Triple | Float[Tensor, "#b v 3"] = SKIN,
    framed_by: Float[Tensor, "b u 3"] | None = None,
    background: tuple[Triple, Triple] = ((0.965, 0.97, 0.98), (0.86, 0.875, 0.9)),
    backend: Backend = "auto",
) -> UInt8[Tensor, "b 3 h w"]:
    """Hands wherever they are, each centred in its own square picture, all at the same scale.

    Args:
        vertices: metres, orientation of the camera frame (y down); the position does not matter.
        faces: vertex indices.
        size: pixels a side.
        view: front is what the camera sees, side looks from the picture's left, top from above; palm turns the resting
            right hand model fingers up.
        color: RGB in [0, 1], one or per vertex.
        framed_by: points that decide centre and scale instead of the vertices, so that hands to be compared stay put.
        background: colours at the top and the bottom.
        backend: as in `render`.
    """
    axes = torch.tensor(VIEWS[view])
    points, frame = (
        (x.detach().cpu().float()[..., None, :] * axes).sum(-1)
        for x in (vertices, vertices if framed_by is None else framed_by)
    )
    low, high = frame.amin(1), frame.amax(1)
    radius = float((high - low).amax().clamp(min=1e-4)) / 2 if len(points) else 1.0
    away = ((low + high) / 2)[:, None] - torch.tensor([0.0, 0.0, 7 * radius])
    cameras = _framing(frame - away, size)
    points = points - away
    colors = color if isinstance(color, Tensor) else torch.tensor(color).expand(1, vertices.shape[1], 3)
    factor = 2 if size > 64 else 4
    drawn = render(
        points,
        faces.cpu(),
        supersample(cameras, factor),
        (size * factor, size * factor),
        colors=colors,
        lights=STUDIO,
        backend=backend,
    )
    blend = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    paper = np.array(background[0], np.float32) * (1 - blend) + np.array(background[1], np.float32) * blend
    paper = np.broadcast_to(paper * 255, (size, size, 3))
    pictures = [_studio(drawn, i, paper, radius) for i in range(len(points))]
    return torch.from_numpy(np.stack(pictures)) if pictures else torch.zeros(0, 3, size, size, dtype=torch.uint8)


def draw_skeleton(
    image: Picture,
    joints2d: Float[Tensor, "21 2"],
    valid: Bool[Tensor, " 21"] | None = None,
    *,
    thickness: float | None = None,
) -> Picture:
    """Bones and joints over an image, one colour a finger; what is not valid is left out.

    Args:
        image: RGB.
        joints2d: pixels, SNAP-21 order; integer coordinates are pixel centres.
        valid: True = drawn; all without.
        thickness: of a bone in pixels; fits the picture without.
    """
    canvas = np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())
    points = joints2d.detach().cpu().double().numpy()
    shown = (np.abs(points) < 1e4).all(1)  # NaN is not shown either
    points = np.where(shown[:, None], points, 0)
    if valid is not None:
        shown &= valid.cpu().numpy()
    width = thickness or max(1.5, min(canvas.shape[:2]) / 110)
    # Drawing four times as large and shrinking is finer than OpenCV's antialiasing, which has whole-pixel widths.
    factor = 4 if max(canvas.shape[:2]) <= 1024 else 1
    large = cv2.resize(canvas, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    mask = np.zeros(large.shape[:2], np.uint8)
    fixed = np.round(((points + 0.5) * factor - 0.5) * 16).astype(int)

    def line(a: int, b: int, color: tuple[int, int, int], extra: float) -> None:
        stroke = max(1, round((width + extra) * factor))
        for target, value in ((large, color), (mask, 255)):
            cv2.line(target, fixed[a].tolist(), fixed[b].tolist(), value, stroke, cv2.LINE_AA, 4)

    def dot(a: int, color: tuple[int, int, int], radius: float) -> None:
        for target, value in ((large, color), (mask, 255)):
            cv2.circle(target, fixed[a].tolist(), round(radius * factor * 16), value, -1, cv2.LINE_AA, 4)

    bones = [(a, b) for a, b in SNAP_EDGES if shown[a] and shown[b]]
    edge = 0.5 * width
    for a, b in bones:
        line(a, b, INK, 2 * edge)
    for a in np.flatnonzero(shown).tolist():
        dot(a, INK, 0.95 * width + edge)
    for a, b in bones:
        line(a, b, _finger_color(b), 0.0)
    for a in np.flatnonzero(shown).tolist():
        dot(a, _finger_color(a), 0.95 * width)
        dot(a, PAPER, 0.4 * width)
    small = cv2.resize(large, canvas.shape[1::-1], interpolation=cv2.INTER_AREA)
    touched = cv2.resize(mask, canvas.shape[1::-1], interpolation=cv2.INTER_AREA) > 0
    return _tensor(np.where(touched[..., None], small, canvas))


def overlay(
    image: UInt8[Tensor, "*b 3 h w"],
    rendered: Rendered,
    alpha: float = 0.75,
    outline: Triple | None = (1.0, 1.0, 1.0),
) -> UInt8[Tensor, "*b 3 h w"]:
    """A rendering laid over its photograph, with a thin line around it.

    Args:
        image: RGB, one for each picture rendered (a single one may come without the batch axis).
        rendered: of the same size.
        alpha: how much the rendering covers the photograph.
        outline: RGB in [0, 1]; None for no line.
    """
    images = image if image.ndim == 4 else image[None]
    if images.shape != rendered.color.shape:
        raise ValueError(f"overlay() got images {tuple(images.shape)} and renderings {tuple(rendered.color.shape)}.")
    done = []
    for photo, color, mask in zip(images, rendered.color, rendered.mask, strict=True):
        base, top = (x.permute(1, 2, 0).cpu().numpy().astype(np.float32) for x in (photo, color))
        inside = mask.cpu().numpy().astype(np.uint8)
        soft = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 0.6)[..., None]
        base = base + alpha * soft * inside[..., None] * (top - base)
        if outline is not None:
            width = max(1, round(min(inside.shape) / 220))
            contours, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            line = cv2.drawContours(np.zeros_like(inside), contours, -1, 255, width, cv2.LINE_AA)
            share = 0.85 * line.astype(np.float32)[..., None] / 255
            base = base + share * (np.array(outline, np.float32) * 255 - base)
        done.append(_tensor(np.clip(np.round(base), 0, 255).astype(np.uint8)))
    return torch.stack(done) if image.ndim == 4 else done[0]


def _framing(points: Float[Tensor, "b u 3"], size: int) -> Float[Tensor, "b 3 3"]:
    """Cameras of one focal length that centre each set of points, the largest of them filling seven eighths."""
    cameras = torch.eye(3).repeat(len(points), 1, 1)
    if len(points):
        uv = points[..., :2] / points[..., 2:]
        low, high = uv.amin(1), uv.amax(1)
        focal = 0.875 * size / float((high - low).amax().clamp(min=1e-6))
        cameras[:, 0, 0] = cameras[:, 1, 1] = focal
        cameras[:, :2, 2] = (size - 1) / 2 - focal * (low + high) / 2
    return cameras


def _studio(drawn: Rendered, i: int, paper: NDArray[np.float32], radius: float) -> Bytes:
    """One picture with its crevices darkened, shrunk onto paper with a soft shadow; (3, h, w)."""
    size = paper.shape[0]
    mask = drawn.mask[i].numpy().astype(np.float32)
    color = drawn.color[i].permute(1, 2, 0).numpy().astype(np.float32) * mask[..., None]
    alpha, front, depth = (
        cv2.resize(x, (size, size), interpolation=cv2.INTER_AREA) for x in (mask, color, drawn.depth[i].numpy())
    )
    # What lies behind its surroundings gets less light: depth unsharp masking (Luft et al., 2006).
    here = depth / np.maximum(alpha, 1e-6)
    occlusion = np.zeros_like(alpha)
    for share in (0.012, 0.045):
        sigma = share * size
        around = cv2.GaussianBlur(depth, (0, 0), sigma) / (cv2.GaussianBlur(alpha, (0, 0), sigma) + 1e-6)
        occlusion += np.clip((here - around) / (0.35 * radius), 0, 0.3)
    front = front * (1 - occlusion[..., None] * np.array([0.7, 1.0, 1.0], np.float32))
    moved = np.array([[1, 0, 0.018 * size], [0, 1, 0.03 * size]], np.float32)
    shadow = cv2.warpAffine(cv2.GaussianBlur(alpha, (0, 0), 0.028 * size), moved, (size, size))
    picture = paper * (1 - 0.22 * shadow[..., None]) * (1 - alpha[..., None]) + front
    return np.clip(np.round(picture), 0, 255).astype(np.uint8).transpose(2, 0, 1)


def _finger_color(joint: Int[Tensor, ""] | int) -> tuple[int, int, int]:
    return WRIST_COLOR if SNAP_PARENTS[int(joint)] < 0 else FINGER_COLORS[(int(joint) - 1) // 4]


def _tensor(picture: Bytes) -> Picture:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
