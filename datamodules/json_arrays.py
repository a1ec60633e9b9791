"""Big JSON lists of numbers as memory-mapped arrays: parsed once, in pieces, and kept in the user's cache.

FreiHAND's `training_verts.json` is 1.5 GB of text; as Python lists it would take 8 GB.
"""

import errno
import hashlib
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from platformdirs import user_cache_path
from tqdm import tqdm

from datamodules.scene import FloatArray, IntArray

_PIECE = 16 << 20  # bytes of text held at once
_HEADER = 128  # bytes of an npy header of ours
_NUMBERS = b"0123456789+-.eE, \t\r\n"
_BRACKETS_AND_SPACE = b"[] \t\r\n"


class JsonArray:
    """A JSON list of equally shaped number lists as a float32 array, mapped into memory when first used.

    Args:
        path: The JSON file.
        shape: Shape of one entry as it is nested in the file; () for plain numbers.
        cache: Folder for the parsed copy; None is the user's cache.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], cache: Path | None = None) -> None:
        self.path = Path(path)
        self.shape = shape
        self.cache = cache

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "array"}  # workers map it themselves

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: int) -> FloatArray:
        return np.array(self.array[index])

    def rows(self, indices: IntArray) -> FloatArray:
        """(len(indices), *shape): many entries at once."""
        return np.take(self.array.view(np.ndarray), indices, axis=0)

    @cached_property
    def array(self) -> FloatArray:
        """(n, *shape), read-only."""
        stat = self.path.stat()
        folder = self.cache or user_cache_path("hand-model-zoo") / "json"
        name = f"{self.path.stem}-{_digest(str(self.path.resolve()))}"
        file = folder / f"{name}-{_digest(f'{stat.st_size} {stat.st_mtime_ns} {self.shape}')}.npy"
        if not file.is_file():
            for stale in folder.glob(f"{name}-*.npy"):
                if stale != file:  # which another process may just have finished
                    stale.unlink(missing_ok=True)
            self._convert(file, stat.st_size)
        return np.load(file, mmap_mode="r")

    def _convert(self, file: Path, size: int) -> None:
        draft = file.with_suffix(f".{os.getpid()}.tmp")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as out:
                out.write(bytes(_HEADER))
                count = 0
                for block in parse(self.path, self.shape, progress=size):
                    out.write(block.tobytes())
                    count += len(block)
                out.seek(0)
                _header(out, (count, *self.shape))
            os.replace(draft, file)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
                raise
            raise OSError(
                error.errno,
                f"The parsed copy of {self.path} could not be written to {file.parent} ({error.strerror}). "
                "It takes a third of the file's size. Make room there or set --data.cache to another folder.",
            ) from error
        finally:
            with suppress(OSError):
                draft.unlink()


def parse(path: Path, shape: tuple[int, ...], progress: int = 0) -> Iterator[FloatArray]:
    """Reads a JSON list of equally shaped entries as blocks (m, *shape), with bounded memory.

    Args:
        path: The JSON file.
        shape: Shape of one entry.
        progress: Size of the file in bytes if a bar is to be shown after five seconds.
    """
    reader = _Reader(path, shape)
    bar = tqdm(total=progress, unit="B", unit_scale=True, desc=f"Parsing {path.name}", delay=5, disable=not progress)
    with path.open("rb") as file, bar:
        rest = b""
        while piece := file.read(_PIECE):
            bar.update(len(piece))
            text = rest + piece
            cut = text.rfind(b",") + 1  # numbers are not torn apart here
            yield from reader.read(text[:cut])
            rest = text[cut:]
        yield from reader.read(rest)
    reader.end()


class _Reader:
    """Numbers and brackets of a growing text, checked against the shape of an entry."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path = path
        self.shape = shape
        self.pattern = _pattern(shape)
        self.numbers: list[FloatArray] = []
        self.waiting = 0  # numbers in `numbers`
        self.brackets = b""
        self.opened = False
        self.entries = 0  # whose brackets were right
        self.given = 0  # entries handed out

    def read(self, text: bytes) -> Iterator[FloatArray]:
        self._check_nesting(text.translate(None, _NUMBERS))
        plain = text.translate(None, _BRACKETS_AND_SPACE)
        if plain:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # numpy only warns where a text stops being numbers
                try:
                    values = np.fromstring(plain, dtype=np.float32, sep=",")
                except (DeprecationWarning, ValueError) as error:
                    raise self._broken("holds something that is not a number") from error
            self.numbers.append(values)
            self.waiting += len(values)
        yield from self._blocks()

    def end(self) -> None:
        if self.brackets != (b"]" if self.shape else b"[]"):
            raise self._broken("ends early")
        if self.waiting or (self.shape and self.given != self.entries):
            raise self._broken("has an entry of another length")

    def _blocks(self) -> Iterator[FloatArray]:
        size = math.prod(self.shape)
        ready = self.waiting // size
        if not ready:
            return
        values = np.concatenate(self.numbers)
        used, left = values[: ready * size], values[ready * size :]
        self.numbers, self.waiting = [left], len(left)
        self.given += ready
        if self.shape and self.given > self.entries + 1:
            raise self._broken("has an entry of another length")
        yield used.reshape(ready, *self.shape)

    def _check_nesting(self, brackets: bytes) -> None:
        self.brackets += brackets
        if not self.shape:
            return
        if not self.opened and self.brackets:
            if self.brackets[:1] != b"[":
                raise self._broken("does not start with a list")
            self.opened, self.brackets = True, self.brackets[1:]
        whole = len(self.brackets) // len(self.pattern)
        good = self.pattern * whole
        if self.brackets[: len(good)] != good:
            first = next(i for i in range(whole) if not self.brackets.startswith(self.pattern, i * len(self.pattern)))
            self.entries += first
            raise self._broken("has an entry of another shape")
        self.entries += whole
        self.brackets = self.brackets[len(good) :]

    def _broken(self, what: str) -> ValueError:
        shape = " x ".join(map(str, self.shape)) or "single numbers"
        return ValueError(
            f"{self.path} {what}, at or soon after entry {self.entries}. It must be one JSON list of {shape} "
            "for each sample. Copy or unpack the file again."
        )


def _pattern(shape: tuple[int, ...]) -> bytes:
    return b"[" + _pattern(shape[1:]) * shape[0] + b"]" if shape else b""


def _header(out: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(out, {"descr": "<f4", "fortran_order": False, "shape": shape})
    if out.tell() != _HEADER:
        raise OSError(f"numpy wrote a header of {out.tell()} bytes where {_HEADER} were kept free for it.")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
