"""Completes a hand whose index finger and thumb are missing, in four ways: completions.png.

python examples/inpaint_fingers.py RUN OUT    (RUN: the folder of a run, a .ckpt file or the name of shipped weights)
"""

import sys
from pathlib import Path

import torch

import checkpoints
from zoo.batch import Given
from zoo.guidance import KnownPart
from zoo.hands.draw import CLAY, contact_sheet, hand_picture
from zoo.hands.poses import PosePrior
from zoo.hands.skeleton import MANO_JOINTS
from zoo.models.hhmr import HHMR

BACK = torch.tensor([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])  # fingers up, back to the camera
ORANGE = (0.93, 0.62, 0.40)


def main(run: str, out: Path, n: int = 4) -> None:
    out.mkdir(parents=True, exist_ok=True)
    model = checkpoints.load_hands(run)
    assert isinstance(model, HHMR)
    hand = model.hand
    rotations = torch.cat([BACK[None], PosePrior().named("large cylinder grasp")])[None]
    whole = hand(rotations, torch.zeros(1, 10), torch.zeros(1, 3)).vertices
    joints = hand.regress(whole)
    whole, joints = whole - joints[:, :1], joints - joints[:, :1]
    missing = torch.tensor([name[:-1] in ("index", "thumb") for name in MANO_JOINTS])
    known = ~missing[hand.parts]
    seen = torch.tensor([name not in range(1, 9) for name in range(21)])  # joints of thumb and index are 1 to 8
    guidance = [KnownPart(whole, known[None], model.scale, blend=4, faces=hand.faces)]
    given = Given(joints=joints, joints_valid=seen[None])
    hands = model.sample(given, n, torch.Generator().manual_seed(0), guidance=guidance)
    completed = hands["vertices"][0]
    colors = torch.where(known[:, None], torch.tensor(CLAY), torch.tensor(ORANGE)).expand(n, -1, -1)
    part = hand.faces[known[hand.faces].all(1)]
    pictures = [hand_picture(whole, part, color=CLAY)[0], *hand_picture(completed, hand.faces, color=colors)]
    captions = ["given", *[f"completion {i + 1}" for i in range(n)]]
    contact_sheet(pictures, n + 1, captions).save(out / "completions.png")
    off = 1000 * (completed - whole)[:, known].norm(dim=-1).max()
    print(f"{n} completions in {out}; the known part is {off:.3f} mm off at most")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]))
