"""Says what a folder of COCO holds, what is missing from it and what in it is broken."""

import os
from pathlib import Path

import numpy as np

from datamodules.coco.files import PARTS, PUBLISHED, Part, annotations_name, find_annotations, find_files
from datamodules.coco.index import Index, read
from datamodules.coco.labels import PREFIXES
from datamodules.report import Report, Row, decoded_sizes, listed

FAR = 0.5  # of the picture's longer side; labels farther outside belong to another picture
GUESSED = 1e-3  # of the keypoints; COCO-WholeBody has some a little outside of their picture


def check(folder: Path, report: Report, progress: bool) -> None:
    """Adds rows and notes to a report; every image is decoded.

    Args:
        folder: That is there.
        report: Of the whole check.
        progress: Shows a bar when it takes longer than five seconds.
    """
    there = [part for part in PARTS if find_annotations(folder, part)]
    if not there:
        try:
            find_files(folder, "train")
        except FileNotFoundError as error:
            report.rows.append(Row(annotations_name("train"), "nothing", "a file", str(error)))
        return
    loose = {find_annotations(folder, part) for part in there}
    if len(loose) < len(there):
        there = there[:1]
        report.notes.append(f"{loose.pop()} stands for all splits: no file has COCO-WholeBody's own name.")
    for part in PARTS:
        if part in there:
            _check_part(report, folder, part, progress)
        elif len(loose) == len(there):
            without = "trained on" if part == "train" else "validated"
            report.notes.append(f"no {annotations_name(part)}: it cannot be {without}.")


def _check_part(report: Report, folder: Path, part: Part, progress: bool) -> None:
    files = find_files(folder, part)
    name = files.annotations.name
    try:
        index = Index(files)
        index.__dict__["arrays"] = read(files, progress)
    except (OSError, ValueError) as error:
        report.rows.append(Row(name, "-", "COCO-WholeBody's JSON", str(error)))
        return
    arrays = index.arrays
    annotations, uncounted, handless, insane, entries, lost = arrays["counts"].tolist()
    people, hands = len(arrays["annotation"]), int(arrays["hands"].sum())
    report.rows.append(Row(name, f"{people} people", "at least one", _wrong_labels(index)))
    report.notes.append(
        f"{part}: {hands} hands of {people} people are used; of {annotations} annotations {uncounted} are crowds or "
        f"have no body joint, {handless} have no labelled hand, {insane} have a box outside of their picture."
    )
    _check_captions(report, index, part)
    if files.mano is not None:
        report.rows.append(Row(files.mano.name, f"{entries} hands", f"any ({hands} labelled)", _wrong_fits(index)))
        if lost:
            report.notes.append(
                f"{lost} of the {entries} MANO hands are of nobody who is used, or behind their camera."
            )
    elif part == "train":
        report.notes.append("no MANO parameters: hands have keypoints only, no meshes.")
    _check_images(report, index, part, progress)


def _wrong_labels(index: Index) -> str:
    """What does not mean what it should: empty if all does."""
    arrays = index.arrays
    if not len(arrays["annotation"]):
        return "Nobody in it has a labelled hand: it is another file."
    points, size = arrays["keypoints"], arrays["size"][arrays["image"]]
    labelled = points[..., 2] > 0
    span = size[:, None, None, ::-1]
    outside = np.abs(points[..., :2] - (span - 1) / 2) - span / 2
    far = labelled & (outside.max(-1) > FAR * size.max(-1)[:, None, None])
    rules = {
        "joints that are not finite": ~np.isfinite(points).all((1, 2, 3)),
        "joints far outside of the picture": far.any((1, 2)),
        "joints all within 0..1 (are these pixels?)": (np.where(labelled, points[..., :2].max(-1), 0) <= 1).all((1, 2)),
        "visibilities that are not 0 to 2": ((points[..., 2] < 0) | (points[..., 2] > 2)).any((1, 2)),
    }
    broken = [
        f"{int(wrong.sum())} people have {rule}, the first is annotation {arrays['annotation'][int(np.argmax(wrong))]}"
        for rule, wrong in rules.items()
        if wrong.mean() > GUESSED
    ]
    return "; ".join(broken) + ". Get the file again." if broken else ""


def _wrong_fits(index: Index) -> str:
    """Whether fitted hands are where they are labelled: their roots near the wrists."""
    arrays = index.arrays
    person, side = np.nonzero(arrays["mano_row"] >= 0)
    if not len(person):
        return "No hand in it belongs to a person of the annotations: it is the file of other annotations."
    fits = arrays["mano"][arrays["mano_row"][person, side]].astype(np.float64)
    pixel = fits[:, 58:60] / fits[:, 60:61] * fits[:, 61:63] + fits[:, 63:65]
    points = arrays["keypoints"][person, side]
    labelled = points[..., 2:] > 0
    middle = np.where(labelled, points[..., :2], 0).sum(1) / labelled.sum(1)
    reach = 3 * arrays["box"][person, 2:].max(-1)
    wrong = np.linalg.norm(pixel - middle, axis=-1) > reach
    if wrong.mean() < 0.1:
        return ""
    return (
        f"{int(wrong.sum())} of {len(wrong)} hands are far from their keypoints, the first is "
        f"{tuple(PREFIXES.values())[int(side[np.argmax(wrong)])]} of annotation "
        f"{arrays['annotation'][person[int(np.argmax(wrong))]]}: it is the file of other annotations."
    )


def _check_captions(report: Report, index: Index, part: Part) -> None:
    if index.files.captions is None:
        report.notes.append(f"no captions_{part}2017.json: its pictures have no sentences.")
        return
    first = index.arrays["caption_first"]
    without = int((np.diff(first)[np.unique(index.arrays["image"])] == 0).sum())
    problem = "No image has one: it is the file of other images." if not first[-1] else ""
    report.rows.append(Row(index.files.captions.name, f"{first[-1]} captions", "about 5 an image", problem))
    if without and not problem:
        report.notes.append(f"{without} {part} images with hands have no caption.")


def _check_images(report: Report, index: Index, part: Part, progress: bool) -> None:
    folder = index.files.images
    what = f"{folder.parent.name}/{folder.name}"
    names = [bytes(name).decode() for name in index.arrays["file"]]
    expected = f"{len(names)} ({PUBLISHED[part]} published)"
    if not folder.is_dir():
        advice = f"{folder} is not there. Unpack {part}2017.zip in it, or pass --data.images_root when training."
        report.rows.append(Row(what, "nothing", expected, advice))
        return
    listing = set(os.listdir(folder))
    present = [name for name in names if name in listing]
    missing = [name for name in names if name not in listing]
    annotated = dict(zip(names, map(tuple, index.arrays["size"].tolist()), strict=True))
    sizes = dict(zip(present, decoded_sizes([folder / name for name in present], what, progress), strict=True))
    problems = [
        listed(missing, "missing"),
        listed([name for name, size in sizes.items() if size is None], "that are not whole JPEG images"),
        listed(
            [name for name, size in sizes.items() if size not in (None, annotated[name])],
            "of another size than annotated",
        ),
    ]
    problem = "; ".join(text for text in problems if text)
    report.rows.append(Row(what, str(len(present)), expected, problem and f"{problem}. Unpack the archive again."))
    beyond = sum(name.endswith(".jpg") for name in listing) - len(present)
    if beyond > 0:
        report.notes.append(f"{beyond} images in {what} are not in {index.files.annotations.name}.")
