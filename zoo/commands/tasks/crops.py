"""From hands in an image to conditions in a crop, and back."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from zoo.batch import Given
from zoo.commands.tasks.case import Case
from zoo.commands.tasks.photos import read_photo
from zoo.guidance.cameras import put_in_front
from zoo.hands.camera import (
    apply_affine,
    crop_affine,
    crop_frame,
    crop_intrinsics,
    crop_to_full,
    normalize_pixels,
    project,
    square_box,
)
from zoo.hands.skeleton import LEFT, MIDDLE_MCP, WRIST
from zoo.shapes import Intrinsics, JointMask, Joints, Joints2D, Vertices

CROP = 256  # pixels, where there is no image; skeletons are relative to the crop, so its size decides nothing
FOCAL = 1.2  # of the larger image side: about the field of view of a phone, when the camera is not known
ABSURD = 2.5  # times nearer or farther than the hand's size says
ROUNDS = 12  # of matching a hand's box, each of which leaves about a tenth of the error

What = Literal["auto", "2d", "3d", "image", "both", "all"]


class Crops(NamedTuple):
    """Hands with everything that leads into their crops and back."""

    given: Given
    pixels: Joints2D  # (b, 21, 2) of the image
    confidence: Float[Tensor, "b 21"]
    joints: Joints  # (b, 21, 3) metres, camera frame of the image; anything where not labelled
    labelled: JointMask  # (b, 21)
    intrinsics: Intrinsics  # (b, 3, 3) of the image
    frame: Float[Tensor, "b 3 3"]  # from the image's camera frame to the crop's
    affine: Float[Tensor, "b 2 3"]  # from pixels of the image to the crop's
    corners: Float[Tensor, "b 2 2"]  # of the box that the crop was cut around, pixels of the image
    side: int  # of the crop, pixels

    @property
    def seen(self) -> JointMask:
        """(b, 21) keypoints that count."""
        return self.confidence > 0

    @property
    def camera(self) -> Intrinsics:
        """(b, 3, 3) of the crops, pixels."""
        return crop_intrinsics(self.affine.double(), self.intrinsics.double(), self.frame.double()).float()

    def to(self, device: torch.device) -> Given:
        """The conditions, on a device."""
        return cast(Given, {key: value.to(device) for key, value in cast(dict[str, Tensor], self.given).items()})


class Placed(NamedTuple):
    """Hands in the camera frame of their images, n hypotheses each."""

    vertices: Vertices  # (b, n, 778, 3) metres
    joints: Joints  # (b, n, 21, 3) metres


def crop(
    cases: Sequence[Case],
    sizes: Sequence[tuple[int, int]],
    *,
    what: What = "auto",
    margin: float = 1.5,
    focal: float | None = None,
    upright: bool = True,
    image_side: int | None = None,
) -> Crops:
    """The conditions of hands, each seen in a square crop around its keypoints or box; left hands are mirrored.

    Args:
        cases: With a keypoint or a box each.
        sizes: Height and width of each image, pixels.
        what: Which labels become conditions; "auto" and "all" take all there are.
        margin: Side of the crop over the longer side of the keypoints' box, as in training.
        focal: Pixels, where the camera is not known; None is `FOCAL` times the larger image side.
        upright: Turn crops so that the middle finger's base is above the wrist. Exact, for it turns the camera.
        image_side: Of the images among the conditions, pixels; None for none.
    """
    pixels = torch.from_numpy(np.stack([case.pixels for case in cases]))
    confidence = torch.from_numpy(np.stack([case.confidence for case in cases]))
    seen = confidence > 0
    front = np.array([0, 0, 1], np.float32)
    joints = torch.from_numpy(
        np.stack([np.broadcast_to(front, (21, 3)) if case.joints is None else case.joints for case in cases])
    )
    labelled = torch.from_numpy(np.stack([case.labelled for case in cases])) & (what not in ("2d", "image"))
    mirrored = torch.tensor([case.side == LEFT for case in cases])
    rotation = -_lean(pixels, seen, mirrored) if upright else torch.zeros(len(cases))
    frame = crop_frame(rotation, mirrored)
    outline, counted = _outlines(cases, sizes, pixels, seen, margin)
    turned = outline @ frame[:, :2, :2].mT
    center, side = square_box(turned, counted, margin)
    crop_side = image_side or CROP
    affine = crop_affine((center[:, None] @ frame[:, :2, :2])[:, 0], side, rotation, crop_side, mirrored)
    given = Given()
    if what in ("auto", "2d", "both", "all") and bool(seen.any()):
        inside = normalize_pixels(apply_affine(affine, pixels), (crop_side, crop_side))
        given["joints2d"], given["joints2d_valid"] = inside * seen[..., None], seen
    if what in ("auto", "3d", "both", "all") and bool(labelled.any()):
        given["joints"], given["joints_valid"] = joints @ frame.mT, labelled
    if image_side is not None:
        given["image"], given["has_image"] = _images(cases, affine, image_side)
    intrinsics = torch.stack([_camera(case, size, focal) for case, size in zip(cases, sizes, strict=True)])
    low = outline.masked_fill(~counted[..., None], torch.inf).amin(1)
    high = outline.masked_fill(~counted[..., None], -torch.inf).amax(1)
    corners = torch.stack((low, high), 1)
    return Crops(given, pixels, confidence, joints, labelled, intrinsics, frame, affine, corners, crop_side)


def _outlines(
    cases: Sequence[Case], sizes: Sequence[tuple[int, int]], pixels: Joints2D, seen: JointMask, margin: float
) -> tuple[Joints2D, JointMask]:
    """What each crop goes around: the keypoints, the box, or what makes the crop the whole image."""
    pixels, seen = pixels.clone(), seen.clone()
    for row, (case, (height, width)) in enumerate(zip(cases, sizes, strict=True)):
        if case.box is None and not case.whole:
            continue
        if case.box is None:
            low, high = torch.tensor([-0.5, -0.5]), torch.tensor([width - 0.5, height - 0.5])
            low, high = (low + high) / 2 - (high - low) / (2 * margin), (low + high) / 2 + (high - low) / (2 * margin)
        else:
            x, y, w, h = case.box
            low, high = torch.tensor([x, y]), torch.tensor([x + w, y + h])
        pixels[row, 0], pixels[row, 1] = low, high
        seen[row] = torch.arange(21) < 2
    return pixels, seen


def _images(cases: Sequence[Case], affine: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Packed crops (m, 3, side, side) in [0, 1], cut as in training, and which rows have one."""
    from datamodules.crops import warp

    has = torch.tensor([case.image is not None for case in cases])
    crops = [
        warp(read_photo(case.image), affine[row].double().numpy(), side)
        for row, case in enumerate(cases)
        if case.image is not None
    ]
    packed = np.stack(crops) if crops else np.zeros((0, side, side, 3), np.uint8)
    return torch.from_numpy(packed).permute(0, 3, 1, 2).float() / 255, has


def _camera(case: Case, size: tuple[int, int], focal: float | None) -> Tensor:
    if case.intrinsics is not None:
        return torch.from_numpy(case.intrinsics)
    height, width = size
    f = FOCAL * max(height, width) if focal is None else focal
    return torch.tensor([[f, 0, (width - 1) / 2], [0, f, (height - 1) / 2], [0, 0, 1]])


def _lean(pixels: Joints2D, seen: JointMask, mirrored: Tensor) -> Float[Tensor, " b"]:
    """How far each hand leans from pointing up, clockwise, after mirroring; 0 where its labels do not say."""
    sign = torch.where(mirrored, -1.0, 1.0)
    across = (pixels[:, MIDDLE_MCP] - pixels[:, WRIST]) * torch.stack((sign, torch.ones_like(sign)), -1)
    known = seen[:, MIDDLE_MCP] & seen[:, WRIST]
    return torch.where(known, torch.atan2(across[:, 0], -across[:, 1]), torch.zeros(len(pixels)))


def put_back(vertices: Vertices, joints: Joints, crops: Crops) -> Placed:
    """Brings sampled hands into their images, where they fit their labels best.

    3D joints decide first, then keypoints; where there are none, the hand's joints fill the box.

    Args:
        vertices: (b, n, 778, 3) metres, wrist-relative, camera frame of the crop.
        joints: (b, n, 21, 3) the same.
        crops: Where they came from.
    """
    n = vertices.shape[1]
    frame = crops.frame[:, None].to(vertices)
    vertices, joints = crop_to_full(vertices, frame), crop_to_full(joints, frame)
    camera = crops.intrinsics[:, None].expand(-1, n, 3, 3)
    weights = crops.labelled.float()[:, None, :, None]
    total = weights.sum(-2)
    by_label = ((crops.joints[:, None] - joints) * weights).sum(-2) / total.clamp_min(1)
    confidence = crops.confidence[:, None].expand(-1, n, 21)
    by_pixels = on_pixels(joints, crops.pixels[:, None].expand(-1, n, 21, 2), camera, confidence)
    by_box = fill_box(joints, crops.corners[:, None].expand(-1, n, 2, 2), camera)
    seen = crops.seen.any(-1)[:, None, None]
    shift = torch.where(total > 0, by_label, torch.where(seen, by_pixels, by_box))[..., None, :]
    return Placed(vertices + shift, joints + shift)


def on_pixels(
    joints: Joints, pixels: Joints2D, camera: Intrinsics, weights: Float[Tensor, "*b 21"]
) -> Float[Tensor, "*b 3"]:
    """The translation that most keypoints agree on, or by sizes alone where a badly fitting hand makes that absurd.

    Args:
        joints: Metres, any origin.
        pixels: Where they were seen.
        camera: Pixels.
        weights: Confidence.
    """
    agreed = put_in_front(joints, pixels, camera, weights)
    share = (weights / weights.sum(-1, keepdim=True).clamp_min(1e-12))[..., None]
    focal = torch.stack((camera[..., 0, 0], camera[..., 1, 1]), -1)[..., None, :]
    rays = (pixels - camera[..., None, :2, 2]) / focal
    mean_ray, mean = (share * rays).sum(-2), (share * joints).sum(-2)
    width, ray_width = (
        (share * (points - middle[..., None, :]).square()).sum((-2, -1)).sqrt()
        for points, middle in ((joints[..., :2], mean[..., :2]), (rays, mean_ray))
    )
    depth = width / ray_width.clamp_min(1e-9)
    rough = torch.cat((mean_ray * depth[..., None] - mean[..., :2], (depth - mean[..., 2])[..., None]), -1)
    ratio = (agreed[..., 2] + mean[..., 2]) / depth
    return torch.where(((ratio > 1 / ABSURD) & (ratio < ABSURD))[..., None], agreed, rough)


def fill_box(joints: Joints, corners: Float[Tensor, "*b 2 2"], camera: Intrinsics) -> Float[Tensor, "*b 3"]:
    """The translation under which the joints' box has the centre and the longer side of a given one.

    Args:
        joints: Metres, any origin.
        corners: Upper left and lower right of the box, pixels.
        camera: Pixels.
    """
    middle = joints.mean(-2)
    focal = (camera[..., 0, 0] + camera[..., 1, 1])[..., None] / 2
    centre, side = corners.mean(-2), (corners[..., 1, :] - corners[..., 0, :]).amax(-1, keepdim=True).clamp_min(1)
    extent = joints[..., :2].amax(-2) - joints[..., :2].amin(-2)
    depth = (focal * extent.amax(-1, keepdim=True) / side).clamp_min(0.05)
    place = torch.cat(((centre - camera[..., :2, 2]) / focal * depth, depth), -1)
    for _ in range(ROUNDS):
        seen = project(joints - middle[..., None, :] + place[..., None, :], camera)
        low, high = seen.amin(-2), seen.amax(-2)
        off = centre - (low + high) / 2
        depth = place[..., 2:] * ((high - low).amax(-1, keepdim=True) / side).clamp(0.5, 2)
        # nearer than the hand is deep, half of it would lie behind the camera
        depth = depth.maximum((middle - joints.amin(-2))[..., 2:] + 0.02)
        rays = (place[..., :2] / place[..., 2:]) + off / focal
        place = torch.cat((rays * depth, depth), -1)
    return place - middle
