"""Fits hands to 2D keypoints, some of them missing, with and without guidance: the errors, and fitted.png.

python examples/fit_keypoints.py RUN OUT    (RUN: the folder of a run, a .ckpt file or the name of shipped weights)
"""

import sys
from pathlib import Path

import torch

import checkpoints
from datamodules.openhand.pose_stream import PoseStream
from zoo.batch import Given
from zoo.guidance import AlignedGradient, PixelsAt
from zoo.guidance.cameras import put_in_front
from zoo.hands.camera import denormalize_pixels, project
from zoo.hands.draw import contact_sheet, draw_skeleton, overlay
from zoo.hands.poses import PosePrior
from zoo.hands.render import render
from zoo.models.hhmr import HHMR

SIDE = 224  # pixels


def main(run: str, out: Path, count: int = 4) -> None:
    out.mkdir(parents=True, exist_ok=True)
    model = checkpoints.load_hands(run)
    assert isinstance(model, HHMR)
    batch = PoseStream(model.hand, PosePrior(), size=SIDE, seed=1).batch(0, count)
    seen = torch.ones(count, 21, dtype=torch.bool)
    seen[0, 17:] = False  # the first hand's little finger is hidden
    given = Given(joints2d=batch["joints2d"] * seen[..., None], joints2d_valid=seen)
    pixels, camera = denormalize_pixels(batch["joints2d"], (SIDE, SIDE)), batch["intrinsics"]
    operator = PixelsAt(pixels, seen, model.hand, model.scale, camera)
    sheet = [
        draw_skeleton(torch.full((3, SIDE, SIDE), 90, dtype=torch.uint8), *x) for x in zip(pixels, seen, strict=True)
    ]
    for name, guidance in (("2D condition", []), ("2D condition and guidance", [AlignedGradient(operator)])):
        hands = model.sample(given, 1, torch.Generator().manual_seed(0), guidance=guidance)
        joints = hands["joints"][:, 0]
        where = put_in_front(joints, pixels, camera, seen.float())[:, None]
        apart = (project(joints + where, camera) - pixels).norm(dim=-1)[seen].mean()
        print(f"{name:<28}{apart:6.2f} pixels of {SIDE} from the keypoints")
        drawn = render(hands["vertices"][:, 0] + where, model.hand.faces, camera, (SIDE, SIDE))
        sheet += list(overlay(torch.stack(sheet[:count]), drawn))
    contact_sheet(sheet, count).save(out / "fitted.png")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]))
