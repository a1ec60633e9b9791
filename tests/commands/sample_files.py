"""Small files of the kinds that `sample` reads."""

import json

import numpy as np
import torch
from PIL import Image

from zoo.hands.openhand import OpenHand
from zoo.hands.rotations import random_rotations
from zoo.hands.skeleton import LEFT

HIDDEN = {"lefthand_valid": False, "lefthand_kpts": [0.0] * 63, "righthand_valid": False, "righthand_kpts": [0.0] * 63}
HAND = OpenHand()


def posed(side, seed=0):
    """A hand somewhere in front of the camera: vertices and joints."""
    generator = torch.Generator().manual_seed(seed)
    turn = random_rotations(1, generator)
    pose = torch.cat([turn[:, None], torch.eye(3).expand(1, 15, 3, 3)], 1)
    vertices = HAND(pose, torch.randn(1, 10, generator=generator), torch.zeros(1, 3)).vertices[0]
    if side == LEFT:
        vertices = vertices * torch.tensor([-1.0, 1, 1])
    vertices = vertices + torch.tensor([0.1, -0.05, 0.7])
    return vertices, HAND.regress(vertices)


def coco(path, *hands, **picture):
    """A COCO-WholeBody file with one annotation for each dictionary."""
    images = [{"id": 7, "file_name": "photo.jpg", "height": 480, "width": 640, **picture}]
    path.write_text(
        json.dumps({"images": images, "annotations": [{"id": i, "image_id": 7, **h} for i, h in enumerate(hands)]})
    )
    return path


def keypoints(visibility=1.0):
    """63 numbers of COCO-WholeBody."""
    grid = [(300 + 4 * (i % 5), 200 + 5 * (i // 5)) for i in range(21)]
    return [number for x, y in grid for number in (float(x), float(y), visibility)]


def photo(path, size=(160, 120)):
    """A picture of noise."""
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path
