"""Says what an InterHand2.6M folder holds, what is missing from it and what in it is broken."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datamodules.hand_models import is_twin
from datamodules.interhand.files import PARTS, Part, find_files, parts_of
from datamodules.interhand.index import InterHandIndex
from datamodules.interhand.twin import BOX
from datamodules.photos import photo_size
from datamodules.report import SHOWN, Report, Row, broken_photos, listed
from datamodules.scene import BoolArray, IntArray

PUBLISHED = {"train": 1_361_062, "val": 380_125, "test": 849_160}  # images at 5 frames a second
PUBLISHED_FITS = {"train": 18_718, "val": 2_736, "test": 6_890}  # frames with MANO parameters
PUBLISHED_FITTED = {"train": 1_340_326, "val": 379_947, "test": 848_297}  # images of such frames
DEPTH = (0.3, 3.0)  # metres between which hands are from their cameras
_BLOCK = 1 << 16  # rows looked at together
_DECODED = 1 << 13  # images decoded together
_SIZED = 200  # images whose size is compared
_UNPACK = "Unpack the images again."


def check(folder: Path, report: Report, progress: bool) -> None:
    """Adds rows and notes to a report; every image is decoded.

    Args:
        folder: That is there.
        report: Of the whole check.
        progress: Shows a bar when it takes longer than five seconds.
    """
    parts = parts_of(folder)
    for part in parts or PARTS[:1]:
        _check_part(folder, report, part, progress)
    if parts and (absent := [part for part in PARTS if part not in parts]):
        report.notes.append(f"no {' and no '.join(absent)} part.")
    for name in ("skeleton.txt", "subject.txt"):
        if parts and not (folder / "annotations" / name).is_file():
            report.notes.append(f"annotations/{name} is not there; nothing here reads it.")


def _check_part(folder: Path, report: Report, part: Part, progress: bool) -> None:
    try:
        files = find_files(folder, part)
        index = InterHandIndex(files, progress=progress)
        count = len(index)
    except (OSError, ValueError) as error:
        report.rows.append(Row(f"{part} annotations", "-", "data, camera, joint_3d", str(error)))
        return
    names = ", ".join(path.name.removeprefix(f"InterHand2.6M_{part}_") for path in files.data)
    expected = f"any ({PUBLISHED[part]} published)"
    report.rows.append(Row(f"{part} {names}", f"{index.tables['images']} images", expected))
    if count != index.tables["images"]:
        report.notes.append(
            f"{part}: {count} annotations for {index.tables['images']} images; the others are not read."
        )
    _check_fits(report, index, part)
    report.rows += [_camera_row(index, part), _label_row(index, part)]
    whole = index.tables["images"] == PUBLISHED[part] or is_twin(folder)
    if not whole:
        report.notes.append(
            f"{part} has {index.tables['images']} images; at 5 frames a second {PUBLISHED[part]} were published. It is "
            "a selection, of another frame rate or of another version."
        )
    _check_images(report, index, part, progress)


def _check_fits(report: Report, index: InterHandIndex, part: Part) -> None:
    old = index.files.joints.with_name(f"InterHand2.6M_{part}_MANO.json")
    if old.is_file():
        report.notes.append(f"{old.name} is version 0.0's; it is not read. MANO_NeuralAnnot.json has replaced it.")
    if index.files.mano is None:
        report.notes.append(f"{part} has no MANO_NeuralAnnot.json: joints without meshes.")
        return
    frames = int(index.arrays["has_mano"].any(1).sum())
    images = sum(int(index.has_fit(rows).any(1).sum()) for rows in _blocks(index))
    report.rows.append(
        Row(f"{part} MANO_NeuralAnnot.json", f"{frames} frames", f"any ({PUBLISHED_FITS[part]} published)")
    )
    report.notes.append(f"{part}: {images} images have MANO parameters ({PUBLISHED_FITTED[part]} published).")


def _camera_row(index: InterHandIndex, part: Part) -> Row:
    """Whether every camera that took a picture is listed and turns without mirroring."""
    used = np.unique(index.arrays["camera"])
    known, turns = index.arrays["camera_known"][used], index.arrays["camrot"][used]
    names = [f"{name} of capture {capture}" for capture, name in (index.tables["cameras"][i] for i in used.tolist())]
    off = np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max((1, 2)) > 1e-3
    off |= np.abs(np.linalg.det(turns) - 1) > 1e-3
    problems = [
        listed([name for name, wrong in zip(names, rows.tolist(), strict=True) if wrong], trouble)
        for trouble, rows in (("that are not listed", ~known), ("whose camrot is no rotation", known & off))
        if rows.any()
    ]
    problem = "; ".join(problems) + ". Unpack the annotations again." if problems else ""
    return Row(f"{part} camera.json", f"{len(used)} cameras used", "listed, det(camrot) = 1", problem)


def _label_row(index: InterHandIndex, part: Part) -> Row:
    """Whether the labels mean what they should: millimetres, world frame, in front of cameras about a metre away."""
    broken: dict[str, tuple[int, int]] = {}
    ratios, depths = [], []
    for rows in _blocks(index):
        joints, valid = index.joints(rows) / 1000, index.frame_valid(rows)
        valid &= index.arrays["camera_known"][index.arrays["camera"][rows]][:, None]
        z = np.where(valid, joints[..., 2], np.nan)
        has = valid.any(1)
        depth = np.full(len(rows), 1.0)
        depth[has] = np.nanmedian(z[has], axis=1)
        depths.append(depth[has])
        rules = {
            "joints behind the camera": (np.where(valid, z, 1) <= 0).any(1),
            "hands nearer than 30 cm or farther than 3 m (are these millimetres?)": has
            & ((depth < DEPTH[0]) | (depth > DEPTH[1])),
        }
        for rule, wrong in rules.items():
            if wrong.any():
                count, first = broken.get(rule, (0, int(index.arrays["annotation_id"][rows[int(np.argmax(wrong))]])))
                broken[rule] = count + int(wrong.sum()), first
        ratios.append(_box_ratios(index, rows, joints, valid & index.view_valid(rows)))
    ratio, depth = np.concatenate(ratios), np.concatenate(depths)
    found = f"{len(index)} annotations"
    if len(depth):
        found += f", {np.median(depth):.2f} m away"
    if not np.isnan(ratio).all():
        found += f", boxes x {np.nanmedian(ratio):.3f}"
        if abs(np.nanmedian(ratio) - BOX) > 0.01:
            wrong = np.abs(ratio - BOX) > 0.01
            first = int(index.arrays["annotation_id"][int(np.argmax(wrong))])
            rule = f"boxes that are not {BOX} times the seen joints (do data and joint_3d belong together?)"
            broken[rule] = int(wrong.sum()), first
    problems = [f"{count} annotations with {rule}, the first is {first}" for rule, (count, first) in broken.items()]
    problem = "; ".join(problems) + ". The annotations are damaged or mixed: unpack them again." if problems else ""
    return Row(f"{part} labels make sense", found, f"about 1 m, boxes x {BOX}", problem)


def _box_ratios(
    index: InterHandIndex, rows: IntArray, joints: NDArray[np.float64], seen: BoolArray
) -> NDArray[np.float64]:
    """The stored box over the tight one of the seen joints; NaN where there is not both."""
    camera, boxes = index.arrays["camera"][rows], index.arrays["bbox"][rows]
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = joints[..., :2] / joints[..., 2:] * index.arrays["focal"][camera][:, None]
    low = np.where(seen[..., None], pixels, np.inf).min(1)
    high = np.where(seen[..., None], pixels, -np.inf).max(1)
    good = (seen.sum(1) > 1) & (boxes[:, 2:] > 0).all(1)
    ratios = np.full(len(rows), np.nan)
    ratios[good] = boxes[good, 2:].sum(1) / (high - low)[good].sum(1)
    return ratios


def _check_images(report: Report, index: InterHandIndex, part: Part, progress: bool) -> None:
    what, total = f"images/{part}", len(index)
    if not index.files.images.is_dir():
        report.rows.append(Row(what, "nothing", str(total), "The folder is not there. Unpack the images of this part."))
        return
    found, missing, broken = 0, _Few("missing"), _Few("that are not whole JPEG images")
    waiting: list[Path] = []

    def decode() -> None:
        for number in broken_photos(waiting, what, progress=False):
            broken.add(str(waiting[number].relative_to(index.files.images)))
        waiting.clear()

    listing = _Listing()
    bar = tqdm(total=total, desc=f"Decoding {what}", unit=" images", delay=5, disable=not progress)
    with bar:
        for row in _by_folder(index).tolist():
            name = index.name(row)
            if listing.has(f"{index.files.images}/{name}"):
                found += 1
                waiting.append(index.files.images / name)
            else:
                missing.add(name)
            if len(waiting) == _DECODED:
                decode()
                bar.update(_DECODED)
        decode()
    problems = [str(few) for few in (missing, broken, _sizes(index)) if few.count]
    problem = "; ".join(problems) + f". {_UNPACK}" if problems else ""
    report.rows.append(Row(what, f"{found} images", str(total), problem))
    if listing.files > found:
        report.notes.append(f"{what}: {listing.files - found} files that no annotation belongs to.")


def _sizes(index: InterHandIndex) -> "_Few":
    """Images of another size than annotated, among some."""
    rows = np.unique(np.linspace(0, len(index) - 1, _SIZED).astype(int)).tolist()
    few = _Few(f"of {len(rows)} looked at that are of another size than annotated")
    for row in rows:
        try:
            size = photo_size(index.path(row))
        except OSError:
            continue  # told as missing or broken
        if size != (index.arrays["height"][row], index.arrays["width"][row]):
            few.add(index.name(row))
    return few


class _Few:
    """How many files have some trouble, and the first of them."""

    def __init__(self, trouble: str) -> None:
        self.trouble = trouble
        self.count = 0
        self.names: list[str] = []

    def add(self, name: str) -> None:
        self.count += 1
        if len(self.names) < SHOWN:
            self.names.append(name)

    def __str__(self) -> str:
        more = " ..." if self.count > SHOWN else ""
        return f"{self.count} {self.trouble}: {', '.join(self.names)}{more}"


class _Listing:
    """Whether files are there, told by reading each folder once instead of asking for a million files."""

    def __init__(self) -> None:
        self.folder = ""
        self.names: set[str] = set()
        self.files = 0  # in all folders that were read

    def has(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        if folder != self.folder:
            try:
                with os.scandir(folder) as entries:
                    self.names = {entry.name for entry in entries if not entry.is_dir()}
            except OSError:
                self.names = set()
            self.folder = folder
            self.files += len(self.names)
        return name in self.names


def _by_folder(index: InterHandIndex) -> IntArray:
    """All rows, those of one folder of images together."""
    return np.lexsort([index.arrays[key] for key in ("frame_number", "camera", "seq")])


def _blocks(index: InterHandIndex) -> Iterator[IntArray]:
    for start in range(0, len(index), _BLOCK):
        yield np.arange(start, min(start + _BLOCK, len(index)))
