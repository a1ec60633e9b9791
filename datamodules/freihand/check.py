"""Says what a FreiHAND folder holds, what is missing from it and what in it is broken."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from datamodules.freihand.files import EVAL_SIBLING, SHAPES, VERSIONS, FreiHANDPart, find_evaluation, image_numbers
from datamodules.freihand.writer import ROOT_JOINT, SCALE_JOINT, Part
from datamodules.report import Report, Row, decoded_sizes, listed

PUBLISHED = {"training": 32560, "evaluation": 3960}
V2_DATE = datetime(2019, 10, 22, tzinfo=UTC)  # what was downloaded before is v1


def check(folder: Path, report: Report, progress: bool) -> None:
    """Adds rows and notes to a report; every image is decoded.

    Args:
        folder: That is there.
        report: Of the whole check.
        progress: Shows a bar when it takes longer than five seconds.
    """
    if (folder / "training").is_dir() or (folder / "training_K.json").is_file() or not _evaluation(folder):
        _check_part(report, folder, "training", progress)
    else:
        report.notes.append("no training part: it can be scored and predicted, not trained on.")
    if _evaluation(folder):
        _check_part(report, folder, "evaluation", progress)
    else:
        report.notes.append("no evaluation part: validation will use held-out training samples.")


def _evaluation(folder: Path) -> bool:
    return (folder / "evaluation").is_dir() or (folder / "evaluation_K.json").is_file()


def _check_part(report: Report, root: Path, name: Part, progress: bool) -> None:
    try:
        part = find_evaluation(root) if name == "evaluation" else None
        part = part or FreiHANDPart(root, name)
        samples = len(part.arrays["K"])
    except (OSError, ValueError) as error:
        report.rows.append(Row(f"{name}_K.json", "-", "a list of 3 x 3", str(error)))
        return
    published = PUBLISHED[name]
    report.rows.append(Row(f"{name}_K.json", f"{samples} samples", f"any ({published} published)"))
    for kind in SHAPES:
        if kind != "K" and (row := _label_row(part, kind, samples)):
            report.rows.append(row)
    if not part.labelled:
        missing = f"{name} labels (joints and meshes) are not there"
        report.notes.append(f"{missing}: it can be predicted but not scored. They come in {EVAL_SIBLING}.")
    elif row := _geometry_row(part, samples):
        report.rows.append(row)
    versions = len(VERSIONS) if name == "training" else 1
    _check_images(report, part.images, samples, versions, progress)
    if name == "training" and part.masks.is_dir():
        _check_images(report, part.masks, samples, 1, progress)
    elif name == "training":
        report.notes.append("no training/mask folder: silhouettes will not be there.")
    newest = max(path.stat().st_mtime for path in (array.path for array in part.arrays.values()))
    if datetime.fromtimestamp(newest, UTC) < V2_DATE:
        report.notes.append(
            f"the {name} labels are older than v2 of October 2019: they may be v1's, whose meshes differ."
        )


def _label_row(part: FreiHANDPart, kind: str, samples: int) -> Row | None:
    """None for a file that need not be there and is not."""
    path = part.paths[kind]
    optional = kind in ("mano", "side") or part.part == "evaluation"
    if kind not in part.arrays:
        problem = "It is not there. Unpack the archive again."
        return None if optional else Row(path.name, "nothing", str(samples), problem)
    try:
        array = part.arrays[kind].array
    except (OSError, ValueError) as error:
        return Row(path.name, "-", str(samples), str(error))
    problem = ""
    if len(array) != samples:
        problem = f"Its length is not that of {part.paths['K'].name}: files of two datasets are mixed."
    elif not np.isfinite(array).all():
        problem = f"Entry {int(np.argwhere(~np.isfinite(array))[0][0])} holds a number that is not finite."
    return Row(path.name, str(len(array)), str(samples), problem)


def _geometry_row(part: FreiHANDPart, samples: int) -> Row | None:
    """Whether the labels mean what they should: metres, in front of the camera, on the image, in SNAP-21 order."""
    try:
        joints, cameras = part.arrays["xyz"].array, part.arrays["K"].array
        vertices = part.arrays["verts"].array
        if not len(joints) == len(vertices) == samples:
            return None
        size = max(part.image_size)
        scale = part.arrays["scale"].array if "scale" in part.arrays else None
    except (OSError, ValueError):
        return None  # told by the rows of those files
    pixels = np.einsum("nij,nkj->nki", cameras, joints)
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = pixels[..., :2] / pixels[..., 2:]
    inside = ((pixels > -size) & (pixels < 2 * size)).all(-1).mean(1)
    bone = np.linalg.norm(joints[:, ROOT_JOINT] - joints[:, SCALE_JOINT], axis=-1)
    near = np.linalg.norm(joints.mean(1) - vertices.mean(1), axis=-1)
    rules = {
        "joints behind the camera (is +z forward?)": joints[..., 2].min(1) <= 0,
        "joints far from the image (do K and joints belong together?)": inside < 0.5,
        "a middle finger bone outside of 5 to 100 mm (are these metres?)": (bone < 0.005) | (bone > 0.1),
        "a mesh more than 10 cm from its joints": near > 0.1,
    }
    if scale is not None and len(scale) == samples:
        rules["a scale that is not the middle finger bone"] = np.abs(scale - bone) > 0.002
    broken = [
        f"{int(wrong.sum())} samples with {rule}, the first is {int(np.argmax(wrong))}"
        for rule, wrong in rules.items()
        if wrong.any()
    ]
    problem = "; ".join(broken) + ". The label files are damaged or mixed: unpack them again." if broken else ""
    return Row(f"{part.part} labels make sense", f"{samples} samples", "", problem)


def _check_images(report: Report, folder: Path, samples: int, versions: int, progress: bool) -> None:
    what = f"{folder.parent.name}/{folder.name}"
    try:
        numbers = image_numbers(folder)
    except OSError as error:
        report.rows.append(Row(what, "nothing", str(samples * versions), str(error)))
        return
    if versions > 1 and len(numbers) <= samples:
        versions = 1
    wanted = np.arange(samples * versions)
    missing, beyond = np.setdiff1d(wanted, numbers), np.setdiff1d(numbers, wanted)
    present = np.intersect1d(numbers, wanted)
    files = [f"{number:08d}.jpg" for number in present.tolist()]
    sizes = decoded_sizes([folder / file for file in files], what, progress)
    known = Counter(size for size in sizes if size is not None)
    usual = known.most_common(1)[0][0] if known else None
    problems = [
        listed([f"{number:08d}.jpg" for number in missing.tolist()], "missing"),
        listed([f"{number:08d}.jpg" for number in beyond.tolist()], "that no label belongs to"),
        listed(
            [file for file, size in zip(files, sizes, strict=True) if size is None], "that are not whole JPEG images"
        ),
        listed(
            [file for file, size in zip(files, sizes, strict=True) if size not in (None, usual)],
            "of another size than the others",
        ),
    ]
    problem = "; ".join(text for text in problems if text)
    problem = problem and f"{problem}. Unpack the archive again."
    kinds = "versions " + ", ".join(VERSIONS) if versions > 1 else "one version"
    expected = f"{len(wanted)} ({kinds})" if folder.name == "rgb" else str(len(wanted))
    report.rows.append(Row(what, str(len(numbers)), expected, problem))
