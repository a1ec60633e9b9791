"""Images with boxes of hands for `--task reconstruct`: folders, lists, or COCO-WholeBody's boxes."""

import csv
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.commands.tasks.arrays import is_number
from zoo.commands.tasks.case import Box, Case, Unreadable, side_of
from zoo.commands.tasks.coco import is_coco, load_json, read_coco, said
from zoo.commands.tasks.photos import PICTURES, images_in

NAMES = ("file", "file_name", "image", "filename", "path")
COLUMNS = ("file", "x", "y", "w", "h", "side")


@dataclass(frozen=True)
class BoxReader:
    """What the command line says about all images.

    Args:
        images: Folder of the images that a list names; None is the list's own.
        side: Of hands whose list does not say.
        box: The same box for every image, or None for its list's, or the whole image.
    """

    images: Path | None = None
    side: int | None = None
    box: Box | None = None

    def read(self, path: Path) -> Iterator[Case | Unreadable]:
        """Hands of one image, a folder of images, a .csv or .json list, or a COCO-WholeBody file."""
        if path.is_dir():
            files = images_in(path)
            if not files:
                raise FileNotFoundError(
                    f"--input {path} holds no image ({', '.join(PICTURES)}). Give a folder of images, a list of boxes "
                    "or a COCO-WholeBody file."
                )
            stems = Counter(file.stem for file in files)
            for file in files:
                yield self._image(file, file.stem if stems[file.stem] == 1 else file.name.replace(".", "_"))
        elif not path.is_file():
            raise FileNotFoundError(f"--input {path} does not exist. Give an image, a folder of images or a list.")
        elif path.suffix.lower() in PICTURES:
            yield self._image(path, path.stem)
        elif path.suffix.lower() == ".json":
            content = load_json(path)
            if is_coco(content):
                if self.images is None:
                    raise ValueError(f"{path} names images, and --images does not say where they are. Give --images.")
                if self.box is not None:
                    raise ValueError(f"{path} has a box for every hand, so that --box would do nothing. Leave it out.")
                yield from read_coco(path, self.images, "boxes")
            else:
                yield from self._list(path, _rows_of(content, path))
        elif path.suffix.lower() in (".csv", ".txt"):
            yield from self._list(path, _csv(path))
        else:
            raise ValueError(f"--input {path} is neither an image nor a list (.csv, .json) of file, x, y, w, h, side.")

    def _image(self, file: Path, name: str) -> Case | Unreadable:
        if self.side is None:
            return Unreadable(name, "nothing says which hand it is; give --side right or --side left")
        return Case(name, self.side, image=file, box=self.box, whole=self.box is None, source=file)

    def _list(self, path: Path, rows: list[dict[str, Any]]) -> Iterator[Case | Unreadable]:
        if not rows:
            raise ValueError(f"{path} lists no hand. A line is file,x,y,w,h,side.")
        counts: dict[str, int] = {}
        for number, row in enumerate(rows):
            stem = Path(str(next((row[key] for key in NAMES if row.get(key)), f"line{number}"))).stem
            count = counts[stem] = counts.get(stem, 0) + 1
            name = stem if count == 1 else f"{stem}_{count}"
            try:
                yield self._row(path, name, row)
            except (ValueError, TypeError, KeyError) as error:
                yield Unreadable(name, said(error))

    def _row(self, path: Path, name: str, row: dict[str, Any]) -> Case:
        file = next((str(row[key]) for key in NAMES if row.get(key)), None)
        if file is None:
            raise ValueError(f"it names no file; the columns are {', '.join(COLUMNS)}")
        stated = side_of(row.get("side"))
        side = self.side if stated is None else stated
        if side is None:
            raise ValueError(f"its side is {row.get('side')!r}; it must be left or right, or give --side")
        corner = [row.get(key) for key in ("x", "y", "w", "h")] if "x" in row else row.get("box", row.get("bbox"))
        told = [] if corner is None else [value for value in corner if value not in (None, "")]
        if told and len(told) != 4:
            raise ValueError(f"its box is {corner}; it must be x, y, w, h in pixels")
        box = _box([float(value) for value in told]) if told else self.box
        return Case(name, side, image=(self.images or path.parent) / file, box=box, whole=box is None, source=path)


def parse_box(text: str) -> Box:
    """`--box x,y,w,h`."""
    try:
        return _box([float(word) for word in text.replace(",", " ").split()])
    except ValueError as error:
        raise ValueError(f"--box {text} is no box: give left, top, width and height in pixels, as 10,20,80,90.") from (
            error
        )


def _box(numbers: list[float]) -> Box:
    if len(numbers) != 4:
        raise ValueError(f"a box of {len(numbers)} numbers; it must be x, y, w, h")
    return (numbers[0], numbers[1], numbers[2], numbers[3])


def box_problem(box: Box, size: tuple[int, int]) -> str | None:
    """Why a box cannot be used in an image of a height and width."""
    x, y, w, h = box
    shown = ", ".join(f"{number:g}" for number in box)
    if not all(math.isfinite(number) for number in box) or w <= 0 or h <= 0:
        return f"its box ({shown}) is empty; it must be left, top, width, height in pixels"
    if x >= size[1] or y >= size[0] or x + w <= 0 or y + h <= 0:
        return f"its box ({shown}) lies outside of the {size[1]}x{size[0]} image"
    if max(w, h) < 4:
        return f"its box ({shown}) is smaller than four pixels"
    if max(w, h) > 4 * max(size):
        return f"its box ({shown}) is far larger than the {size[1]}x{size[0]} image"
    return None


def _rows_of(content: Any, path: Path) -> list[dict[str, Any]]:
    if isinstance(content, dict):
        content = next((value for value in content.values() if isinstance(value, list)), content)
    if not isinstance(content, list):
        raise ValueError(f"{path} is neither a COCO-WholeBody file nor a list of file, x, y, w, h, side.")
    rows = []
    for row in content:
        if isinstance(row, list | tuple):
            rows.append(dict(zip(COLUMNS, row, strict=False)))
        else:
            rows.append(row if isinstance(row, dict) else {})
    return rows


def _csv(path: Path) -> list[dict[str, Any]]:
    try:
        lines = [row for row in csv.reader(path.read_text("utf-8-sig").splitlines(), skipinitialspace=True) if row]
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} is not a text file of comma-separated values ({error}).") from error
    header: tuple[str, ...] = COLUMNS
    named = bool(lines) and any(field.strip().lower() in NAMES for field in lines[0])
    if named and not any(is_number(field) for field in lines[0]):
        header = tuple(field.strip().lower() for field in lines.pop(0))
    return [dict(zip(header, [field.strip() for field in row], strict=False)) for row in lines]
