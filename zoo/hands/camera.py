"""Pinhole cameras and crops.

Pixels count from the centre of the top left pixel, as OpenCV does. A crop is an affine map of pixels and, for the
camera frame, a rotation about the optical axis and perhaps a mirror: `A project(K, X) = project(A K F', F X)`, exact.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Points = Float[Tensor, "*#b n 3"]  # metres, camera frame
Pixels = Float[Tensor, "*#b n 2"]
Affine = Float[Tensor, "*#b 2 3"]  # pixels of the image to pixels of the crop
Matrix = Float[Tensor, "*#b 3 3"]
Each = Float[Tensor, "*#b"]

PAIRS = 16  # partners of each point for a first scale: 30 % of outliers spoil half of the pairs, never the median
NEAR, FAR = 0.25, 4.0  # bounds of a fitted scale over the ratio of sizes
FLOOR = 0.01  # of the size in pixels: residuals below it all count fully


class WeakPerspective(NamedTuple):
    """A camera without depth: `scale * (x, y) + translation`."""

    scale: Float[Tensor, "*b"]  # pixels a metre
    translation: Float[Tensor, "*b 2"]  # pixels

    def project(self, points: Points) -> Float[Tensor, "... n 2"]:
        """Metres to pixels; differentiable in the points."""
        return self.scale[..., None, None] * points[..., :2] + self.translation[..., None, :]


def project(points: Points, intrinsics: Matrix) -> Float[Tensor, "... n 2"]:
    """Pinhole projection.

    Args:
        points: Metres, camera frame, in front of the camera.
        intrinsics: Pixels.

    Returns:
        Pixels.
    """
    homogeneous = _times(intrinsics, points)
    return homogeneous[..., :2] / homogeneous[..., 2:]


def place(
    points: Points, pixels: Pixels, intrinsics: Matrix, weights: Float[Tensor, "*#b n"]
) -> Float[Tensor, "... 3"]:
    """The translation that puts points on their pixels: least squares in closed form, of the algebraic error.

    Args:
        points: Metres, relative to any origin, camera frame orientation.
        pixels: Where they were seen.
        intrinsics: Pixels.
        weights: At least two points need a positive one, at different pixels.

    Returns:
        Metres, to be added to the points.
    """
    with torch.autocast(points.device.type, enabled=False):
        inverse, _ = torch.linalg.inv_ex(intrinsics)
    rays = _times(inverse, torch.cat((pixels, torch.ones_like(pixels[..., :1])), -1))
    rays = rays[..., :2] / rays[..., 2:]
    # Each point says t_xy - ray * t_z = ray * z - xy: a regression of the right side on the ray, whose slope is -t_z.
    right = rays * points[..., 2:] - points[..., :2]
    weights = (weights / weights.sum(-1, keepdim=True).clamp_min(1e-12))[..., None]
    mean_ray, mean_right = (weights * rays).sum(-2, keepdim=True), (weights * right).sum(-2, keepdim=True)
    centred = weights * (rays - mean_ray)
    spread = (centred * (rays - mean_ray)).sum((-2, -1)).clamp_min(1e-12)
    depth = -(centred * (right - mean_right)).sum((-2, -1)) / spread
    return torch.cat(((mean_right + mean_ray * depth[..., None, None]).squeeze(-2), depth[..., None]), -1)


@torch.no_grad()
def fit_weak_perspective(
    points: Points, pixels: Pixels, weights: Float[Tensor, "*#b n"], iterations: int = 8
) -> WeakPerspective:
    """The weak perspective that most of the points agree on; carries no gradient.

    Starts at weighted medians (Theil and Sen's slope), then reweighted least squares of Geman and McClure's loss,
    whose width follows the median residual. The scale stays positive, also where points and pixels do not agree.

    Args:
        points: Metres, any origin, camera frame orientation.
        pixels: Where they were seen.
        weights: Confidence; points with 0 are never read, rows without any give a finite camera.
        iterations: Of reweighting; 0 leaves the medians.

    Returns:
        Scale and translation.
    """
    full = torch.promote_types(torch.promote_types(points.dtype, pixels.dtype), torch.float32)
    w = weights.to(full).clamp_min(0)
    x, u = (torch.where(w[..., None] > 0, p.to(full), 0.0) for p in (points[..., :2], pixels))
    x, u = x + torch.zeros_like(u), u + torch.zeros_like(x)
    w = w + torch.zeros_like(x[..., 0])
    sizes = [_median((p - _median(p.mT, w[..., None, :])[..., None, :]).norm(dim=-1), w) for p in (x, u)]
    size = sizes[1].clamp_min(1e-6)
    ratio = size / sizes[0].clamp_min(1e-6)
    n = x.shape[-2]
    partner = (
        torch.arange(n, device=x.device) + torch.arange(1, max(1, min(n // 2, PAIRS)) + 1, device=x.device)[:, None]
    )
    partner = partner % n  # (pairs, n)
    dx, du = (x.unsqueeze(-3) - x[..., partner, :]), (u.unsqueeze(-3) - u[..., partner, :])
    length = dx.norm(dim=-1)
    slope = (dx * du).sum(-1) / length.square().clamp_min(1e-12)
    scale = _median(slope.flatten(-2), (w.unsqueeze(-2) * w[..., partner] * length).flatten(-2))
    scale = scale.clamp(NEAR * ratio, FAR * ratio)
    shift = _median((u - scale[..., None, None] * x).mT, w[..., None, :])
    for _ in range(iterations):
        error = (u - scale[..., None, None] * x - shift[..., None, :]).norm(dim=-1)
        width = (2 * _median(error, w)).clamp_min(FLOOR * size)[..., None].square()
        share = w * (width / (width + error.square())).square()
        share = (share / share.sum(-1, keepdim=True).clamp_min(1e-20))[..., None]
        mean_x, mean_u = (share * x).sum(-2), (share * u).sum(-2)
        centred = share * (x - mean_x[..., None, :])
        spread = (centred * x).sum((-2, -1))
        found = (centred * u).sum((-2, -1)) / spread.clamp_min(1e-12)
        scale = torch.where(spread > 1e-12, found, scale).clamp(NEAR * ratio, FAR * ratio)
        shift = mean_u - scale[..., None] * mean_x
    return WeakPerspective(scale, shift)


def square_box(
    pixels: Float[Tensor, "*b n 2"], valid: Bool[Tensor, "*b n"], margin: float = 1.5
) -> tuple[Float[Tensor, "*b 2"], Float[Tensor, "*b"]]:
    """The square around keypoints.

    Args:
        pixels: Keypoints.
        valid: Which of them count; at least one a hand.
        margin: Side of the square over the longer side of the tight box.

    Returns:
        Centre and side, pixels; the side is at least one pixel.
    """
    if not bool(valid.any(-1).all()):
        raise ValueError("square_box got a hand without a valid keypoint: there is no box. Leave such hands out.")
    low = pixels.masked_fill(~valid[..., None], torch.inf).amin(-2)
    high = pixels.masked_fill(~valid[..., None], -torch.inf).amax(-2)
    return (low + high) / 2, ((high - low).amax(-1) * margin).clamp_min(1.0)


def crop_frame(rotation: Each, mirrored: Bool[Tensor, "*#b"] | None = None) -> Float[Tensor, "... 3 3"]:
    """From the image's camera frame to the crop's: mirror x where asked, then turn about the optical axis.

    Args:
        rotation: Radians, from x towards y (clockwise on the screen).
        mirrored: Hands whose crop is mirrored; None for none.

    Returns:
        Orthogonal matrices F: a point X of the image's camera is F X in the crop's.
    """
    cos, sin, zero, one = rotation.cos(), rotation.sin(), torch.zeros_like(rotation), torch.ones_like(rotation)
    frame = torch.unflatten(torch.stack((cos, -sin, zero, sin, cos, zero, zero, zero, one), -1), -1, (3, 3))
    if mirrored is None:
        return frame
    sign = torch.stack((1.0 - 2.0 * mirrored.to(frame.dtype), *[torch.ones_like(mirrored, dtype=frame.dtype)] * 2), -1)
    return frame * sign[..., None, :]


def crop_affine(
    center: Float[Tensor, "*#b 2"],
    size: Each,
    rotation: Each,
    out: int,
    mirrored: Bool[Tensor, "*#b"] | None = None,
) -> Float[Tensor, "... 2 3"]:
    """The affine map that fills a crop with a turned box; `cv2.warpAffine(image, affine, (out, out))` does it.

    Args:
        center: Of the box, pixels; goes to the middle of the crop.
        size: Side of the box, pixels.
        rotation: Radians; what is seen turns from x towards y.
        out: Side of the crop, pixels.
        mirrored: Hands whose crop is mirrored; None for none.

    Returns:
        Pixels of the image to pixels of the crop.
    """
    linear = crop_frame(rotation, mirrored)[..., :2, :2] * (out / size)[..., None, None]
    shift = (out - 1) / 2 - (linear * center[..., None, :]).sum(-1)
    return torch.cat((linear, shift[..., None]), -1)


def apply_affine(affine: Affine, pixels: Pixels) -> Float[Tensor, "... n 2"]:
    """Moves points by affine maps.

    Args:
        affine: One map for each set of points.
        pixels: Points.

    Returns:
        Points.
    """
    return _times(affine[..., :2], pixels) + affine[..., None, :, 2]


def invert_affine(affine: Affine) -> Float[Tensor, "... 2 3"]:
    """The way back, from crop to image.

    Args:
        affine: Invertible maps.

    Returns:
        Their inverses.
    """
    (a, b, x), (c, d, y) = (row.unbind(-1) for row in affine.unbind(-2))
    det = a * d - b * c
    rows = (d, -b, b * y - d * x, -c, a, c * x - a * y)
    return torch.unflatten(torch.stack(rows, -1) / det[..., None], -1, (2, 3))


def crop_intrinsics(affine: Affine, intrinsics: Matrix, frame: Matrix) -> Float[Tensor, "... 3 3"]:
    """K' = A K F': the crop's camera. Without skew when fx = fy or the crop is not turned; exact in every case.

    Args:
        affine: From `crop_affine`.
        intrinsics: Of the image, pixels.
        frame: From `crop_frame`, of the same rotation and mirror.

    Returns:
        Pixels of the crop.
    """
    turned = (intrinsics.unsqueeze(-2) * frame.unsqueeze(-3)).sum(-1)  # K F'
    top = (affine.unsqueeze(-1) * turned.unsqueeze(-3)).sum(-2)
    return torch.cat((top, turned[..., 2:, :].expand_as(top[..., :1, :])), -2)


def crop_to_full(points: Points, frame: Matrix) -> Float[Tensor, "... n 3"]:
    """Points of a crop's camera frame in the camera frame of the whole image.

    Args:
        points: Metres.
        frame: From `crop_frame`.

    Returns:
        Metres.
    """
    return _times(frame.mT, points)


def normalize_pixels(pixels: Float[Tensor, "*b n 2"], size: Sequence[int]) -> Float[Tensor, "*b n 2"]:
    """Pixels to coordinates in which the picture's edges are -1 and 1 (`grid_sample`'s, `align_corners=False`).

    Args:
        pixels: Points.
        size: Width and height of the picture, pixels.

    Returns:
        Points; -1 is the left or upper edge.
    """
    return (2 * pixels + 1) / pixels.new_tensor(tuple(size)) - 1


def denormalize_pixels(coordinates: Float[Tensor, "*b n 2"], size: Sequence[int]) -> Float[Tensor, "*b n 2"]:
    """The inverse of `normalize_pixels`.

    Args:
        coordinates: Points; -1 is the left or upper edge.
        size: Width and height of the picture, pixels.

    Returns:
        Pixels.
    """
    return ((coordinates + 1) * coordinates.new_tensor(tuple(size)) - 1) / 2


def _times(matrices: Tensor, vectors: Tensor) -> Tensor:
    return (matrices.unsqueeze(-3) * vectors.unsqueeze(-2)).sum(-1)  # a sum, which autocast never rounds


def _median(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted, over the last dimension."""
    values, order = values.sort(dim=-1)
    below = weights.expand_as(order).gather(-1, order).cumsum(-1)
    middle = (below < below[..., -1:] / 2).sum(-1, keepdim=True).clamp_max(values.shape[-1] - 1)
    return values.gather(-1, middle).squeeze(-1)
