"""Writes pickles as Python 2, numpy 1, old scipy and chumpy wrote MANO's."""

import io
import pickle
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.sparse

ASSETS = Path(__file__).parents[2] / "zoo" / "hands" / "assets" / "openhand"


def openhand_arrays(side: str) -> dict[str, Any]:
    with np.load(ASSETS / f"openhand_{side}.npz") as file:
        return {key: file[key] for key in file.files if key not in ("tips", "shape_names", "bs_style", "bs_type")}


class Python2Pickler(pickle._Pickler):
    """Strings of bytes as Python 2 stored them."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_bytes(self, data: bytes) -> None:
        self.write(b"T" + struct.pack("<i", len(data)) + data)
        self.memoize(data)

    dispatch[bytes] = save_bytes


def legacy_class(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> type:
    """A class that pickles under a name of a package that is not there."""
    names = module.split(".")
    for i in range(1, len(names) + 1):
        part = ".".join(names[:i])
        if part not in sys.modules or part == module:
            monkeypatch.setitem(sys.modules, part, ModuleType(part))
    made = type(name, (), {"__module__": module})
    setattr(sys.modules[module], name, made)
    return made


def stateful(kind: type, **state: Any) -> Any:
    made = kind()
    made.__dict__.update(state)
    return made


def write_legacy(monkeypatch: pytest.MonkeyPatch, path: Path, arrays: dict[str, Any], **extra: Any) -> Path:
    """Writes MANO's keys with the classes that MANO's files name."""
    with monkeypatch.context() as patch:
        ch = legacy_class(patch, "chumpy.ch", "Ch")
        select = legacy_class(patch, "chumpy.reordering", "Select")
        csc = legacy_class(patch, "scipy.sparse.csc", "csc_matrix")
        shapedirs = arrays["shapedirs"]
        # chumpy kept more directions and selected the first ten
        source = np.concatenate((shapedirs, np.full((778, 3, 2), 7.0)), -1)
        chosen = np.arange(source.size).reshape(source.shape)[:, :, :10].ravel()
        sparse = scipy.sparse.csc_matrix(arrays["J_regressor"])
        tree = {
            **arrays,
            "shapedirs": stateful(
                select,
                a=stateful(ch, x=source, _dirty_vars=set(), _depends_on_deps=None),
                idxs=chosen,
                preferred_shape=(778, 3, 10),
                _dirty_vars={"a"},
            ),
            "J_regressor": stateful(
                csc,
                data=sparse.data,
                indices=sparse.indices,
                indptr=sparse.indptr,
                _shape=sparse.shape,
                maxprint=50,
            ),
            "bs_style": "lbs",
            **extra,
        }
        buffer = io.BytesIO()
        Python2Pickler(buffer, protocol=2).dump(tree)
    # numpy 1 called its private package core
    path.write_bytes(buffer.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    return path
