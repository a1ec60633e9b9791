"""From skeletons in an image to conditions in a crop, and back."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from zoo.batch import Given
from zoo.commands.skeletons import Skeleton
from zoo.hands.camera import (
    apply_affine,
    crop_affine,
    crop_frame,
    crop_to_full,
    normalize_pixels,
    place,
    project,
    square_box,
)
from zoo.hands.skeleton import LEFT, MIDDLE_MCP, WRIST
from zoo.shapes import Intrinsics, JointMask, Joints, Joints2D, Vertices

CROP = 256  # pixels; conditions are relative to the crop, so its size decides nothing
FOCAL = 1.2  # of the larger image side: about the field of view of a phone, when the camera is not known

What = Literal["auto", "2d", "3d", "both"]


class Crops(NamedTuple):
    """Skeletons with everything that leads into their crops and back."""

    given: Given
    pixels: Joints2D  # (b, 21, 2) of the image
    seen: JointMask  # (b, 21)
    joints: Joints  # (b, 21, 3) metres, camera frame of the image; anything where not labelled
    labelled: JointMask  # (b, 21)
    intrinsics: Intrinsics  # (b, 3, 3) of the image
    frame: Float[Tensor, "b 3 3"]  # from the image's camera frame to the crop's

    def to(self, device: torch.device) -> Given:
        """The conditions, on a device."""
        return cast(Given, {key: value.to(device) for key, value in cast(dict[str, Tensor], self.given).items()})


class Placed(NamedTuple):
    """Hands in the camera frame of their images; n hypotheses each, best first."""

    vertices: Vertices  # (b, n, 778, 3) metres
    joints: Joints  # (b, n, 21, 3) metres
    pixel_error: Float[Tensor, "b n"]  # mean over the seen joints
    joint_error: Float[Tensor, "b n"]  # mean over the labelled joints, metres; NaN where there are none


def crop(
    hands: Sequence[Skeleton],
    sizes: Sequence[tuple[int, int]],
    *,
    what: What = "auto",
    margin: float = 1.5,
    focal: float | None = None,
    upright: bool = True,
) -> Crops:
    """The conditions of hands, each seen in a square crop around its keypoints; left hands are mirrored.

    Args:
        hands: With at least one keypoint each.
        sizes: Height and width of each image, pixels.
        what: Which labels become conditions; "auto" takes all there are.
        margin: Side of the crop over the longer side of the keypoints' box, as in training.
        focal: Pixels, where the camera is not known; None is `FOCAL` times the larger image side.
        upright: Turn crops so that the middle finger's base is above the wrist. Exact, for it turns the camera.
    """
    pixels = torch.from_numpy(np.stack([hand.pixels for hand in hands]))
    seen = torch.from_numpy(np.stack([hand.seen for hand in hands]))
    front = np.array([0, 0, 1], np.float32)
    joints = torch.from_numpy(
        np.stack([np.broadcast_to(front, (21, 3)) if hand.joints is None else hand.joints for hand in hands])
    )
    labelled = torch.from_numpy(np.stack([hand.labelled for hand in hands])) & (what != "2d")
    mirrored = torch.tensor([hand.side == LEFT for hand in hands])
    rotation = -_lean(pixels, seen, mirrored) if upright else torch.zeros(len(hands))
    frame = crop_frame(rotation, mirrored)
    turned = pixels @ frame[:, :2, :2].mT
    center, side = square_box(turned, seen, margin)
    affine = crop_affine((center[:, None] @ frame[:, :2, :2])[:, 0], side, rotation, CROP, mirrored)
    given = Given()
    if what in ("auto", "2d", "both"):
        inside = normalize_pixels(apply_affine(affine, pixels), (CROP, CROP))
        given["joints2d"], given["joints2d_valid"] = inside * seen[..., None], seen
    if what in ("auto", "3d", "both") and bool(labelled.any()):
        given["joints"], given["joints_valid"] = joints @ frame.mT, labelled
    intrinsics = torch.stack([_camera(hand, size, focal) for hand, size in zip(hands, sizes, strict=True)])
    return Crops(given, pixels, seen, joints, labelled, intrinsics, frame)


def _camera(hand: Skeleton, size: tuple[int, int], focal: float | None) -> Tensor:
    if hand.intrinsics is not None:
        return torch.from_numpy(hand.intrinsics)
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
    """Brings sampled hands into their images, where they fit their labels best, and sorts hypotheses.

    Args:
        vertices: (b, n, 778, 3) metres, wrist-relative, camera frame of the crop.
        joints: (b, n, 21, 3) the same.
        crops: Where they came from.
    """
    n = vertices.shape[1]
    frame = crops.frame[:, None].to(vertices)
    vertices, joints = crop_to_full(vertices, frame), crop_to_full(joints, frame)
    pixels, seen = (x[:, None].expand(-1, n, *x.shape[1:]) for x in (crops.pixels, crops.seen))
    camera = crops.intrinsics[:, None].expand(-1, n, 3, 3)
    weights = crops.labelled.float()[:, None, :, None]
    total = weights.sum(-2)
    by_label = ((crops.joints[:, None] - joints) * weights).sum(-2) / total.clamp_min(1)
    shift = torch.where(total > 0, by_label, _place(joints, pixels, camera, seen.float()))
    vertices, joints = vertices + shift[..., None, :], joints + shift[..., None, :]
    apart = (project(joints, camera) - pixels).norm(dim=-1)
    pixel_error = (apart * seen).sum(-1) / seen.sum(-1).clamp_min(1)
    off = (joints - crops.joints[:, None]).norm(dim=-1)
    labelled = crops.labelled[:, None].expand_as(off)
    joint_error = (off * labelled).sum(-1) / labelled.sum(-1)
    order = torch.where(labelled.any(-1), joint_error, pixel_error).argsort(dim=1)
    rows = torch.arange(len(order))[:, None]
    return Placed(vertices[rows, order], joints[rows, order], pixel_error[rows, order], joint_error[rows, order])


def _place(joints: Tensor, pixels: Tensor, camera: Tensor, weights: Tensor) -> Tensor:
    """The translation by least squares, or by sizes alone where a badly fitting hand makes that absurd."""
    exact = place(joints, pixels, camera, weights)
    share = (weights / weights.sum(-1, keepdim=True))[..., None]
    focal = torch.stack((camera[..., 0, 0], camera[..., 1, 1]), -1)[..., None, :]
    rays = (pixels - camera[..., None, :2, 2]) / focal
    mean_ray, mean = (share * rays).sum(-2), (share * joints).sum(-2)
    width, ray_width = (
        (share * (points - middle[..., None, :]).square()).sum((-2, -1)).sqrt()
        for points, middle in ((joints[..., :2], mean[..., :2]), (rays, mean_ray))
    )
    depth = width / ray_width.clamp_min(1e-9)
    rough = torch.cat((mean_ray * depth[..., None] - mean[..., :2], (depth - mean[..., 2])[..., None]), -1)
    ratio = (exact[..., 2] + mean[..., 2]) / depth
    return torch.where(((ratio > 1 / 3) & (ratio < 3))[..., None], exact, rough)
