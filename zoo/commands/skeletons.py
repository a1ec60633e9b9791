"""Hand skeletons from files: COCO-WholeBody annotations, or a folder in FreiHAND's layout."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.hands.skeleton import LEFT, RIGHT

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
SIDES = {"left": LEFT, "right": RIGHT}


@dataclass(frozen=True)
class Skeleton:
    """One annotated hand.

    Args:
        name: Unique; names the output files.
        side: 0 = left, 1 = right.
        pixels: (21, 2) of the image; anything where `seen` is False.
        seen: (21,) labelled in 2D.
        joints: (21, 3) metres, camera frame, or None.
        labelled: (21,) labelled in 3D.
        size: Height and width of the image, pixels; None when only the image itself would tell.
        intrinsics: (3, 3) pixels, or None when the camera is not known.
        image: Where its picture should be, or None.
    """

    name: str
    side: int
    pixels: Floats
    seen: Bools
    joints: Floats | None = None
    labelled: Bools = field(default_factory=lambda: np.zeros(21, np.bool_))
    size: tuple[int, int] | None = None
    intrinsics: Floats | None = None
    image: Path | None = None


@dataclass(frozen=True)
class Unreadable:
    """Something that should have been a hand, and why it is not."""

    name: str
    reason: str


def read_skeletons(path: Path, images: Path | None = None) -> Iterator[Skeleton | Unreadable]:
    """Hands of a COCO-WholeBody file, of a folder of such files, or of a folder in FreiHAND's layout.

    Args:
        path: The file or folder.
        images: Folder of the pictures that the annotations name; FreiHAND's are found without it.
    """
    if path.is_dir() and any((path / f"{split}_K.json").is_file() for split in ("training", "evaluation")):
        yield from _freihand(path)
    elif path.is_dir():
        files = sorted(path.glob("*.json"))
        if not files:
            raise FileNotFoundError(
                f"--input {path} holds neither FreiHAND's training_K.json or evaluation_K.json nor any .json file. "
                "Give a COCO-WholeBody file, a folder of them, or a folder in FreiHAND's layout."
            )
        for file in files:
            yield from _coco_or_reason(file, images, f"{file.stem}_")
    elif path.is_file():
        yield from _coco(path, images, "")
    else:
        raise FileNotFoundError(f"--input {path} does not exist. Give a COCO-WholeBody file or a folder.")


def _coco_or_reason(file: Path, images: Path | None, prefix: str) -> Iterator[Skeleton | Unreadable]:
    try:
        yield from _coco(file, images, prefix)
    except ValueError as error:
        yield Unreadable(file.name, str(error))


def _coco(file: Path, images: Path | None, prefix: str) -> Iterator[Skeleton | Unreadable]:
    try:
        content = json.loads(file.read_text())
        pictures = {picture["id"]: picture for picture in content["images"]}
        annotations = content["annotations"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file} is not a COCO-WholeBody file ({type(error).__name__}: {error}). "
            "It must be JSON with the lists images and annotations."
        ) from error
    for number, annotation in enumerate(annotations):
        if annotation.get("iscrowd"):
            continue
        for side in SIDES:
            if not annotation.get(f"{side}hand_valid"):
                continue
            picture = pictures.get(annotation.get("image_id"), {})
            stem = Path(str(picture.get("file_name", annotation.get("image_id")))).stem
            name = f"{prefix}{stem}_{annotation.get('id', number)}_{side}"
            try:
                skeleton = _coco_hand(name, annotation, side, picture, images)
            except (ValueError, TypeError, KeyError) as error:
                yield Unreadable(name, f"{type(error).__name__}: {error}")
                continue
            yield skeleton if skeleton.seen.any() else Unreadable(name, "no keypoint is labelled")


def _coco_hand(
    name: str, annotation: dict[str, Any], side: str, picture: dict[str, Any], images: Path | None
) -> Skeleton:
    points = np.asarray(annotation[f"{side}hand_kpts"], np.float32)
    if points.shape != (63,):
        raise ValueError(f"{side}hand_kpts has {points.size} numbers; 21 triples x, y, v make 63")
    points = points.reshape(21, 3)
    known = np.asarray(np.isfinite(points).all(axis=-1))
    size = (int(picture["height"]), int(picture["width"])) if "height" in picture and "width" in picture else None
    return Skeleton(
        name=name,
        side=SIDES[side],
        pixels=np.where(known[:, None], points[:, :2], 0),
        seen=known & (points[:, 2] > 0),  # visibilities are 1, 2 or fractions; any of them is a label
        size=size,
        image=images / Path(picture["file_name"]).name if images is not None and "file_name" in picture else None,
    )


def _freihand(root: Path) -> Iterator[Skeleton | Unreadable]:
    for split in ("training", "evaluation"):
        if not (root / f"{split}_K.json").is_file():
            continue
        if not (root / f"{split}_xyz.json").is_file():
            yield Unreadable(split, f"{root / split}_xyz.json is missing, so there are no skeletons in this split")
            continue
        try:
            cameras = json.loads((root / f"{split}_K.json").read_text())
            positions = json.loads((root / f"{split}_xyz.json").read_text())
        except ValueError as error:
            yield Unreadable(split, f"its labels are not JSON: {error}")
            continue
        sides = [RIGHT] * len(cameras)  # the published dataset; ours says otherwise where there are left hands
        if (root / f"{split}_side.json").is_file():
            sides = json.loads((root / f"{split}_side.json").read_text())
        for index, (camera, xyz, side) in enumerate(zip(cameras, positions, sides, strict=False)):
            name = f"{split}_{index:08d}"
            try:
                yield _freihand_hand(name, camera, xyz, int(side), root / split / "rgb" / f"{index:08d}.jpg")
            except (ValueError, TypeError) as error:
                yield Unreadable(name, f"{type(error).__name__}: {error}")


def _freihand_hand(name: str, camera: Any, xyz: Any, side: int, image: Path) -> Skeleton:
    intrinsics, joints = np.asarray(camera, np.float32), np.asarray(xyz, np.float32)
    if intrinsics.shape != (3, 3) or joints.shape != (21, 3):
        raise ValueError(f"K is {intrinsics.shape} and xyz {joints.shape}; they must be (3, 3) and (21, 3)")
    known = np.asarray(np.isfinite(joints).all(axis=-1) & (joints[:, 2] > 0))
    if not known.any():
        raise ValueError("no joint lies in front of the camera")
    joints = np.where(known[:, None], joints, np.array([0, 0, 1], np.float32))
    rays = joints @ intrinsics.T
    return Skeleton(
        name=name,
        side=side,
        pixels=rays[:, :2] / rays[:, 2:],
        seen=known,
        joints=joints,
        labelled=known,
        intrinsics=intrinsics,
        image=image,
    )
