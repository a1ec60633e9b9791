"""Contact sheets of poses, to look at: `python -m zoo.hands.build.poses_draw FILE [--sampled N]`."""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from zoo.hands.openhand import OpenHand
from zoo.hands.poses import PosePrior, reject_intersecting
from zoo.hands.render import render
from zoo.hands.sheets import Picture, contact_sheet
from zoo.metrics.intersection import self_intersections
from zoo.shapes import FingerRotations, Vertices

SIZE, FOCAL, DISTANCE = 180, 620.0, 0.72  # pixels a picture, pixels, metres from the middle of the hand
CENTRE = (-0.085, -0.01, 0.0)  # of the right hand, metres
YAWS = {"palm": 0.0, "thumb side": 75.0, "little finger's side": -75.0}  # degrees about the forearm; fingers up
COLOURS = ("#d33", "#e90", "#2a2", "#28d", "#a3c")  # thumb to little finger
CHAINS = ((0, 1, 2, 3, 4), *((0, *range(first, first + 5)) for first in (5, 10, 15, 20)))  # WebXR joints


def seen_from(points: Float[Tensor, "*b n 3"], yaw: float) -> Float[Tensor, "*b n 3"]:
    """Hand frame to the frame of a camera before the palm, turned about the forearm by degrees."""
    c, s = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    rows = torch.tensor([[0.0, s, c], [1.0, 0.0, 0.0], [0.0, c, -s]], dtype=points.dtype)
    return (points - torch.tensor(CENTRE, dtype=points.dtype)) @ rows.T + torch.tensor([0, 0, DISTANCE]).to(points)


def mesh_pictures(vertices: Vertices, faces: Tensor, yaw: float) -> UInt8[Tensor, "n 3 h w"]:
    """Shaded pictures of right hands, from the palm's side turned by yaw degrees."""
    camera = torch.tensor([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1.0]])
    placed = seen_from(vertices.float(), yaw)
    return render(placed, faces, camera.expand(len(placed), 3, 3), (SIZE, SIZE), background=(1.0, 1.0, 1.0)).color


def skeleton_picture(joints: Float[Tensor, "25 3"], yaw: float) -> Picture:
    """A recorded hand's joints, a colour a finger."""
    picture = Image.new("RGB", (SIZE, SIZE), "white")
    draw = ImageDraw.Draw(picture)
    points = seen_from(joints, yaw)
    pixels = points[:, :2] / points[:, 2:] * FOCAL + SIZE / 2
    for chain, colour in zip(CHAINS, COLOURS, strict=True):
        draw.line([(float(pixels[i, 0]), float(pixels[i, 1])) for i in chain], fill=colour, width=4, joint="curve")
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def pose_hands(model: OpenHand, rotations: FingerRotations) -> Vertices:
    """Mean-shape hands in finger poses."""
    count = len(rotations)
    root = torch.eye(3).expand(count, 1, 3, 3)
    with torch.no_grad():
        full = torch.cat([root, rotations.float()], 1)
        return model(full, torch.zeros(count, 10), torch.zeros(count, 3)).vertices


def retargeted(prior: PosePrior, model: OpenHand) -> Image.Image:
    """Every recording beside what became of it, from the palm and from the thumb's side; then our grasps."""
    from zoo.hands.build.poses import load_recordings, load_rig

    recordings = load_recordings(load_rig())
    recorded = {names[0]: joints for names, joints in zip(recordings.names, recordings.joints, strict=True)}
    vertices = pose_hands(model, torch.stack([prior.named(name) for name in prior.names]))
    faces = self_intersections(vertices, model.faces).sum(-1)
    views = {yaw: mesh_pictures(vertices, model.faces, yaw) for yaw in (0.0, 75.0)}
    strips, captions = [], []
    for i, name in enumerate(prior.names):
        strip = []
        for yaw, pictures in views.items():
            strip += [skeleton_picture(recorded[name], yaw)] if name in recorded else []
            strip += [pictures[i]]
        strips.append(torch.cat(strip, -1))
        captions.append(f"{name}, {int(faces[i])} faces intersect" if faces[i] else name)
    return contact_sheet(strips, 5, captions)


def sampled(prior: PosePrior, model: OpenHand, count: int, seed: int = 0) -> Image.Image:
    """Random hands of the prior, free of intersections, each seen from a side of its own."""
    generator = torch.Generator().manual_seed(seed)
    poses = reject_intersecting(prior, model, self_intersections, count, generator)
    vertices = pose_hands(model, poses.rotations)
    strips = torch.cat([mesh_pictures(vertices, model.faces, yaw) for yaw in (0.0, 75.0)], -1)
    return contact_sheet(strips, 8, poses.names)


def main() -> None:
    """Write one contact sheet."""
    parser = argparse.ArgumentParser(description="Draw named poses beside their recordings, or samples.")
    parser.add_argument("file", type=Path, help="where the picture goes")
    parser.add_argument("--sampled", type=int, default=0, help="draw so many random hands instead of the named ones")
    args = parser.parse_args()
    prior, model = PosePrior(), OpenHand("right")
    picture = sampled(prior, model, args.sampled) if args.sampled else retargeted(prior, model)
    picture.save(args.file)


if __name__ == "__main__":
    main()
