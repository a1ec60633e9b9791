"""Generates hands from noise: hands.png with all of them, hands.glb with the first, and how varied they are.

python examples/generate_hands.py RUN OUT    (RUN: the folder of a run, a .ckpt file or the name of shipped weights)
"""

import sys
from pathlib import Path

import torch

import checkpoints
from zoo.batch import Given
from zoo.hands.draw import contact_sheet, hand_picture
from zoo.hands.meshfile import save_mesh
from zoo.metrics.intersection import self_intersections


def main(run: str, out: Path, count: int = 16) -> None:
    out.mkdir(parents=True, exist_ok=True)
    model = checkpoints.load_hands(run)
    hands = model.sample(Given(), generator=torch.Generator().manual_seed(0), batch_size=count)
    vertices = hands["vertices"][:, 0]
    contact_sheet(list(hand_picture(vertices, model.hand.faces, size=192)), columns=8).save(out / "hands.png")
    save_mesh(out / "hands.glb", vertices[0], model.hand.faces)
    apart = 1000 * torch.cdist(vertices.flatten(1), vertices.flatten(1)) / 778**0.5
    print(f"{count} hands in {out}, on average {apart.sum() / (count * (count - 1)):.1f} mm (rms) from one another")
    crossing = 100 * self_intersections(vertices, model.hand.faces).float().mean()
    print(f"{crossing:.2f} % of their faces cross another one")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]))
