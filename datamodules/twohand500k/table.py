"""All pairs of hands of some files as arrays that are mapped into memory: read once, then kept in the user's cache."""

import errno
import hashlib
import json
import os
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path
from tqdm import tqdm

from datamodules.scene import BoolArray, FloatArray, IntArray
from datamodules.twohand500k.conventions import WIDTH, Conventions, Source

_META = "table.json"
_FULL = (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.ENOTDIR)
VERSION = 1  # of the layout in the cache


class Table:
    """Pairs of hands, mapped into memory when first used.

    Args:
        folder: Of the arrays, as `make_table` gives it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder}  # workers map the files themselves

    def __len__(self) -> int:
        return int(self._meta["n"])

    @cached_property
    def _meta(self) -> dict[str, Any]:
        meta: dict[str, Any] = json.loads((self.folder / _META).read_text())
        return meta

    @cached_property
    def conventions(self) -> Conventions:
        """What the hands' numbers are relative to."""
        return Conventions.of(self._meta["conventions"])

    @cached_property
    def hands(self) -> FloatArray:
        """(n, 2, 61) metres, axis-angle; see `Block`."""
        return self._map("hands", np.float32, (2, WIDTH))

    @cached_property
    def valid(self) -> BoolArray:
        """(n, 2)."""
        return self._map("valid", np.bool_, (2,))

    @cached_property
    def cameras(self) -> FloatArray | None:
        """(n, 21), see `Block`, or None."""
        return self._map("cameras", np.float32, (21,)) if (self.folder / "cameras").is_file() else None

    @cached_property
    def numbers(self) -> IntArray:
        """(n,) what the dataset calls the pairs."""
        if not (self.folder / "numbers").is_file():
            return np.arange(len(self))
        return self._map("numbers", np.int64, ())

    def _map(self, name: str, dtype: Any, shape: tuple[int, ...]) -> Any:
        mapped = np.memmap(self.folder / name, dtype, "r", shape=(len(self), *shape))
        return mapped.view(np.ndarray)  # rows of a plain array cost less


def make_table(source: Source, cache: Path | None = None) -> Table:
    """Reads files into a table, or finds it: it is kept until a file changes.

    Args:
        source: The files.
        cache: Folder for tables; None is the user's cache.

    Raises:
        ValueError: A file is damaged or holds something else.
        OSError: The table cannot be written.
    """
    above = (cache or user_cache_path("hand-model-zoo")) / "twohand500k"
    stem = f"{source.root.name}-{_digest(f'{source.root.resolve()} {source.part}')}"
    folder = above / f"{stem}-{_digest(_state(source))}"
    if (folder / _META).is_file():
        return Table(folder)
    draft = folder.with_suffix(f".{os.getpid()}.tmp")
    try:
        draft.mkdir(parents=True, exist_ok=True)
        n = _write(source, draft)
        if not n:
            raise ValueError(f"{source.root} holds no pair of hands. Copy the files again or change --data.root.")
        meta = {"n": n, "conventions": source.conventions.record()}
        (draft / _META).write_text(json.dumps(meta))
        try:
            os.replace(draft, folder)
        except OSError:
            if not (folder / _META).is_file():  # else another process was faster
                raise
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise OSError(
            error.errno,
            f"The table of {source.root} could not be written to {above} ({error.strerror}). It takes 500 bytes a "
            "pair. Make room there or set --data.cache to another folder.",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    for stale in above.glob(f"{stem}-*"):
        if stale != folder and not stale.name.endswith(".tmp"):
            shutil.rmtree(stale, ignore_errors=True)
    return Table(folder)


def _write(source: Source, draft: Path) -> int:
    count = 0
    with (draft / "hands").open("wb") as hands, (draft / "valid").open("wb") as valid:
        for path in tqdm(source.files, f"Reading {source.root.name}", unit=" files", delay=5):
            block = source.read(path)
            hands.write(np.ascontiguousarray(block.hands, np.float32).tobytes())
            valid.write(np.ascontiguousarray(block.valid, np.bool_).tobytes())
            for name, more, dtype in (("cameras", block.cameras, np.float32), ("numbers", block.numbers, np.int64)):
                if more is not None:
                    with (draft / name).open("ab") as file:
                        file.write(np.ascontiguousarray(more, dtype).tobytes())
            count += len(block.hands)
    return count


def _state(source: Source) -> str:
    """What a table hangs on: the files, how they are read, and this module's layout."""
    stats = ((path, path.stat()) for path in source.files)
    listed = [f"{path.relative_to(source.root)} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats]
    return "\n".join([str(VERSION), source.key, *listed])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
