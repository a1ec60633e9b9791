"""2D (or 2D and 3D) keypoints for `--task fit`, whatever they come in."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo.commands.tasks.arrays import SUFFIXES, Table, read_table, table_of
from zoo.commands.tasks.case import Case, Floats, Unreadable, finger_joints, side_of
from zoo.commands.tasks.coco import is_coco, load_json, read_coco, said
from zoo.commands.tasks.freihand import SPLITS, is_freihand, read_freihand
from zoo.commands.tasks.landmarks import is_landmarks, read_landmarks
from zoo.commands.tasks.photos import PICTURES, image_beside, size_of

DETECTED = 0.2  # a detector that is less sure than this has not seen the joint


@dataclass(frozen=True)
class Reader:
    """What the command line says about all files.

    Args:
        images: Folder of the photographs, or None.
        side: Of hands whose file does not say; None where it is not given.
        size: Height and width of the images, where no file tells.
        least: Keypoints with a confidence up to this do not count; None is 0.2 for detectors' and 0 for labels.
    """

    images: Path | None = None
    side: int | None = None
    size: tuple[int, int] | None = None
    least: float | None = None

    def read(self, path: Path) -> Iterator[Case | Unreadable]:
        """Hands of a file, of a folder of files, or of a folder in FreiHAND's layout."""
        if path.is_file() and path.name in {f"{split}_{part}.json" for split in SPLITS for part in ("K", "xyz")}:
            path = path.parent
        if path.is_dir() and is_freihand(path):
            if self.images is not None:
                raise ValueError(f"{path} has its pictures in its own folders, so that --images would do nothing.")
            yield from read_freihand(path)
        elif path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
            if not files:
                raise FileNotFoundError(
                    f"--input {path} holds neither FreiHAND's training_K.json or evaluation_K.json nor any "
                    f"{', '.join(SUFFIXES)} file. Give a file of keypoints, a folder of them, or a folder in "
                    "FreiHAND's layout."
                )
            for file in files:
                try:
                    yield from self._file(file, f"{file.stem}_")
                except Exception as error:  # an odd file can raise nearly anything, and the others are to be read
                    yield Unreadable(file.name, said(error))
        elif path.is_file():
            yield from self._file(path, "")
        else:
            raise FileNotFoundError(f"--input {path} does not exist. Give a file of keypoints or a folder of them.")

    def _file(self, file: Path, prefix: str) -> Iterator[Case | Unreadable]:
        if file.suffix.lower() != ".json":
            yield from self._table(file, read_table(file))
            return
        content = load_json(file)
        if is_coco(content) or (isinstance(content, dict) and {"annotations", "images"} & content.keys()):
            yield from read_coco(file, self.images, "keypoints", prefix, self.least, self.size)
        elif is_landmarks(content):
            yield from self._landmarks(file, content)
        else:
            try:
                table = table_of(content, file)
            except ValueError as error:
                raise ValueError(
                    f"{file} is no file of keypoints known here ({str(error).rstrip('.')}). Give COCO-WholeBody's, "
                    "MediaPipe's landmarks, or 21 rows of x, y, confidence."
                ) from error
            yield from self._table(file, table)

    def _table(self, file: Path, table: Table) -> Iterator[Case | Unreadable]:
        extras = table.extras
        told = side_of(extras.get("side"))
        side = self.side if told is None else told
        camera = _camera(extras.get("intrinsics", extras.get("K")))
        confidences = _confidences(table)
        for number, points in enumerate(table.points):
            name = file.stem if len(table.points) == 1 else f"{file.stem}_{number}"
            if side is None:
                yield Unreadable(name, "nothing says which hand it is; give --side right or --side left")
                continue
            image = self._image(file, extras.get("image"))
            yield self._case(name, side, points[:, :2], confidences[number], file, image, self._size(extras), camera)

    def _landmarks(self, file: Path, content: Any) -> Iterator[Case | Unreadable]:
        extras = content if isinstance(content, dict) else {}
        named = next((extras[key] for key in ("image", "file", "file_name", "image_path") if key in extras), None)
        image = self._image(file, named)
        size = self._size(extras) or (None if image is None else size_of(image))
        if size is None:
            raise ValueError(
                f"{file.name} holds shares of an image whose size is not known. Put {file.stem}.jpg beside it, give "
                "--images FOLDER, or --size WIDTHxHEIGHT"
            )
        for number, hand in enumerate(read_landmarks(content)):
            name = f"{file.stem}_{number}"
            side = self.side if hand.side is None else hand.side
            if side is None:
                yield Unreadable(name, "nothing says which hand it is; give --side right or --side left")
                continue
            pixels = hand.points * np.array([size[1], size[0]], np.float32) - 0.5  # our pixels count from centres
            yield self._case(name, side, pixels, hand.confidence, file, image, size, _camera(extras.get("K")))

    def _case(
        self,
        name: str,
        side: int,
        pixels: Floats,
        confidence: Floats,
        file: Path,
        image: Path | None,
        size: tuple[int, int] | None,
        camera: Floats | None,
    ) -> Case | Unreadable:
        least = DETECTED if self.least is None else self.least
        known = np.isfinite(pixels).all(1) & np.isfinite(confidence) & (np.nan_to_num(confidence) > least)
        if not known.any():
            return Unreadable(name, f"no joint is known: all are NaN or have a confidence up to {least:g}")
        return Case(
            name,
            side,
            pixels=np.where(known[:, None], pixels, 0).astype(np.float32),
            confidence=np.where(known, confidence.clip(0, 1), 0).astype(np.float32),
            size=size,
            intrinsics=camera,
            image=image,
            source=file,
        )

    def _image(self, file: Path, named: Any) -> Path | None:
        """The photograph: named by the file, or of the same name in --images or beside the file."""
        places = [place for place in (self.images, file.parent) if place is not None]
        if isinstance(named, str):
            tries = [place / name for place in places for name in (named, Path(named).name)]
            found = next((path for path in tries if path.is_file()), None)
            if found is not None:
                return found
        return next((image for place in places if (image := image_beside(place / file.stem, PICTURES))), None)

    def _size(self, extras: dict[str, Any]) -> tuple[int, int] | None:
        for width, height in (("width", "height"), ("image_width", "image_height"), ("imageWidth", "imageHeight")):
            if width in extras and height in extras:
                try:
                    size = int(extras[height]), int(extras[width])
                except (ValueError, TypeError, OverflowError) as error:
                    raise ValueError(f"its {width} and {height} are no numbers of pixels ({error})") from error
                if min(size) < 1:
                    raise ValueError(
                        f"its {width} and {height} are {size[1]} and {size[0]}; they must be pixels from 1"
                    )
                return size
        return self.size


def _confidences(table: Table) -> Floats:
    """(n, 21) of the third column, or of arrays beside the points; 1 where the file has neither."""
    count = len(table.points)
    found = table.points[..., 2] if table.points.shape[2] == 3 else np.ones((count, 21), np.float32)
    beside = [name for name in ("confidence", "scores") if name in table.extras and table.points.shape[2] == 2][:1]
    for name in [*beside, *(["keypoints_valid"] if "keypoints_valid" in table.extras else [])]:
        try:
            values = np.asarray(table.extras[name], np.float32)
        except (ValueError, TypeError) as error:
            raise ValueError(f"its {name} holds more than numbers ({error}); give one for each joint") from error
        if values.size != 21 * count:
            raise ValueError(f"its {name} has {values.size} numbers for {21 * count} joints; give one for each joint")
        found = found * values.reshape(count, 21)
    return np.asarray(found, np.float32)


def _camera(value: Any) -> Floats | None:
    if value is None:
        return None
    try:
        camera = np.asarray(value, np.float32)
    except (ValueError, TypeError) as error:
        raise ValueError(f"its camera (intrinsics or K) is no matrix of numbers ({error}); give 3x3 pixels") from error
    if camera.shape != (3, 3) or not np.isfinite(camera).all() or camera[0, 0] <= 0 or camera[1, 1] <= 0:
        raise ValueError(f"its camera (intrinsics or K) is {camera.shape}; it must be a (3, 3) matrix of pixels")
    return camera


def without(item: Case | Unreadable, fingers: tuple[str, ...]) -> Case | Unreadable:
    """A hand whose keypoints of some fingers were never seen."""
    if isinstance(item, Unreadable) or not fingers:
        return item
    drop = finger_joints(list(fingers))
    confidence = np.where(drop, 0, item.confidence).astype(np.float32)
    labelled = item.labelled & ~drop
    if not (confidence > 0).any() and not labelled.any():
        return Unreadable(item.name, "no joint is known besides the fingers in --missing")
    return replace(item, confidence=confidence, labelled=labelled)
