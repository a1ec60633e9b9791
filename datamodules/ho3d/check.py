"""Says what an HO-3D folder holds, what is missing from it and what in it is broken."""

import os
import struct
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from datamodules.ho3d.files import EVAL_SOURCE, SIZE, SUFFIXES, HO3DPart, Version
from datamodules.ho3d.masks import Masks
from datamodules.ho3d.metas import Part, read_meta
from datamodules.photos import read_photo
from datamodules.report import Report, Row, listed
from datamodules.scene import FloatArray

PUBLISHED: dict[tuple[Version, Part], int] = {
    ("v2", "train"): 66034,
    ("v2", "evaluation"): 11524,
    ("v3", "train"): 83325,
    ("v3", "evaluation"): 20137,
}
SEQUENCES: dict[Part, int] = {"train": 55, "evaluation": 13}
_PNG = b"\x89PNG\r\n\x1a\n"
_AGAIN = "Unpack the archive again."
_T = TypeVar("_T")


def check(folder: Path, report: Report, progress: bool) -> None:
    """Adds rows and notes to a report; every listed image and label file is read.

    Args:
        folder: That is there.
        report: Of the whole check.
        progress: Shows a bar when it takes longer than five seconds.
    """
    parts: list[Part] = [part for part in SEQUENCES if (folder / f"{part}.txt").is_file()]
    if ("train" not in parts and (folder / "train").is_dir()) or not parts:
        parts.insert(0, "train")  # says that its list is not there
    for name in parts:
        _check_part(report, folder, name, progress)
    for name, lack in (("train", "scored and predicted, not trained on"), ("evaluation", "trained on, not scored")):
        if name not in parts:
            report.notes.append(f"no {name} part: it can be {lack}.")


def _check_part(report: Report, root: Path, name: Part, progress: bool) -> None:
    try:
        part = HO3DPart(root, name)
        names = part.names
    except (OSError, ValueError) as error:
        report.rows.append(Row(f"{name}.txt", "-", "frames", str(error)))
        return
    published = PUBLISHED[part.version, name]
    twice = len(names) - len(set(names))
    problem = f"{twice} frames are listed twice. {_AGAIN}" if twice else ""
    report.rows.append(Row(f"{name}.txt", f"{len(names)} frames", f"any ({published} published)", problem))
    sequences = sorted({frame.partition("/")[0] for frame in names})
    absent = [sequence for sequence in sequences if not (root / name / sequence).is_dir()]
    problem = f"{listed(absent, 'sequences whose folder is missing')}. {_AGAIN}" if absent else ""
    expected = f"{len(sequences)} listed ({SEQUENCES[name]} published)"
    report.rows.append(Row(f"{name} sequences", str(len(sequences) - len(absent)), expected, problem))
    if (unlisted := _unlisted(part)) > 0:
        report.notes.append(f"{unlisted} {name} images are not in {name}.txt: they have no labels and are not used.")
    _check_images(report, part, progress)
    table = _check_metas(report, part, progress)
    if table is not None:
        report.rows.append(_geometry_row(part, table))
    if name == "evaluation":
        _check_truth(report, part, table)
    else:
        _note_masks(report, part)


def _check_images(report: Report, part: HO3DPart, progress: bool) -> None:
    missing = set(part.without_image)
    present = [name for name in part.names if name not in missing]
    paths = _every(present, part.image, f"Finding {part.part} images", progress=False)
    other = [name for name, path in zip(present, paths, strict=True) if path.suffix != SUFFIXES[part.version]]
    whole = _every(paths, _whole, f"Decoding {part.part} images", progress)
    broken = [name for name, good in zip(present, whole, strict=True) if not good]
    problem = _joined(
        listed(part.without_image, "missing"),
        listed(broken, f"that are not whole images of {SIZE[1]} x {SIZE[0]}"),
        listed(other, f"of another kind than {part.version}'s {SUFFIXES[part.version]}"),
    )
    what = f"{part.part} {SUFFIXES[part.version]} images"
    report.rows.append(Row(what, str(len(present)), str(len(part.names)), problem))


def _check_metas(report: Report, part: HO3DPart, progress: bool) -> dict[str, FloatArray] | None:
    """Reads every label file; the labels of those that are good, or None without any."""

    def read(name: str) -> dict[str, FloatArray] | str:
        path = part.folder(name, "meta") / f"{name.rpartition('/')[2]}.pkl"
        try:
            return read_meta(path, part.part) or "unlabelled"
        except FileNotFoundError:
            return "missing"
        except (OSError, ValueError) as error:
            return str(error)

    found = dict(zip(part.names, _every(part.names, read, f"Reading {part.part} labels", progress), strict=True))
    good = {name: labels for name, labels in found.items() if isinstance(labels, dict)}
    lists = {trouble: [name for name in found if found[name] == trouble] for trouble in ("missing", "unlabelled")}
    broken = [text for text in found.values() if isinstance(text, str) and text not in lists]
    problem = _joined(
        listed(lists["missing"], "missing"),
        listed(lists["unlabelled"], "listed that say None"),
        f"{len(broken)} damaged, the first: {broken[0].rstrip('.')}" if broken else "",
    )
    report.rows.append(Row(f"{part.part} label files", str(len(good)), str(len(part.names)), problem))
    if not good:
        return None
    return {key: np.stack([labels[key] for labels in good.values()]) for key in next(iter(good.values()))}


def _geometry_row(part: HO3DPart, table: dict[str, FloatArray]) -> Row:
    """Whether the labels mean what they should: metres, OpenGL's camera, on the image."""
    joints = table["joints"].astype(np.float64)
    rays = np.einsum("nij,nkj->nki", table["camera"], joints * (1, -1, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = rays[..., :2] / rays[..., 2:]
    inside = ((pixels > -320) & (pixels < 960)).all(-1).mean(1)
    far = np.linalg.norm(joints[:, 0], axis=-1)
    rules = {
        "joints in front of an OpenCV camera (is -z forward?)": joints[..., 2].max(1) >= 0,
        "joints far from the image (do camMat and joints belong together?)": inside < 0.5,
        "a root that is not 0.1 to 3 m away (are these metres?)": (far < 0.1) | (far > 3),
    }
    if part.part == "train":
        bone = np.linalg.norm(joints[:, 4] - joints[:, 5], axis=-1)  # of the middle finger, in MANO's order
        rules["a middle finger bone outside of 5 to 100 mm"] = (bone < 0.005) | (bone > 0.1)
    else:
        box = table["box"]
        rules["a box that is not left, top, right, bottom"] = (box[:, :2] >= box[:, 2:]).any(-1)
        margin = 0.5 * (box[:, 2:] - box[:, :2])
        root = pixels[:, 0]
        rules["a root far from its box"] = ((root < box[:, :2] - margin) | (root > box[:, 2:] + margin)).any(-1)
    broken = [f"{int(wrong.sum())} frames with {rule}" for rule, wrong in rules.items() if wrong.any()]
    problem = f"{'; '.join(broken)}. The label files are damaged or converted: unpack them again." if broken else ""
    return Row(f"{part.part} labels make sense", f"{len(joints)} frames", "", problem)


def _check_truth(report: Report, part: HO3DPart, table: dict[str, FloatArray] | None) -> None:
    if "xyz" not in part.truth:
        report.notes.append(f"no evaluation labels: it can be predicted but not scored. {EVAL_SOURCE}.")
        return
    for kind, array in part.truth.items():
        path = part.paths[kind]
        try:
            values = array.array
            part.check_truth()
        except (OSError, ValueError) as error:
            report.rows.append(Row(path.name, "-", f"{len(part.names)} frames", str(error)))
            continue
        problem = "" if np.isfinite(values).all() else f"It has numbers that are not finite. {_AGAIN}"
        if kind == "xyz" and table is not None and len(table["joints"]) == len(values):
            gap = np.linalg.norm(values[:, 0] - table["joints"][:, 0], axis=-1)
            if (gap > 0.001).any():
                problem = (
                    f"{int((gap > 0.001).sum())} wrists are not where the label files have the root: other frames, "
                    "another order or another camera. Get them again."
                )
        report.rows.append(Row(path.name, f"{len(values)} frames", f"{len(part.names)} frames", problem))


def _note_masks(report: Report, part: HO3DPart) -> None:
    masks = Masks(part)
    try:
        masks.path(part.names[0])
    except OSError:
        report.notes.append("no segmentations: masks of hands will not be there.")


def _unlisted(part: HO3DPart) -> int:
    """How many images lie in the folders of the part beside those of its list."""
    folder = part.root / part.part
    images = [
        f"{sequence.name}/{os.path.splitext(image.name)[0]}"
        for sequence in (os.scandir(folder) if folder.is_dir() else ())
        if (Path(sequence.path) / "rgb").is_dir()
        for image in os.scandir(Path(sequence.path) / "rgb")
    ]
    return len(set(images) - set(part.names))


def _whole(path: Path) -> bool:
    """Whether an image of the right size can be read: a PNG by its check sums (they find more), a JPEG by decoding."""
    try:
        if path.suffix.lower() == ".png":
            data = path.read_bytes()
            return whole_png(data) and struct.unpack_from(">II", data, 16) == SIZE[::-1]
        return read_photo(path).shape[:2] == SIZE
    except (OSError, ValueError):
        return False


def whole_png(data: bytes) -> bool:
    """Whether every chunk of a PNG file is there with its check sum, the end too (PNG specification, section 5)."""
    place = len(_PNG)
    if data[:place] != _PNG:
        return False
    kind = b""
    while place + 12 <= len(data) and kind != b"IEND":
        (length,) = struct.unpack_from(">I", data, place)
        kind, end = data[place + 4 : place + 8], place + 8 + length
        if zlib.crc32(data[place + 4 : end]).to_bytes(4, "big") != data[end : end + 4]:
            return False
        place = end + 4
    return kind == b"IEND"


def _every(items: Sequence[Any], work: Callable[[Any], _T], what: str, progress: bool) -> list[_T]:
    """Works on all items, on all cores."""
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        return list(
            tqdm(
                pool.map(work, items),
                total=len(items),
                desc=what,
                unit=" files",
                delay=5,
                disable=not progress,
            )
        )


def _joined(*problems: str) -> str:
    found = [problem for problem in problems if problem]
    return f"{'; '.join(found)}. {_AGAIN}" if found else ""
