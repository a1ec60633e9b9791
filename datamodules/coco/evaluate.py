"""Scores hands in COCO-WholeBody's result format against its annotations."""

import json
import math
import os
from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from datamodules.coco.files import Part, find_annotations, find_files
from datamodules.coco.labels import NUMBERS, PREFIXES, keypoints
from datamodules.evaluation import Evaluation
from datamodules.json_stream import entries
from zoo.hands.meshfile import write_atomically
from zoo.metrics.oks import FoundHands, Integers, LabelledHands, hand_precision

PERSON = 1  # its category
OTHERS = {"keypoints": 51, "foot_kpts": 18, "face_kpts": 204}  # numbers of the parts that are no hands
_NORMALISED = 2.0  # pixels; no file of real predictions has all hands in the two pixels of a corner


def evaluate(
    root: str | os.PathLike[str],
    predictions: str | os.PathLike[str],
    split: Part = "val",
    *,
    annotations: str | os.PathLike[str] | None = None,
    some: Integers | None = None,
    progress: bool = False,
) -> dict[str, float]:
    """OKS average precision and recall of left and right hands, from 0 to 1.

    Args:
        root: The dataset's folder.
        predictions: JSON, a list of `{"image_id", "category_id": 1, "lefthand_kpts": 63 numbers, "righthand_kpts",
            "lefthand_score", "righthand_score"}`, one a person; x, y in pixels of the whole image and a confidence
            above 0. A hand that was not found is 63 zeros. `bbox` or `keypoints` say how large the person is.
        split: `val` or `train`.
        annotations: COCO-WholeBody's file if it has another name.
        some: Numbers of the images that are scored; None for all.
        progress: Shows a bar when it takes longer than five seconds.

    Returns:
        `lefthand_ap`, `lefthand_ap50`, `righthand_ar_medium` and so on, as in `hand_precision`; those that no
        labelled hand exists for are left out.

    Raises:
        FileNotFoundError: The predictions or the annotations are not there.
        ValueError: The predictions are not in the format; says which row, what is wrong and what would be right.
    """
    folder, file = Path(root).expanduser(), Path(predictions).expanduser()
    given = None if annotations is None else Path(annotations).expanduser()
    labels = find_annotations(folder, split, given) or find_files(folder, split, given).annotations
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there, but the predictions must be. Pass the JSON file of results.")
    labelled, images = read_labels(labels, progress)
    found = read_predictions(file, images, labels.name, progress)
    if some is not None:
        labelled = {side: _of_images(hands, some) for side, hands in labelled.items()}
    scores = {
        f"{PREFIXES[side]}_{name}": value
        for side in PREFIXES
        for name, value in hand_precision(labelled[side], found[side]).items()
    }
    return {name: value for name, value in scores.items() if not math.isnan(value)}


def report(scores: Mapping[str, float], title: str, notes: tuple[str, ...] = ()) -> Evaluation:
    """Scores of both hands side by side.

    Args:
        scores: From `evaluate`.
        title: What was scored.
        notes: What is worth knowing.
    """
    measures = dict.fromkeys(key.partition("_")[2] for key in scores)
    cells = {key: f"{value:.3f}" for key, value in scores.items()}
    lines = [(name, *(cells.get(f"{side}_{name}", "-") for side in PREFIXES.values())) for name in measures]
    return Evaluation(title, scores, (("", "left hands", "right hands"), *lines), notes=notes)


def read_labels(path: Path, progress: bool = False) -> tuple[dict[int, LabelledHands], Integers]:
    """Every person of an annotation file, by side (0 = left, 1 = right), and the numbers of its images, sorted."""
    images, people = array("q"), array("q")
    points = {side: array("d") for side in PREFIXES}
    facts = array("d")  # area, box, crowd
    for (kind, *_), entry in entries(path, 2, progress=progress):
        if kind == "images":
            images.append(entry["id"])
        elif kind == "annotations":
            people.append(entry["image_id"])
            facts.extend((entry["area"], *entry["bbox"], bool(entry.get("iscrowd"))))
            for side, numbers in points.items():
                numbers.extend(keypoints(entry, side, path))
    if not images or not people:
        raise ValueError(f"{path} has no lists images and annotations with something in them. Get it again.")
    table = np.array(facts).reshape(-1, 6)
    image = np.array(people, np.int64)
    labelled = {
        side: LabelledHands(
            image, np.array(numbers).reshape(-1, 21, 3), table[:, 0].copy(), table[:, 1:5].copy(), table[:, 5] > 0
        )
        for side, numbers in points.items()
    }
    return labelled, np.unique(np.array(images, np.int64))


def read_predictions(path: Path, images: Integers, labels: str, progress: bool = False) -> dict[int, FoundHands]:
    """The hands of a result file by side, 0 = left, 1 = right.

    Args:
        path: JSON.
        images: Sorted numbers of the images that exist.
        labels: Name of the file that says so.
        progress: Shows a bar when it takes longer than five seconds.

    Raises:
        ValueError: It is not in the format.
    """
    known = frozenset(images.tolist())
    image, area = array("q"), array("d")
    points = {side: array("d") for side in PREFIXES}
    scores = {side: array("d") for side in PREFIXES}
    for (number, *_), row in entries(path, 1, progress=progress):
        if isinstance(number, str):
            _refuse(path, f"is not a list but has the key {number!r}", "It must be a list with one object a person")
        where = f"row {number}"
        if not isinstance(row, dict):
            _refuse(path, f"{where} is not an object", "Each row is one person, with image_id, lefthand_kpts ...")
        image.append(_image(path, where, row, known, labels))
        area.append(_area(path, where, row))
        for side, prefix in PREFIXES.items():
            points[side].extend(_numbers(path, where, row, f"{prefix}_kpts", NUMBERS))
            scores[side].append(_score(path, where, row, f"{prefix}_score"))
    if not image:
        _refuse(path, "has no rows", "Write one for each person, also where no hand was found")
    people, size = np.array(image, np.int64), np.array(area)
    found = {
        side: FoundHands(people, np.array(points[side]).reshape(-1, 21, 3), np.array(scores[side]), size)
        for side in PREFIXES
    }
    _look_at_units(path, np.concatenate([hands.keypoints for hands in found.values()]))
    return found


def write_predictions(path: str | os.PathLike[str], rows: Iterable[Mapping[str, Any]]) -> Path:
    """Writes results in the format that `evaluate` and COCO-WholeBody's own tools read; all or nothing.

    Args:
        path: The JSON file.
        rows: One a person: `image_id`, and of the hands that were found `lefthand_kpts` (21, 3) x, y in pixels of the
            whole image and confidence above 0, `lefthand_score`, and the same for `righthand`. `bbox` or
            `keypoints` (17, 3) are kept. Parts that are not given are written as zeros: not found.

    Returns:
        The file.
    """
    written = []
    for number, row in enumerate(rows):
        if "image_id" not in row:
            raise ValueError(f"row {number} has no image_id. Give the number of its image.")
        full: dict[str, Any] = {"image_id": int(row["image_id"]), "category_id": PERSON}
        if "bbox" in row:
            full["bbox"] = _flat(row["bbox"], 4, number, "bbox")
        for name, size in OTHERS.items():
            full[name] = _flat(row[name], size, number, name) if name in row else [0] * size
        for prefix in PREFIXES.values():
            name, score = f"{prefix}_kpts", f"{prefix}_score"
            if (name in row) != (score in row):
                raise ValueError(f"row {number} has only one of {name} and {score}. Give both or none.")
            full[name] = _flat(row[name], NUMBERS, number, name) if name in row else [0] * NUMBERS
            full[score] = float(row[score]) if score in row else 0.0
        best = max(full[f"{prefix}_score"] for prefix in PREFIXES.values())
        full["score"] = float(row.get("score", best))
        full |= {name: float(row.get(name, 0.0)) for name in ("foot_score", "face_score")}
        full["wholebody_score"] = float(row.get("wholebody_score", full["score"]))
        written.append(full)
    file = Path(path).expanduser()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(written, allow_nan=False).encode())
    return file


def _of_images(hands: LabelledHands, images: Integers) -> LabelledHands:
    kept = np.isin(hands.image, images)
    return LabelledHands(hands.image[kept], hands.keypoints[kept], hands.area[kept], hands.box[kept], hands.crowd[kept])


def _refuse(path: Path, what: str, rule: str) -> NoReturn:
    raise ValueError(f"{path}: {what}. {rule}.")


def _flat(values: Any, size: int, number: int, name: str) -> list[float]:
    flat = np.asarray(values, np.float64).ravel()
    if flat.size != size or not np.isfinite(flat).all():
        raise ValueError(f"{name} of row {number} has {flat.size} numbers; it must have {size}, all of them finite.")
    return [round(number, 3) for number in flat.tolist()]


def _image(path: Path, where: str, row: Mapping[str, Any], known: frozenset[int], labels: str) -> int:
    image, category = row.get("image_id"), row.get("category_id")
    if type(image) is not int:
        given = "is missing" if image is None else f"is {image!r}"
        _refuse(path, f"image_id of {where} {given}", "It must be a whole number: 785 for 000000000785.jpg")
    if image not in known:
        _refuse(path, f"image_id {image} of {where} is not in {labels}", "Are these predictions for another split?")
    if category != PERSON:
        given = "is missing" if category is None else f"is {category!r}"
        _refuse(path, f"category_id of {where} {given}", "It must be 1, person")
    return image


def _area(path: Path, where: str, row: Mapping[str, Any]) -> float:
    """Square pixels of the person, as pycocotools has it; NaN where nothing says so."""
    if row.get("bbox"):
        _, _, width, height = _numbers(path, where, row, "bbox", 4)
        return float(width * height)
    if row.get("keypoints"):
        body = _numbers(path, where, row, "keypoints", OTHERS["keypoints"])
        x, y = body[::3], body[1::3]
        return float((max(x) - min(x)) * (max(y) - min(y)))
    return math.nan


def _numbers(path: Path, where: str, row: Mapping[str, Any], name: str, size: int) -> list[int | float]:
    values = row.get(name)
    if not isinstance(values, list):
        given = "is missing" if values is None else "is not a list"
        _refuse(path, f"{name} of {where} {given}", f"It must be {size} numbers; zeros where nothing was found")
    if len(values) != size:
        triples = f"{size // 3} triples x, y, v" if size % 3 == 0 else "left, top, width, height"
        _refuse(path, f"{name} of {where} has {len(values)} numbers", f"It must have {size}: {triples}, not nested")
    if not all(type(value) in (int, float) and math.isfinite(value) for value in values):
        _refuse(path, f"{name} of {where} holds something that is not a finite number", "Write plain numbers")
    return values


def _score(path: Path, where: str, row: Mapping[str, Any], name: str) -> float:
    score = row.get(name)
    if not isinstance(score, int | float) or isinstance(score, bool) or not math.isfinite(score):
        given = "is missing" if score is None else f"is {score!r}"
        _refuse(path, f"{name} of {where} {given}", "Each hand is ranked by its own score: a number, higher is surer")
    return float(score)


def _look_at_units(path: Path, points: np.ndarray) -> None:
    """Refuses what is plainly a mistake in all rows, but would only score badly."""
    counted = points[..., 2] > 0
    placed = np.abs(points[..., :2]).max(-1, initial=0)
    if not counted.any():
        if placed.any():
            _refuse(
                path,
                "no hand has a joint with a third number above 0, so all of them count as not found",
                "The third number of each triple is a confidence; write 1 where there is none",
            )
        return
    largest = placed[counted].max()
    if largest <= _NORMALISED:
        _refuse(
            path,
            f"the largest x or y of all hands is {largest:.3g}, so they look normalised to 0..1",
            "Write pixels of the whole image: multiply x by its width and y by its height",
        )
