"""A tiny MSCOCO, written by code: labels that a test chooses, one grey picture, no hand in sight."""

import json
from pathlib import Path

import cv2
import numpy as np

from datamodules.coco.data import COCO
from datamodules.twins import TWIN

ZEROS = [0.0] * 63
FACTS = {"num_keypoints": 17, "iscrowd": 0, "area": 5000.0, "bbox": [100.0, 100.0, 200.0, 300.0], "category_id": 1}


def points(x=150.0, y=200.0, visibility=1.0):
    """63 numbers: a grid of joints 4 pixels apart."""
    grid = np.stack((x + 4.0 * (np.arange(21) % 5), y + 4.0 * (np.arange(21) // 5), np.full(21, visibility)), 1)
    return grid.ravel().tolist()


def person(number=1, image=5, left=None, right=None, **changes):
    kpts = {"lefthand_kpts": left or ZEROS, "righthand_kpts": right or ZEROS}
    valid = {"lefthand_valid": left is not None, "righthand_valid": right is not None}
    return {"id": number, "image_id": image, **FACTS, **kpts, **valid, **changes}


def fit(z=1.0, focal=500.0, centre=(160.0, 210.0), **changes):
    """NeuralAnnot's entry of one hand, in the middle of its own camera's picture."""
    mano = {"pose": [0.01 * i for i in range(48)], "shape": [0.1] * 10, "trans": [0.0, 0.0, z], **changes}
    return {"mano_param": mano, "cam_param": {"focal": [focal, focal], "princpt": list(centre)}}


def write_coco(root: Path, people, part="train", captions=None, mano=None, size=(480, 640)) -> Path:
    """The files of one part; every image that somebody is in has a picture."""
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    folder = root / "images" / f"{part}2017"
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for number in sorted({one["image_id"] for one in people}, reverse=True):  # COCO's have no order
        images.append({"id": number, "file_name": f"{number:012d}.jpg", "height": size[0], "width": size[1]})
        cv2.imwrite(str(folder / f"{number:012d}.jpg"), np.full((*size, 3), number % 256, np.uint8))
    content = {"info": {"year": 2017}, "images": images, "annotations": people}
    (root / f"annotations/coco_wholebody_{part}_v1.0.json").write_text(json.dumps(content))
    if captions is not None:
        lines = [{"image_id": image, "id": number, "caption": text} for number, (image, text) in enumerate(captions)]
        (root / f"annotations/captions_{part}2017.json").write_text(
            json.dumps({"images": images, "annotations": lines})
        )
    if mano is not None:
        (root / "annotations/MSCOCO_train_MANO_NeuralAnnot.json").write_text(json.dumps(mano))
    return root


def openhand(root):
    """Says that the parameters are OpenHand's, so that a test needs no MANO."""
    (root / TWIN).write_text("{}")
    return root


def scenes(root, split="train", held_out=0.0, **options):
    return COCO(root, held_out=held_out, **options).scenes(split)


def only(root, **options):
    return scenes(root, **options).read(0)
