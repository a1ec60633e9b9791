"""Hands of COCO-WholeBody files: keypoints, or boxes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zoo.commands.tasks.case import SIDES, Case, Unreadable

Part = Literal["keypoints", "boxes"]


def is_coco(content: Any) -> bool:
    """Whether parsed JSON has COCO's two lists."""
    return isinstance(content, dict) and "annotations" in content and "images" in content


def read_coco(
    file: Path,
    images: Path | None,
    part: Part,
    prefix: str = "",
    least: float | None = None,
    size: tuple[int, int] | None = None,
) -> Iterator[Case | Unreadable]:
    """The valid hands of all people that are no crowd.

    Args:
        file: JSON.
        images: Folder of the photographs.
        part: What a hand must have.
        prefix: Of the names.
        least: Keypoints with a visibility up to this do not count; None is 0, for any positive one is a label.
        size: Height and width of images of which the file says none.
    """
    content = load_json(file)
    if not is_coco(content) or not all(isinstance(content[key], list) for key in ("images", "annotations")):
        raise ValueError(f"{file} is not a COCO-WholeBody file. It must be JSON with the lists images and annotations.")
    pictures = {picture.get("id"): picture for picture in content["images"] if isinstance(picture, dict)}
    taken: set[str] = set()
    for number, annotation in enumerate(content["annotations"]):
        if not isinstance(annotation, dict):
            yield Unreadable(f"{prefix}{number}", "the annotation is not an object with keys and values")
            continue
        if annotation.get("iscrowd"):
            continue
        for side in SIDES:
            if not annotation.get(f"{side}hand_valid"):
                continue
            picture = pictures.get(annotation.get("image_id"), {})
            stem = Path(str(picture.get("file_name", annotation.get("image_id")))).stem
            name = f"{prefix}{stem}_{annotation.get('id', number)}_{side}"
            if name in taken:
                name = f"{name}_{number}"
            taken.add(name)
            try:
                yield _hand(name, annotation, side, picture, images, part, least or 0.0, size)
            except (ValueError, TypeError, KeyError) as error:
                yield Unreadable(name, said(error))


def _hand(
    name: str,
    annotation: dict[str, Any],
    side: str,
    picture: dict[str, Any],
    images: Path | None,
    part: Part,
    least: float,
    size: tuple[int, int] | None,
) -> Case:
    if "height" in picture and "width" in picture:
        size = int(picture["height"]), int(picture["width"])
    image = _image(images, Path(picture["file_name"])) if images is not None and "file_name" in picture else None
    if part == "boxes":
        box = [float(number) for number in annotation[f"{side}hand_box"]]
        if len(box) != 4:
            raise ValueError(f"{side}hand_box has {len(box)} numbers; it must be left, top, width, height")
        return Case(name, SIDES[side], size=size, image=image, box=(box[0], box[1], box[2], box[3]))
    points = np.asarray(annotation[f"{side}hand_kpts"], np.float32)
    if points.shape != (63,):
        raise ValueError(f"{side}hand_kpts has {points.size} numbers; 21 triples x, y, v make 63")
    points = points.reshape(21, 3)
    known = np.isfinite(points).all(axis=-1) & (points[:, 2] > least)  # visibilities are 1, 2 or fractions
    if not known.any():
        raise ValueError("no keypoint is labelled")
    return Case(
        name,
        SIDES[side],
        pixels=np.where(known[:, None], points[:, :2], 0).astype(np.float32),
        confidence=np.where(known, points[:, 2].clip(0, 1), 0).astype(np.float32),
        size=size,
        image=image,
    )


def _image(images: Path, named: Path) -> Path:
    """A photograph: where the file says, or else of that name; never outside of the folder."""
    inside = not named.is_absolute() and ".." not in named.parts
    return images / named if inside and (images / named).is_file() else images / named.name


def load_json(file: Path) -> Any:
    """Parsed JSON, or a `ValueError` that names the file."""
    try:
        return json.loads(file.read_text("utf-8-sig"))  # Windows writes a mark first
    except ValueError as error:  # also bytes that are no text
        raise ValueError(f"{file} is not JSON ({error}). Is it whole?") from error


def said(error: Exception) -> str:
    """An exception as a reason."""
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error) or type(error).__name__
