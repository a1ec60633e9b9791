"""The z-buffer in plain torch: no loop over triangles or pixels, on the device of the vertices.

Triangles are set up in homogeneous pixel coordinates (Olano and Greer, 1997), so that one that crosses the camera
plane needs no clipping. Each is cut into rows, each row into exactly the pixels it covers, and the nearest fragment of
a pixel is found by an atomic minimum over (depth bits, fragment number).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from zoo.hands.render import NEAR, Job, Lights, Rendered
from zoo.shapes import Float, Int

TOLERANCE = 1e-4  # pixels: neighbours overlap by this rather than leave a seam
PIXELS_AT_ONCE = {"cpu": 1 << 19, "cuda": 1 << 25}
EMPTY = torch.iinfo(torch.int64).max


def draw(job: Job) -> Rendered:
    """Draw a job in slices of the batch that fit the cache (CPU) or memory (CUDA)."""
    height, width = job.size
    device = job.vertices.device
    pixels = PIXELS_AT_ONCE.get(device.type, PIXELS_AT_ONCE["cuda"])
    step = max(1, pixels // (height * width))
    with torch.no_grad(), _one_thread():
        slices = [
            _draw(
                job._replace(
                    **{
                        name: getattr(job, name)[i : i + step]
                        for name in ("vertices", "normals", "intrinsics", "colors")
                    }
                )
            )
            for i in range(0, max(1, len(job.vertices)), step)
        ]
    if len(slices) == 1:
        return slices[0]
    return Rendered(*(torch.cat(field) for field in zip(*slices, strict=True)))


def _draw(job: Job) -> Rendered:
    b = len(job.vertices)
    height, width = job.size
    device = job.vertices.device
    pixel, frame, face, bary, depth = _visible(job)
    background = (torch.tensor(job.background, device=device) * 255).round().to(torch.uint8)
    color = background.expand(b * height * width, 3).clone()
    depths = torch.zeros(b * height * width, device=device)
    parts = torch.full((b * height * width,), -1, dtype=torch.int16, device=device)
    color[pixel] = _shade(job, frame, face, bary)
    depths[pixel] = depth
    parts[pixel] = job.face_parts[face].to(torch.int16)
    depths = depths.view(b, height, width)
    return Rendered(
        color=color.view(b, height, width, 3).permute(0, 3, 1, 2).contiguous(),
        depth=depths,
        mask=depths > 0,
        parts=parts.view(b, height, width),
    )


def _visible(job: Job) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Pixel (flat over the batch), frame, face, barycentrics (n, 3) and depth of what is seen; n pixels."""
    height, width = job.size
    frame, face, edges, corner, last = _triangles(job)

    rows = last[:, 1] - corner[:, 1] + 1
    owner, y = _expand(rows)
    a = edges[owner, :, 0]
    k = edges[owner, :, 1] * y[:, None] + edges[owner, :, 2]
    # A pixel is inside where a x + k >= 0 for all three edges.
    crossing = -k / a
    left = torch.where(a > 0, crossing, -torch.inf).amax(1)
    right = torch.where(a < 0, crossing, torch.inf).amin(1)
    right = torch.where(((a == 0) & (k < 0)).any(1), -torch.inf, right)
    columns = (last[:, 0] - corner[:, 0])[owner].float()
    first = (left - TOLERANCE).ceil().clamp(min=0).minimum(columns + 1)
    final = (right + TOLERANCE).floor().clamp(min=-1).minimum(columns)
    span, x = _expand((final - first + 1).clamp(min=0).long())
    x = x + first[span]

    nearness = a.sum(1)[span] * x + k.sum(1)[span]  # 1 / z
    seen = (nearness > 0) & (nearness <= 1 / NEAR)
    start = (frame[owner] * height + corner[owner, 1] + y) * width + corner[owner, 0]
    where = start[span] + x.long()
    number = torch.arange(len(x), device=x.device)
    key = (nearness.reciprocal().view(torch.int32).long() << 32) | number
    buffer = torch.full((len(job.vertices) * height * width,), EMPTY, device=x.device)
    buffer.scatter_reduce_(0, where, torch.where(seen, key, EMPTY), "amin")

    pixel = (buffer != EMPTY).nonzero()[:, 0]
    winner = buffer[pixel] & 0xFFFFFFFF
    row = span[winner]
    depth = nearness[winner].reciprocal()
    bary = (a[row] * x[winner, None] + k[row]) * depth[:, None]
    triangle = owner[row]
    return pixel, frame[triangle], face[triangle], bary, depth


def _triangles(job: Job) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Frame, face, edge functions (n, 3, 3) and the first and last pixel (n, 2) of each triangle that may be seen."""
    height, width = job.size
    camera = job.intrinsics.clone()
    camera[:, 2] = camera.new_tensor([0.0, 0.0, 1.0])
    points = (job.vertices @ camera.mT)[:, job.faces]  # (b, f, 3, 3): u z, v z, z
    frame, face = (points[..., 2] > NEAR).any(-1).nonzero(as_tuple=True)
    points = points[frame, face]
    z = points[..., 2:]
    limit = points.new_tensor([width - 1, height - 1])
    uv = points[..., :2] / z
    inside = (z > NEAR).all(1)
    lower = torch.where(inside, (uv.amin(1) - TOLERANCE).ceil(), 0.0).clamp(min=0).minimum(limit + 1)
    upper = torch.where(inside, (uv.amax(1) + TOLERANCE).floor(), limit).clamp(min=-1).minimum(limit)
    # Relative to its own first pixel a triangle keeps its precision in float32.
    points = torch.cat([points[..., :2] - lower[:, None] * z, z], dim=-1)
    edges = torch.linalg.cross(points[:, (1, 2, 0)], points[:, (2, 0, 1)])
    volume = (points[:, 0] * edges[:, 0]).sum(-1)
    edges = edges / volume[:, None, None]
    keep = (lower <= upper).all(-1) & edges.isfinite().flatten(1).all(-1)
    return frame[keep], face[keep], edges[keep], lower[keep].long(), upper[keep].long()


def _expand(counts: Int[Tensor, " n"]) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"]]:
    """For counts (2, 0, 3): the owners 0 0 2 2 2 and the places 0 1 0 1 2."""
    owner = torch.repeat_interleave(counts)
    start = counts.cumsum(0) - counts
    return owner, torch.arange(len(owner), device=counts.device) - start[owner]


def _shade(job: Job, frame: Tensor, face: Tensor, bary: Tensor) -> Tensor:
    corners = job.faces[face]

    def mix(attribute: Tensor) -> Tensor:
        flat = attribute.reshape(-1, 3)[frame[:, None] * attribute.shape[1] + corners]
        return (flat * bary[..., None]).sum(1)

    corner = job.vertices[frame[:, None], corners]
    outside = (corner[:, 0] * torch.linalg.cross(corner[:, 1], corner[:, 2])).sum(-1) < 0
    normal = torch.nn.functional.normalize(mix(job.normals), dim=-1, eps=1e-12)
    normal = torch.where(outside[:, None], normal, -normal)
    view = -torch.nn.functional.normalize(mix(job.vertices), dim=-1)
    light, highlight = illuminate(normal, view, job.lights)
    return ((mix(job.colors) * light + highlight).clamp(0, 1) * 255).round().to(torch.uint8)


def illuminate(
    normal: Float[Tensor, "n 3"], view: Float[Tensor, "n 3"], lights: Lights
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """Diffuse light and highlight on surfaces with unit normals, seen from the unit direction `view`."""
    diffuse = normal.new_tensor(lights.ambient).expand_as(normal)
    highlight = torch.zeros_like(normal)
    for direction, color in zip(lights.unit_directions(), lights.colors, strict=True):
        towards, intensity = normal.new_tensor(direction), normal.new_tensor(color)
        cosine = (normal @ towards)[:, None]
        diffuse = diffuse + intensity * ((cosine + lights.wrap) / (1 + lights.wrap)).clamp(min=0)
        if lights.specular:
            half = torch.nn.functional.normalize(towards + view, dim=-1)
            shine = (normal * half).sum(-1, keepdim=True).clamp(min=0) ** lights.shininess
            highlight = highlight + lights.specular * intensity * torch.where(cosine > 0, shine, 0.0)
    return diffuse, highlight


@contextmanager
def _one_thread() -> Iterator[None]:
    """Many small steps: a second thread costs more than it brings."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
