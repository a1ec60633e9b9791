"""Reconstructs a right hand from a picture and a box, four times, and draws the hands over it: overlays.png.

python examples/reconstruct_images.py RUN OUT    (RUN: weights with an image branch)
"""

import sys
from pathlib import Path

import torch

import checkpoints
from datamodules.crops import warp
from datamodules.openhand.pose_stream import PoseStream
from zoo.batch import Given
from zoo.encoders.images import ImageConditioner
from zoo.hands.camera import crop_affine, place, project, square_box
from zoo.hands.draw import contact_sheet, overlay
from zoo.hands.poses import PosePrior
from zoo.hands.render import render
from zoo.models.hhmr import HHMR

SIZE = (224, 224)


def main(run: str, out: Path, n: int = 4) -> None:
    out.mkdir(parents=True, exist_ok=True)
    model = checkpoints.load_hands(run)
    assert isinstance(model, HHMR)
    mapper = model.conditioner.parts["image"]
    assert isinstance(mapper, ImageConditioner)
    # A picture of a posed hand stands in for a photograph, and the box of its joints for a detector's.
    batch = PoseStream(model.hand, PosePrior(), size=SIZE[0], seed=3).batch(0, 1)
    photo = render(batch["vertices"], model.hand.faces, batch["intrinsics"], SIZE, background=(0.3, 0.4, 0.5)).color[0]
    pixels = project(batch["joints"], batch["intrinsics"])
    middle, longest = square_box(pixels, torch.ones(1, 21, dtype=torch.bool), margin=1.0)
    affine = crop_affine(middle, 1.5 * longest, torch.zeros(1), mapper.size)[0]
    crop = warp(photo.permute(1, 2, 0).numpy(), affine.double().numpy(), mapper.size)
    image = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255
    hands = model.sample(Given(image=image), n, torch.Generator().manual_seed(0))
    joints = hands["joints"][0]
    # No keypoints say where the hand is: its joints fill the box, as if seen from afar.
    low, high = joints[..., :2].amin(1, keepdim=True), joints[..., :2].amax(1, keepdim=True)
    share = (joints[..., :2] - (low + high) / 2) / (high - low).amax(-1, keepdim=True).clamp_min(1e-6)
    camera = batch["intrinsics"].expand(n, 3, 3)
    shift = place(joints, middle + longest * share, camera, torch.ones(n, 21))
    drawn = render(hands["vertices"][0] + shift[:, None], model.hand.faces, camera, SIZE)
    contact_sheet([photo, *overlay(photo.expand(n, -1, -1, -1), drawn)], n + 1).save(out / "overlays.png")
    print(f"{n} hands in {out}, {float(shift[:, 2].mean()):.2f} m away")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]))
