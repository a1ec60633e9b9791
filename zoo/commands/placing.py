"""Hands of a crop, wrist at the origin, in the frame of the camera that took the whole image."""

import torch

from zoo.hands.camera import crop_frame, crop_to_full, denormalize_pixels, place, project
from zoo.hands.skeleton import LEFT
from zoo.shapes import Float, Intrinsics, JointMask, Joints, Joints2D, Side, Tensor, Translation, Vertices

BONE = (9, 10)  # of the middle finger, SNAP-21: the bone whose length FreiHAND gives away as `scale`
_SIZES = (0.5, 2.0)  # between which a hand may be resized to it
_STEPS = 20  # each takes the error of perspective down by about the hand's depth over its distance
_FARTHEST = 10.0  # metres


def resized(joints: Joints, vertices: Vertices, length: Float[Tensor, " b"]) -> tuple[Joints, Vertices]:
    """Hands of the size at which the middle finger's `BONE` has a given length, at most twice or half their own.

    Args:
        joints: (b, 21, 3) metres, wrist at the origin.
        vertices: (b, 778, 3) likewise.
        length: (b,) metres.
    """
    own = (joints[:, BONE[0]] - joints[:, BONE[1]]).norm(dim=-1)
    size = (length / own.clamp_min(1e-6)).clamp(*_SIZES)[:, None, None]
    return joints * size, vertices * size


def in_box(joints: Joints, intrinsics: Intrinsics, size: int, margin: float) -> Translation:
    """Where a hand must be so that the box of its joints is in the middle of the crop, `1 / margin` of its side.

    That is how crops are made, so it is exact for a hand of the right size and pose. A crop that is a whole picture,
    because nothing said where in it the hand is, makes it a guess.

    Args:
        joints: (b, 21, 3) metres, any origin, crop's camera frame.
        intrinsics: (b, 3, 3) of the crop, pixels.
        size: Side of the crop, pixels.
        margin: Side of the crop over the longer side of the box.

    Returns:
        (b, 3) metres, to be added to the joints.
    """
    k, own = intrinsics.double(), joints.double().mean(1)
    points, inverse = joints.double() - own[:, None], torch.linalg.inv(k)
    side, middle = size / margin, (size - 1) / 2
    focal = torch.linalg.det(k[:, :2, :2]).abs().sqrt()
    extent = (points[..., :2].amax(1) - points[..., :2].amin(1)).amax(-1)
    depth = (focal * extent / side).clamp(1e-3, _FARTHEST)
    ray = inverse @ k.new_tensor((middle, middle, 1.0))
    closest = 0.02 - points[..., 2].amin(1)  # in front of the camera
    for _ in range(_STEPS):
        depth = torch.maximum(depth, closest)
        pixels = project(points + (ray * depth[:, None])[:, None], k)
        low, high = pixels.amin(1), pixels.amax(1)
        off = torch.cat((middle - (low + high) / 2, torch.zeros_like(low[:, :1])), -1)
        ray = ray + (inverse @ off[..., None])[..., 0]
        depth = (depth * (high - low).amax(-1) / side).clamp(1e-3, _FARTHEST)
    return (ray * torch.maximum(depth, closest)[:, None] - own).to(joints.dtype)


def on_pixels(joints: Joints, joints2d: Joints2D, valid: JointMask, intrinsics: Intrinsics, size: int) -> Translation:
    """Where a hand must be to lie on joints that are known in the crop.

    Args:
        joints: (b, 21, 3) metres, any origin, crop's camera frame.
        joints2d: (b, 21, 2) crop coordinates, -1 to 1.
        valid: (b, 21) which are known; two or more.
        intrinsics: (b, 3, 3) of the crop, pixels.
        size: Side of the crop, pixels.

    Returns:
        (b, 3) metres, to be added to the joints.
    """
    return place(joints, denormalize_pixels(joints2d, (size, size)), intrinsics, valid.to(joints.dtype))


def out_of_crop(points: Float[Tensor, "b n 3"], side: Side) -> Float[Tensor, "b n 3"]:
    """Points of the crop's camera frame in that of the image: left hands, which crops mirror, are mirrored back.

    Crops are only turned in training, where nothing is handed in.
    """
    turned = torch.zeros(len(points), dtype=points.dtype, device=points.device)
    return crop_to_full(points, crop_frame(turned, side == LEFT))
