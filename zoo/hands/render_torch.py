"""The z-buffer in plain torch: no loop over triangles or pixels, on the device of the vertices.

Triangles are set up in homogeneous pixel coordinates (Olano and Greer, 1997), so that one that crosses the camera
plane needs no clipping. Each is cut into rows, each row into exactly the pixels it covers, and the nearest fragment of
a pixel is found by an atomic minimum over (depth bits, fragment number).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from zoo.hands.render import NEAR, Job, Lights, Rendered

TOLERANCE = 1e-4  # pixels: neighbours overlap by this rather than leave a seam
PIXELS_AT_ONCE = {"cpu": 1 << 19, "cuda": 1 << 25}
EMPTY = torch.iinfo(torch.int64).max


def draw(job: Job) -> Rendered:
    """Draw a job in slices of the batch that fit the cache (CPU) or memory (CUDA)."""
    height, width = job.size
    device = job.vertices.device
    pixels = PIXELS_AT_ONCE.get(device.type, PIXELS_AT_ONCE["cuda"])
    step = max(1, pixels // (height * width))
    with torch.no_grad(), torch.autocast(device.type, enabled=False), _one_thread():
        slices = [_draw(_rows(job, slice(i, i + step))) for i in range(0, max(1, len(job.vertices)), step)]
    if len(slices) == 1:
        return slices[0]
    return Rendered(*(torch.cat(field) for field in zip(*slices, strict=True)))


def _rows(job: Job, rows: slice) -> Job:
    return job._replace(
        vertices=job.vertices[rows],
        normals=job.normals[rows],
        intrinsics=job.intrinsics[rows],
        colors=job.colors[rows],
    )


def _draw(job: Job) -> Rendered:
    b = len(job.vertices)
    height, width = job.size
    device = job.vertices.device
    seen = _visible(job)
    background = torch.tensor(job.background, device=device).mul(255).round().to(torch.uint8)
    color = background[:, None].repeat(1, b * height * width)
    depth = torch.zeros(b * height * width, device=device)
    parts = torch.full((b * height * width,), -1, dtype=torch.int16, device=device)
    color.index_copy_(1, seen.pixel, _shade(job, seen).T)
    depth.index_copy_(0, seen.pixel, seen.depth)
    parts.index_copy_(0, seen.pixel, job.face_parts.to(torch.int16).index_select(0, seen.face))
    depth = depth.view(b, height, width)
    color = color.view(3, b, height, width)
    return Rendered(
        color=color.transpose(0, 1).contiguous(), depth=depth, mask=depth > 0, parts=parts.view(b, height, width)
    )


class _Seen(NamedTuple):
    """The pixels in which something is seen, n of them."""

    pixel: Int[Tensor, " n"]  # in the flattened batch
    frame: Int[Tensor, " n"]
    face: Int[Tensor, " n"]
    outside: Bool[Tensor, " n"]  # seen from the side where its corners run counter-clockwise
    weights: Float[Tensor, "3 n"]  # perspective-correct barycentric coordinates
    depth: Float[Tensor, " n"]


class _Triangles(NamedTuple):
    """Triangles that may be seen. With x, y counted from `first`, `edges` @ (x, y, 1) is barycentric / z."""

    frame: Int[Tensor, " t"]
    face: Int[Tensor, " t"]
    outside: Bool[Tensor, " t"]
    edges: Float[Tensor, "3 3 t"]  # coefficient (x, y, 1), corner, triangle
    first: Int[Tensor, "2 t"]  # x, y of the bounding box, inclusive
    last: Int[Tensor, "2 t"]


def _visible(job: Job) -> _Seen:
    height, width = job.size
    triangles = _triangles(job)
    box = triangles.last - triangles.first
    owner, y = _expand(box[1] + 1)
    a, slope, k = triangles.edges.index_select(2, owner)
    k = k + slope * y
    # A pixel is inside where a x + k >= 0 for all three edges.
    crossing = -k / a
    left = torch.where(a > 0, crossing, -torch.inf).amax(0)
    right = torch.where(a < 0, crossing, torch.inf).amin(0)
    right = torch.where(((a == 0) & (k < 0)).any(0), -torch.inf, right)
    columns = box[0].index_select(0, owner).float()
    first = (left - TOLERANCE).ceil().clamp(min=0).minimum(columns + 1)
    last = (right + TOLERANCE).floor().clamp(min=-1).minimum(columns)
    row, x = _expand((last - first + 1).clamp(min=0).long())
    x = x + first.long().index_select(0, row)

    nearness = a.sum(0).index_select(0, row) * x + k.sum(0).index_select(0, row)  # 1 / z
    corner = (triangles.frame * height + triangles.first[1]) * width + triangles.first[0]
    pixel = (corner.index_select(0, owner) + y * width).index_select(0, row) + x
    depth_bits = nearness.reciprocal().view(torch.int32).long()
    key = (depth_bits << 32) | torch.arange(len(x), device=x.device)
    key = torch.where((nearness > 0) & (nearness <= 1 / NEAR), key, EMPTY)
    buffer = torch.full((len(job.vertices) * height * width,), EMPTY, device=x.device)
    buffer.scatter_reduce_(0, pixel, key, "amin")

    pixel = (buffer != EMPTY).nonzero()[:, 0]
    winner = buffer.index_select(0, pixel) & 0xFFFFFFFF
    row, x, near = (each.index_select(0, winner) for each in (row, x, nearness))
    triangle, depth = owner.index_select(0, row), near.reciprocal()
    return _Seen(
        pixel=pixel,
        frame=triangles.frame.index_select(0, triangle),
        face=triangles.face.index_select(0, triangle),
        outside=triangles.outside.index_select(0, triangle),
        weights=(a.index_select(1, row) * x + k.index_select(1, row)) * depth,
        depth=depth,
    )


def _triangles(job: Job) -> _Triangles:
    height, width = job.size
    camera = job.intrinsics.clone()
    camera[:, 2] = camera.new_tensor([0.0, 0.0, 1.0])
    # Not a matrix product, which would be rounded where TensorFloat-32 is on.
    points = (job.vertices[:, :, None] * camera[:, None]).sum(-1)
    points = points[:, job.faces]  # (b, f, corner, 3): u z, v z, z
    frame, face = (points[..., 2] > NEAR).any(-1).nonzero(as_tuple=True)
    points = points[frame, face].permute(2, 1, 0).contiguous()  # (3, corner, t)
    z = points[2]
    limit = points.new_tensor([[width - 1], [height - 1]])
    uv = points[:2] / z
    inside = (z > NEAR).all(0)
    first = torch.where(inside, (uv.amin(1) - TOLERANCE).ceil(), 0.0).clamp(min=0).minimum(limit + 1)
    last = torch.where(inside, (uv.amax(1) + TOLERANCE).floor(), limit).clamp(min=-1).minimum(limit)
    # Relative to its own first pixel a triangle keeps its precision in float32.
    points = torch.cat([points[:2] - first[:, None] * z, z[None]])
    edges = torch.linalg.cross(points[:, (1, 2, 0)], points[:, (2, 0, 1)], dim=0)
    volume = (points[:, 0] * edges[:, 0]).sum(0)
    edges = edges / volume
    keep = (first <= last).all(0) & edges.isfinite().flatten(0, 1).all(0)
    mirrored = (camera[:, 0, 0] * camera[:, 1, 1] < 0)[frame]
    return _Triangles(
        frame=frame[keep],
        face=face[keep],
        outside=((volume < 0) != mirrored)[keep],
        edges=edges[:, :, keep],
        first=first[:, keep].long(),
        last=last[:, keep].long(),
    )


def _expand(counts: Int[Tensor, " n"]) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"]]:
    """For counts (2, 0, 3): the owners 0 0 2 2 2 and the places 0 1 0 1 2."""
    owner = torch.repeat_interleave(counts)
    start = counts.cumsum(0) - counts
    return owner, torch.arange(len(owner), device=counts.device) - start[owner]


def _shade(job: Job, seen: _Seen) -> UInt8[Tensor, "n 3"]:
    count = job.vertices.shape[1]
    attributes = torch.cat([job.vertices, job.normals, job.colors], dim=-1).flatten(0, 1)
    corners = job.faces.T.index_select(1, seen.face) + seen.frame * count
    mixed = sum(attributes.index_select(0, corners[i]) * seen.weights[i, :, None] for i in range(3))
    point, normal, albedo = torch.as_tensor(mixed).view(-1, 3, 3).unbind(1)
    normal = normal * torch.where(seen.outside, 1.0, -1.0)[:, None]
    light, highlight = illuminate(normal, -point, job.lights)
    return torch.addcmul(highlight, albedo, light).clamp(0, 1).mul(255).round().to(torch.uint8)


def illuminate(
    normal: Float[Tensor, "n 3"], view: Float[Tensor, "n 3"], lights: Lights
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """Diffuse light and highlight on surfaces with these normals, seen from direction `view` (any lengths)."""
    if not lights.directions:
        return normal.new_tensor(lights.ambient).expand_as(normal), torch.zeros_like(normal)
    towards = normal.new_tensor(lights.unit_directions()).T  # (3, lights)
    intensities = normal.new_tensor(lights.colors)
    normal = normal / normal.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    view = view / view.norm(dim=-1, keepdim=True)
    cosine = normal @ towards
    wrapped = ((cosine + lights.wrap) / (1 + lights.wrap)).clamp(min=0)
    diffuse = normal.new_tensor(lights.ambient) + wrapped @ intensities
    if lights.specular == 0:
        return diffuse, torch.zeros_like(normal)
    # The half vector is the normalised sum of two unit vectors, whose squared length is 2 + 2 cos.
    facing = (normal * view).sum(-1, keepdim=True)
    half = (cosine + facing) / (2 + 2 * (view @ towards)).clamp(min=1e-12).sqrt()
    shine = torch.where(cosine > 0, half.clamp(min=1e-6) ** lights.shininess, 0.0)
    return diffuse, lights.specular * (shine @ intensities)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Many small steps: a second thread costs more than it brings."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
