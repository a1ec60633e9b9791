"""Reads Python 2 era pickles of models and labels without chumpy and without running anything that they name.

Every global on the allow-list becomes an inert record of its arguments and state; arrays are made afterwards, by us,
from bytes whose type and length were checked. Anything else is refused by name.
"""

import io
import pickle
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

ALLOWED = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): "array" for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): "scalar" for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): "buffer" for core in ("core", "_core")},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    ("__builtin__", "set"): "set",
    ("builtins", "set"): "set",
    ("__builtin__", "bytearray"): "bytes",
    ("builtins", "bytearray"): "bytes",
    ("chumpy.ch", "Ch"): "ch",
    ("chumpy.reordering", "Select"): "select",
    **{
        (f"scipy.sparse.{module}", f"{kind}_{container}"): kind
        for kind in ("csc", "csr")
        for module in (kind, f"_{kind}")
        for container in ("matrix", "array")
    },
}
TYPES = {f"{kind}{size}" for kind, sizes in {"f": "48", "i": "1248", "u": "1248"}.items() for size in sizes} | {"b1"}


class Record:
    """What stands in a pickle for an object: the arguments and the state, neither of them used."""

    kind: str
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> "Record":
        record = super().__new__(cls)
        record.args, record.state = args, None
        return record

    def __setstate__(self, state: Any) -> None:
        self.state = state


class Refused(pickle.UnpicklingError):
    """A pickle named a global that is not on the allow-list."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        kind = ALLOWED.get((module, name))
        if kind is None:
            raise Refused(f"{module}.{name}")
        return type(kind, (Record,), {"kind": kind})  # new each time: a pickle can only deface its own


def read_tree(path: Path) -> dict[Any, Any]:
    """Reads a pickled dictionary; plain values are themselves, what would be an object is a record for `decode`.

    Args:
        path: The file.

    Returns:
        Its entries.

    Raises:
        ValueError: The file is no such pickle, is cut short, or asks for code to be run.
    """
    data = path.read_bytes()
    if not data:
        raise ValueError(f"{path} is empty (0 bytes). Copy it again from the original.")
    try:
        tree = _Reader(io.BytesIO(data), encoding="latin1").load()
    except Refused as refused:
        raise ValueError(
            f"{path} asks for {refused}, which arrays do not need and which could run code: refused, nothing was run. "
            "Use the original file."
        ) from None
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise ValueError(
            f"{path} is not a whole pickle ({type(error).__name__}: {error}): another kind of file, or cut short. Copy "
            "it again from the original."
        ) from None
    if not isinstance(tree, dict):
        raise ValueError(f"{path} holds a {type(tree).__name__}, not a dictionary of arrays: this is another file.")
    return tree


def read_pickle(path: Path, keys: Iterable[str]) -> dict[str, Array]:
    """Reads arrays out of a pickled dictionary; keys that it does not have are left out.

    Args:
        path: The file.
        keys: Which entries to make arrays of; the rest is never decoded.

    Returns:
        Arrays by key; sparse matrices are made dense.

    Raises:
        ValueError: As `read_tree`, or an entry is no array.
    """
    tree = read_tree(path)
    arrays = {}
    for key in keys:
        if key in tree:
            try:
                arrays[key] = decode(tree[key])
            except Exception as error:
                raise ValueError(f"{path}: key '{key}' cannot be read as an array: {error}.") from None
    return arrays


def decode(value: Any) -> Array:
    """Makes an array of what a pickle held.

    Args:
        value: A number, a list of numbers, or a record of an array, a chumpy object or a sparse matrix.

    Returns:
        The array.
    """
    if not isinstance(value, Record):
        array = np.asarray([decode(v) for v in value] if isinstance(value, list | tuple) else value)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"it is a {type(value).__name__}")
        return array
    state = value.state
    match value.kind:
        case "array":
            shape, dtype, fortran, data = state[-4:]
            return _from_bytes(data, dtype, shape, "F" if fortran else "C")
        case "buffer":
            data, dtype, shape, order = value.args
            return _from_bytes(data, dtype, shape, order)
        case "scalar":
            return _from_bytes(value.args[1], value.args[0], (), "C")
        case "ch":
            return decode(state["x"])
        case "select":
            chosen = decode(state["a"]).ravel()[decode(state["idxs"]).ravel()]
            shape = state.get("preferred_shape")
            return chosen if shape is None else chosen.reshape(decode(shape).ravel().tolist())
        case "csc" | "csr":
            return _dense(value.kind, state)
    raise TypeError(f"it is a {value.kind}")


def _from_bytes(data: Any, dtype: Any, shape: Any, order: str) -> Array:
    if not isinstance(dtype, Record) or dtype.kind != "dtype":
        raise TypeError("its element type is not stated")
    name = dtype.args[0].lstrip("<>=|")
    if name not in TYPES:
        raise TypeError(f"its elements are of type {name}, not plain numbers")
    endian = dtype.state[1] if dtype.state is not None else "="
    raw = _bytes(data)
    shape = tuple(int(n) for n in shape)
    element = np.dtype(name).newbyteorder(cast(Any, endian))
    if min(shape, default=0) < 0 or len(raw) != prod(shape) * element.itemsize:
        raise ValueError(f"it has {len(raw)} bytes, which do not fill {shape} {name}")
    array = np.frombuffer(raw, element).reshape(shape, order="F" if order == "F" else "C")
    return array.astype(element.newbyteorder("="))


def _bytes(data: Any) -> bytes:
    if isinstance(data, Record) and data.kind in ("encode", "bytes"):
        return _bytes(data.args[0]) if data.args else b""
    if isinstance(data, str):
        return data.encode("latin1")  # Python 2's bytes, or Python 3's in protocol 2
    if isinstance(data, bytes | bytearray):
        return bytes(data)
    raise TypeError("its data are not bytes")


def _dense(kind: str, state: dict[str, Any]) -> Array:
    rows, columns = (int(n) for n in decode(state["_shape"]))
    data, indices, starts = (decode(state[key]) for key in ("data", "indices", "indptr"))
    outer, inner = (columns, rows) if kind == "csc" else (rows, columns)
    counts = np.diff(starts)
    wrong = len(starts) != outer + 1 or (counts < 0).any() or starts[0] != 0 or starts[-1] > len(data)
    if wrong or len(indices) != len(data) or rows * columns > 10**8:
        raise ValueError("its sparse matrix is inconsistent")
    used = slice(0, int(starts[-1]))
    if len(indices[used]) and (indices[used].min() < 0 or indices[used].max() >= inner):
        raise ValueError("its sparse matrix is inconsistent")
    dense = np.zeros((outer, inner), data.dtype)
    np.add.at(dense, (np.repeat(np.arange(outer), counts), indices[used]), data[used])
    return dense.T.copy() if kind == "csc" else dense
