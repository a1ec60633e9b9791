"""Generates hands, draws their meshes and makes pictures of them: pictures.png with prompts, meshes and pictures.

python examples/hands_to_pictures.py RUN PAINTER OUT    (RUN: weights that sample hands; PAINTER: AttentionHand's)
"""

import sys
from pathlib import Path

import torch

import checkpoints
from callbacks.painted import painted_sheet
from datamodules.captions import describe
from datamodules.mesh_pictures import draw_meshes
from datamodules.openhand.pose_stream import CropCamera
from zoo.batch import Asked, Given, Painted
from zoo.hands.skeleton import RIGHT
from zoo.models.base import HandMethod, PictureMethod


def main(run: str, painter: str, out: Path, count: int = 4) -> None:
    out.mkdir(parents=True, exist_ok=True)
    model, method = checkpoints.load(run), checkpoints.load(painter)
    assert isinstance(model, HandMethod)
    assert isinstance(method, PictureMethod)
    generator = torch.Generator().manual_seed(0)
    vertices = model.sample(Given(), generator=generator, batch_size=count)["vertices"][:, 0]
    # The hands come with their wrists at the origin: they need a place and a camera.
    camera = CropCamera(fill=(0.6, 0.7))
    vertices = vertices + camera.place(vertices, generator)[:, None]
    joints = model.hand.regress(vertices)
    intrinsics = camera.intrinsics(joints, method.size, generator)
    both, shown = torch.stack([vertices, vertices], 1), torch.tensor([[False, True]]).expand(count, 2)
    meshes = draw_meshes(both, shown, intrinsics, method.size, None).float() / 255
    texts = [describe({RIGHT: hand.numpy()}, index=i) for i, hand in enumerate(joints)]
    asked = Asked(text=texts, mesh=meshes)
    images = method.sample(asked, seeds=range(count))
    painted_sheet(Painted(images=images, asked=asked)).save(out / "pictures.png")
    print(f"{count} pictures in {out / 'pictures.png'}: {'; '.join(texts)}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
