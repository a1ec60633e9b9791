"""Recovers recorded hands of people from their 3D joints, among them gestures that `fit` leaves out by default.

python examples/recorded_hands.py RUN OUT    (RUN: the folder of a run, a .ckpt file or the name of shipped weights;
the latter have seen all gestures, --data.leave_out [], so that for them none is left out)
"""

import json
import sys
from importlib.resources import files
from pathlib import Path

import torch

import checkpoints
from zoo.batch import Given
from zoo.hands.draw import contact_sheet, hand_picture
from zoo.hands.openhand import OpenHand
from zoo.metrics.alignment import procrustes

LEFT_OUT = ("asl y", "vulcan", "asl f", "thumb", "asl w")  # those of datamodules/configs/openhand.yaml
# The recording's 25 joints count the fingers' bones inside the palm; SNAP-21 does not.
SNAP = [0, 1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 18, 19, 21, 22, 23, 24]


def recordings() -> tuple[list[str], torch.Tensor]:
    """Names and joints (n, 21, 3), metres, fingers up, the back of the hand towards the camera."""
    table = json.loads((files("zoo.hands") / "assets/hand-poses/right.json").read_text())["poses"]
    x, y, z = (torch.tensor([pose["joints_mm"] for pose in table])[:, SNAP] / 1000).unbind(-1)
    return [pose["names"][0] for pose in table], torch.stack([x, z, -y], dim=-1)


def main(run: str, out: Path) -> None:
    names, joints = recordings()
    hand, model = OpenHand(), checkpoints.load_hands(run)
    hands = model.sample(Given(joints=joints), generator=torch.Generator().manual_seed(0))
    # Recorded people have bones of their own length, and tips inside the finger: some millimetres stay whatever we do.
    found = procrustes(hands["joints"][:, 0], joints).points
    error = 1000 * (found - joints).norm(dim=-1).mean(-1)
    flat = procrustes(hand.regress(hand.template).expand_as(joints), joints).points
    usual = 1000 * (flat - joints).norm(dim=-1).mean(-1)
    unseen = torch.tensor([name in LEFT_OUT for name in names])
    print(f"{'PA-MPJPE, mm':<24}{'ours':>8}{'flat hand':>12}")
    for name in LEFT_OUT:
        i = names.index(name)
        print(f"{name:<24}{error[i]:>8.1f}{usual[i]:>12.1f}")
    print(f"{'the five left out':<24}{error[unseen].mean():>8.1f}{usual[unseen].mean():>12.1f}")
    print(f"{'the other ' + str(int((~unseen).sum())):<24}{error[~unseen].mean():>8.1f}{usual[~unseen].mean():>12.1f}")
    out.mkdir(parents=True, exist_ok=True)
    order = [names.index(name) for name in LEFT_OUT] + torch.nonzero(~unseen)[:15, 0].tolist()
    pictures = hand_picture(hands["vertices"][order, 0], hand.faces, size=192)
    contact_sheet(list(pictures), columns=5, captions=[names[i] for i in order]).save(out / "recorded.png")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]))
