"""Writes predictions of both hands piece by piece, in the format of `predictions.py`, in the memory of one piece."""

import errno
import io
import os
import shutil
from array import array
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from datamodules.interhand.predictions import SHAPES
from datamodules.scene import FloatArray, IntArray

FOLDER = "predictions"
WRITTEN = ("joints", "vertices")


class PredictionWriter:
    """Arrays that grow on disk, in a hidden folder that gets its name when they are whole.

    Args:
        folder: Where `predictions` will be; one that is there is replaced.
    """

    def __init__(self, folder: Path) -> None:
        self.place = folder / FOLDER
        self.draft = folder / f".{FOLDER}.{os.getpid()}.tmp"
        self.ids = array("q")
        self.stack = ExitStack()
        self.files: dict[str, BinaryIO] = {}

    def add(self, ids: IntArray, *arrays: FloatArray) -> None:
        """Appends annotations.

        Args:
            ids: (n,) none of them twice.
            arrays: (n, 42, 3) joints and (n, 2, 778, 3) vertices, as the format has them.

        Raises:
            OSError: The disk is full.
        """
        try:
            if not self.files:
                self.draft.mkdir(parents=True)
                for name in WRITTEN:
                    self.files[name] = self.stack.enter_context((self.draft / f"{name}.npy").open("wb"))
                    self.files[name].write(header(name, 0))
            for file, values in zip(self.files.values(), arrays, strict=True):
                file.write(np.ascontiguousarray(values, "<f4").data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OSError(
                error.errno,
                f"Predictions for {len(self.ids):,} annotations filled the disk of {self.draft.parent}. Each takes 19 "
                "kB, all of the test part 17 GB. Make room there, or give another folder with --out.",
            ) from error
        self.ids.extend(ids.tolist())

    def finish(self) -> Path:
        """The folder, whole."""
        for name, file in self.files.items():
            file.seek(0)
            file.write(header(name, len(self.ids)))
        self.stack.close()
        np.save(self.draft / "annotation_id.npy", np.array(self.ids, np.int64))
        shutil.rmtree(self.place, ignore_errors=True)
        os.replace(self.draft, self.place)
        return self.place

    def drop(self) -> None:
        """Removes what is not whole."""
        with suppress(OSError):  # a full disk, again
            self.stack.close()
        shutil.rmtree(self.draft, ignore_errors=True)


def header(name: str, count: int) -> bytes:
    """What an .npy file of float32 begins with; NumPy makes it as long for any number of rows, so that it can grow."""
    out = io.BytesIO()
    described = {"descr": "<f4", "fortran_order": False, "shape": (count, *SHAPES[name])}
    np.lib.format.write_array_header_1_0(out, described)
    return out.getvalue()
