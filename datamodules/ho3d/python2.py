"""Writes pickles as Python 2 and numpy 1 wrote HO-3D's: protocol 2, byte strings, numpy's old names."""

import io
import pickle
import struct
from pathlib import Path
from typing import Any, ClassVar

_Plain: Any = pickle._Pickler  # the one in Python, whose kinds can be changed


class _Pickler(_Plain):  # type: ignore[misc]
    """Text and bytes both as Python 2's strings."""

    dispatch: ClassVar[dict[Any, Any]] = _Plain.dispatch.copy()

    def save_string(self, value: bytes | str) -> None:
        data = value.encode("latin1") if isinstance(value, str) else value
        short = len(data) < 256
        self.write(
            (pickle.SHORT_BINSTRING if short else pickle.BINSTRING) + struct.pack("B" if short else "<i", len(data))
        )
        self.write(data)
        self.memoize(value)

    def save_global(self, value: Any, name: str | None = None) -> None:
        module = value.__module__.replace("numpy._core", "numpy.core")
        self.write(f"c{module}\n{name or value.__name__}\n".encode())
        self.memoize(value)

    dispatch[bytes] = save_string
    dispatch[str] = save_string
    dispatch[type] = save_global
    dispatch[type(len)] = save_global  # numpy's makers of arrays and scalars


def write_pickle(path: Path, tree: dict[str, Any]) -> None:
    """Writes a dictionary of arrays, numpy scalars, numbers, text, lists and None.

    Args:
        path: The new file.
        tree: What it holds.
    """
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=2).dump(tree)
    path.write_bytes(buffer.getvalue())
