"""Pictures from disk, fast, and one kind of error for those that cannot be read."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import simplejpeg

from datamodules.scene import ByteArray

_UNPACK = (
    "Unpack the archive again or change --data.root; `python -m zoo data check` lists everything that is wrong with it."
)


class UnreadableFileError(OSError):
    """A file that is missing or damaged. The message stays one sentence on its way out of a loader's worker.

    Args:
        message: What is wrong; of a worker's report, which holds a traceback, only the last line is kept.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())


def read_photo(path: Path, space: Literal["RGB", "GRAY"] = "RGB") -> ByteArray:
    """Decodes a JPEG (fast rather than to the last bit) or PNG file to (h, w, channels)."""
    return read_jpeg(path, space) if path.suffix.lower() in (".jpg", ".jpeg") else _read_other(path, space)


def read_jpeg(path: Path, space: Literal["RGB", "RGBX", "GRAY"] = "RGB") -> ByteArray:
    """Decodes a JPEG file to (h, w, channels), fast rather than to the last bit; X is a channel without meaning."""
    try:
        return simplejpeg.decode_jpeg(path.read_bytes(), space, fastdct=True, fastupsample=True)
    except FileNotFoundError as error:
        raise missing(path) from error
    except ValueError as error:
        raise damaged(path) from error


def of_size(picture: ByteArray, size: tuple[int, int], path: Path, said: str = "by its annotation") -> ByteArray:
    """The same picture, which must have the size that its labels are for: on another one they lie elsewhere.

    Args:
        picture: (h, w, channels).
        size: Height and width that its labels are for, pixels.
        path: Where it was read.
        said: How that is known.
    """
    if picture.shape[:2] != size:
        raise UnreadableFileError(
            f"{path} is {picture.shape[1]} x {picture.shape[0]} pixels, but {size[1]} x {size[0]} {said}, "
            "which its labels are for. Unpack the images again or change --data.root."
        )
    return picture


def photo_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture, pixels; of a JPEG, only its head is read."""
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        height, width, _ = _read_other(path, "RGB").shape
        return height, width
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(path.read_bytes())
    except FileNotFoundError as error:
        raise missing(path) from error
    except ValueError as error:
        raise damaged(path) from error
    return height, width


def missing(path: Path) -> UnreadableFileError:
    """The error for a file that is not there."""
    return UnreadableFileError(f"{path} is not there. {_UNPACK}")


def damaged(path: Path) -> UnreadableFileError:
    """The error for a picture that is there but cannot be read."""
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}.get(path.suffix.lower(), path.suffix)
    return UnreadableFileError(f"{path} ({path.stat().st_size} bytes) is not a whole {kind} image. {_UNPACK}")


def _read_other(path: Path, space: Literal["RGB", "GRAY"]) -> ByteArray:
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except FileNotFoundError as error:
        raise missing(path) from error
    flag = cv2.IMREAD_COLOR_RGB if space == "RGB" else cv2.IMREAD_GRAYSCALE
    image = cv2.imdecode(data, flag) if len(data) else None
    if image is None:
        raise damaged(path)
    return np.asarray(image if image.ndim == 3 else image[..., None], np.uint8)
