"""Poses the embedded hand by name, draws it and saves meshes: hands.png, peace.glb and peace.obj in a folder.

python examples/pose_a_hand.py OUT
"""

import sys
from pathlib import Path

import torch

from zoo.hands.draw import contact_sheet, hand_picture
from zoo.hands.meshfile import save_mesh
from zoo.hands.openhand import OpenHand
from zoo.hands.poses import PosePrior


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    hand, prior = OpenHand(), PosePrior()
    names = ["rest", "fist", "peace", "point", "thumb up", "large cylinder grasp", "pen grasp", "asl y"]
    fingers = torch.stack([prior.named(name) for name in names])
    # Fingers up, the back of the hand towards the camera: the columns say where the rest axes go.
    upright = torch.tensor([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    rotations = torch.cat([upright.expand(len(names), 1, 3, 3), fingers], dim=1)
    mesh = hand(rotations, torch.zeros(len(names), 10), torch.zeros(len(names), 3))
    pictures = hand_picture(mesh.vertices, hand.faces, size=256)
    contact_sheet(list(pictures), columns=4, captions=names).save(out / "hands.png")
    for suffix in ("glb", "obj"):
        save_mesh(out / f"peace.{suffix}", mesh.vertices[names.index("peace")], hand.faces)
    print(f"{len(names)} hands in {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "hands"))
