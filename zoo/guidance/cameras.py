"""Where a hand is in front of a known camera, also when some of its pixels are wrong."""

import torch
from torch import Tensor

from zoo.hands.camera import FLOOR, fit_weak_perspective, place, project
from zoo.shapes import Float, Intrinsics, Joints, Joints2D, Translation

ITERATIONS = 4  # of reweighting
NEAREST, SPAN = 0.05, 3.0  # metres; a closed-form depth is believed within this factor of the weak perspective's


@torch.no_grad()
def put_in_front(
    joints: Joints, pixels: Joints2D, intrinsics: Intrinsics, weights: Float[Tensor, "*b 21"]
) -> Translation:
    """The translation under which most of the joints fall on their pixels; robust, in closed form.

    Starts at the weak perspective that most joints agree on, whose scale gives the depth, then solves the pinhole
    equations with joints that are far off weighted down.

    Args:
        joints: Metres, wrist-relative.
        pixels: Where they were seen.
        intrinsics: Of the same pixels.
        weights: Confidence; rows without any get some place in front of the camera.

    Returns:
        Metres, to be added to the joints.
    """
    focal = (intrinsics[..., 0, 0] + intrinsics[..., 1, 1]) / 2
    centre = intrinsics[..., :2, 2]
    flat = fit_weak_perspective(joints, pixels, weights)
    share = (weights / weights.sum(-1, keepdim=True).clamp_min(1e-12))[..., None]
    middle = (share * joints).sum(-2)
    depth = (focal / flat.scale.clamp_min(1e-6)).clamp_min(NEAREST)
    rough = torch.cat(
        ((flat.translation - centre) / focal[..., None] * depth[..., None], (depth - middle[..., 2])[..., None]), -1
    )
    size = (share * (pixels - (share * pixels).sum(-2, keepdim=True)).square()).sum((-2, -1)).sqrt()
    found = rough
    for _ in range(ITERATIONS):
        moved = joints + found[..., None, :]
        moved = torch.cat((moved[..., :2], moved[..., 2:].clamp_min(0.01)), -1)
        error = (project(moved, intrinsics) - pixels).norm(dim=-1).masked_fill(weights <= 0, 0.0)
        width = (2 * (share[..., 0] * error).sum(-1)).maximum(FLOOR * size).clamp_min(1e-6)[..., None].square()
        exact = place(joints, pixels, intrinsics, weights * (width / (width + error.square())).square())
        ratio = (exact[..., 2] + middle[..., 2]) / depth
        found = torch.where(((ratio > 1 / SPAN) & (ratio < SPAN))[..., None], exact, rough)
    return found
