"""Pictures of a folder of any size, a batch at a time, without stopping at files that cannot be read."""

import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps

from zoo.shapes import RawImages, Tensor, UInt8

SUFFIXES = (".png", ".jpg", ".jpeg")
PART = 1024  # names of a part: small pictures of odd sizes wait no longer than it for others
SHAPES = 8  # sizes of pictures that wait for a full batch at a time


class Pictures(NamedTuple):
    """Pictures of one size.

    Args:
        images: (b, 3, h, w) RGB bytes.
        names: Of their files, relative to the folder, with / between.
    """

    images: RawImages
    names: list[str]


@dataclass
class PictureFolder:
    """The .png and .jpg files of a folder and of those in it, or some of them.

    Only the names are held in memory. Pictures of one size come in batches together, and what is left at the end comes
    in smaller ones. Who needs the order of the names takes `parts` and sorts what `read` gives of each.

    Args:
        root: The folder.
        batch: Pictures of a full batch.
        threads: That decode.
        only: Files to read, relative to the folder; None for all pictures.
    """

    root: Path
    batch: int = 32
    threads: int = 2
    only: InitVar[list[str] | None] = None
    names: list[str] = field(init=False)
    bad: dict[str, str] = field(init=False, default_factory=dict)  # files that could not be read, and why; filled on

    def __post_init__(self, only: list[str] | None) -> None:
        self.root = Path(self.root)
        if not self.root.is_dir():
            raise FileNotFoundError(f"{self.root} is not a folder. Give the folder of the pictures.")
        self.names = pictures_below(self.root) if only is None else sorted(only)
        if not self.names:
            raise FileNotFoundError(f"{self.root} holds no picture ({', '.join(SUFFIXES)}). Give the folder of them.")

    def __len__(self) -> int:
        """Files, readable or not."""
        return len(self.names)

    def __iter__(self) -> Iterator[Pictures]:
        for part in self.parts():
            yield from self.read(part)

    def parts(self) -> Iterator[list[str]]:
        """The names in order, some at a time; what is known of bad files starts anew."""
        self.bad.clear()
        many = max(PART, self.batch)
        for start in range(0, len(self.names), many):
            yield self.names[start : start + many]

    def read(self, names: list[str]) -> Iterator[Pictures]:
        """Pictures of one size together, so in another order than the names."""
        waiting: dict[tuple[int, ...], list[tuple[str, Tensor]]] = defaultdict(list)
        with ThreadPoolExecutor(self.threads) as pool:
            for start in range(0, len(names), self.batch):
                chunk = names[start : start + self.batch]
                for name, found in zip(chunk, pool.map(self._read, chunk), strict=True):
                    if isinstance(found, str):
                        self.bad[name] = found
                        continue
                    shape = tuple(found.shape)
                    waiting[shape].append((name, found))
                    if len(waiting[shape]) == self.batch:
                        yield _batch(waiting.pop(shape))
                    elif len(waiting) > SHAPES:
                        yield _batch(waiting.pop(max(waiting, key=lambda shape: len(waiting[shape]))))
        for rest in waiting.values():
            yield _batch(rest)

    def _read(self, name: str) -> UInt8[Tensor, "3 h w"] | str:
        """A picture, turned as its camera asks, or why it cannot be read."""
        try:
            with Image.open(self.root / name) as picture:
                pixels = np.array(ImageOps.exif_transpose(picture).convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'unreadable'}"
        return torch.from_numpy(pixels).permute(2, 0, 1)


def _batch(rows: list[tuple[str, Tensor]]) -> Pictures:
    return Pictures(torch.stack([image for _, image in rows]), [name for name, _ in rows])


def pictures_below(root: Path) -> list[str]:
    """Names of all pictures in a folder and in those in it, sorted, with / between."""
    return sorted(
        Path(folder, file).relative_to(root).as_posix()
        for folder, _, files in os.walk(root)
        for file in files
        if file.lower().endswith(SUFFIXES) and not file.startswith(".")
    )
