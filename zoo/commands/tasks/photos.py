"""Photographs: their size, their pixels turned as people see them, and crops of them."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_ORIENTATION = 0x0112
LARGEST = 12_000  # pixels of a side that is guessed or drawn without its photograph; no camera's is much longer
DAMAGED = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # what opening a file may raise


def size_of(image: Path) -> tuple[int, int]:
    """Height and width as shown, without reading the pixels.

    Raises:
        ValueError: when it is no image, or too large a one.
    """
    try:
        with Image.open(image) as picture:
            sideways = picture.getexif().get(_ORIENTATION) in _SIDEWAYS
            return (picture.width, picture.height) if sideways else (picture.height, picture.width)
    except DAMAGED as error:
        raise ValueError(f"{image} cannot be read as an image ({error})") from error


@lru_cache(maxsize=2)  # hands of one photograph come one after the other
def read_photo(image: Path) -> NDArray[np.uint8]:
    """RGB (h, w, 3), turned as its camera asks.

    Raises:
        ValueError: when it cannot be read whole.
    """
    try:
        with Image.open(image) as picture:
            turned = ImageOps.exif_transpose(picture)
            if turned.mode.startswith("I;16") or (turned.mode == "I" and picture.format == "PNG"):
                # 16 bits of grey, which Pillow would cut off at 255; older versions open such PNGs as I
                grey = (np.asarray(turned, np.float32) / 257).round().clip(0, 255).astype(np.uint8)
                return np.repeat(grey[..., None], 3, -1)
            return np.array(turned.convert("RGB"))
    except FileNotFoundError as error:
        raise ValueError(f"there is no image {image}") from error
    except DAMAGED as error:
        raise ValueError(f"{image} cannot be read as an image ({error})") from error


def image_beside(stem: Path, suffixes: Sequence[str] = PICTURES) -> Path | None:
    """The image of that name without its suffix, if there is one."""
    for suffix in suffixes:
        for spelled in (suffix, suffix.upper()):
            path = stem.with_name(stem.name + spelled)
            if path.is_file():
                return path
    return None


def images_in(folder: Path) -> list[Path]:
    """The images of a folder by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.is_file())
