"""Meshes as files other programs open: .obj, .ply (binary), .glb (binary glTF 2.0) and .npz."""

import io
import os
import struct
import tempfile
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from zoo.hands import glb
from zoo.shapes import Faces

Array = NDArray[Any]
PLY_TYPES = {"char": "i1", "uchar": "u1", "short": "<i2", "ushort": "<u2", "int": "<i4", "uint": "<u4"}
PLY_TYPES |= {"float": "<f4", "double": "<f8", "int8": "i1", "uint8": "u1", "int16": "<i2", "uint16": "<u2"}
PLY_TYPES |= {"int32": "<i4", "uint32": "<u4", "float32": "<f4", "float64": "<f8"}


class Mesh(NamedTuple):
    """What a mesh file holds; several meshes in a file are joined."""

    vertices: Float[Tensor, "v 3"]  # in the file's own frame and unit; ours are metres
    faces: Faces
    colors: Float[Tensor, "v 3"] | None  # RGB in [0, 1]


def save_mesh(
    path: str | os.PathLike[str],
    vertices: Float[Tensor, "*n v 3"],
    faces: Int[Tensor, "f 3"],
    colors: Float[Tensor, "*#n v 3"] | None = None,
) -> Path:
    """Write one mesh (v, 3), or several of one topology (n, v, 3), in the format of the suffix.

    Coordinates are written as they are. A .glb gets one node for each mesh; the other formats hold them as one.
    Colours are sRGB in [0, 1]. The file appears whole or not at all.

    Raises:
        ValueError: an unknown suffix, nothing to write, NaN, or faces that point outside.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise ValueError(f"{path.name} is no mesh format known here. Use one of {', '.join(sorted(_WRITERS))}.")
    points = vertices.detach().cpu().float()
    points = points[None] if points.ndim == 2 else points.flatten(0, -3)
    triangles = faces.detach().cpu().long()
    if points.numel() == 0 or triangles.numel() == 0:
        raise ValueError(f"{path.name} would hold {points.shape[-2]} vertices and {len(triangles)} faces. Save a mesh.")
    if not torch.isfinite(points).all():
        raise ValueError(f"{path.name} would hold NaN or infinite vertices. Save only meshes that are there.")
    if int(triangles.min()) < 0 or int(triangles.max()) >= points.shape[1]:
        raise ValueError(f"{path.name} got faces up to {int(triangles.max())} for {points.shape[1]} vertices.")
    paint = (
        None
        if colors is None
        else colors.detach().cpu().float().clamp(0, 1).expand(vertices.shape).reshape(points.shape)
    )
    content = _WRITERS[path.suffix.lower()](points, triangles, paint)
    write_atomically(path, content)
    return path


def load_mesh(path: str | os.PathLike[str]) -> Mesh:
    """Read a triangle mesh from .obj, .ply (binary little-endian), .glb or .npz.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unknown suffix, or content that is damaged or of a kind not read here.
    """
    path = Path(path)
    if path.suffix.lower() not in _READERS:
        raise ValueError(f"{path.name} is no mesh format known here. Use one of {', '.join(sorted(_READERS))}.")
    try:
        mesh = _READERS[path.suffix.lower()](path.read_bytes())
    except (KeyError, IndexError, struct.error, OSError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f"There is no mesh file {path}. Check the path.") from error
        raise ValueError(f"{path} cannot be read as a {path.suffix} mesh ({error}). Is it whole?") from error
    if not len(mesh.vertices) or not len(mesh.faces) or int(mesh.faces.max()) >= len(mesh.vertices):
        raise ValueError(f"{path} holds {len(mesh.vertices)} vertices, {len(mesh.faces)} faces: no whole mesh.")
    return mesh


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is either whole or not there, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _merged(points: Tensor, triangles: Tensor, paint: Tensor | None) -> tuple[Array, Array, Array | None]:
    n, v, _ = points.shape
    faces = triangles + v * torch.arange(n)[:, None, None]
    flat = None if paint is None else paint.reshape(-1, 3).numpy()
    return points.reshape(-1, 3).numpy(), faces.reshape(-1, 3).numpy(), flat


def _mesh(vertices: Array, faces: Array, colors: Array | None) -> Mesh:
    return Mesh(
        torch.from_numpy(np.array(vertices, np.float32).reshape(-1, 3)),
        torch.from_numpy(np.array(faces, np.int64).reshape(-1, 3)),
        None if colors is None else torch.from_numpy(np.array(colors, np.float32).reshape(-1, 3)),
    )


def _to_npz(points: Tensor, triangles: Tensor, paint: Tensor | None) -> bytes:
    vertices, faces, colors = _merged(points, triangles, paint)
    file = io.BytesIO()
    if colors is None:
        np.savez_compressed(file, vertices=vertices, faces=faces)
    else:
        np.savez_compressed(file, vertices=vertices, faces=faces, colors=colors)
    return file.getvalue()


def _from_npz(content: bytes) -> Mesh:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return _mesh(file["vertices"], file["faces"], file.get("colors"))


def _to_obj(points: Tensor, triangles: Tensor, paint: Tensor | None) -> bytes:
    vertices, faces, colors = _merged(points, triangles, paint)
    table = vertices if colors is None else np.hstack([vertices, colors])
    lines = ["v " + " ".join(f"{x:.9g}" for x in row) for row in table.tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (faces + 1).tolist()]
    return ("\n".join(lines) + "\n").encode()


def _from_obj(content: bytes) -> Mesh:
    table: list[list[float]] = []
    faces: list[tuple[int, int, int]] = []
    for line in content.decode().splitlines():
        kind, *fields = line.split() or [""]
        if kind == "v":
            table.append([float(x) for x in fields])
        elif kind == "f":
            ids = [int(field.split("/")[0]) for field in fields]
            ids = [i - 1 if i > 0 else len(table) + i for i in ids]
            faces += [(ids[0], b, c) for b, c in pairwise(ids[1:])]
    if not table or not faces:
        raise ValueError(f"{len(table)} vertices, {len(faces)} faces")
    rows = np.array(table)
    return _mesh(rows[:, :3], np.array(faces), rows[:, 3:6] if rows.shape[1] >= 6 else None)


def _to_ply(points: Tensor, triangles: Tensor, paint: Tensor | None) -> bytes:
    vertices, faces, colors = _merged(points, triangles, paint)
    fields = [(name, "<f4") for name in "xyz"] + [(name, "u1") for name in ("red", "green", "blue")] * (
        paint is not None
    )
    rows = np.empty(len(vertices), np.dtype(fields))
    for i, name in enumerate("xyz"):
        rows[name] = vertices[:, i]
    if colors is not None:
        for i, name in enumerate(("red", "green", "blue")):
            rows[name] = np.round(colors[:, i] * 255)
    lists = np.empty(len(faces), np.dtype([("count", "u1"), ("ids", "<i4", 3)]))
    lists["count"], lists["ids"] = 3, faces
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    header += [f"property {'float' if kind == '<f4' else 'uchar'} {name}" for name, kind in fields]
    header += [f"element face {len(lists)}", "property list uchar int vertex_indices", "end_header", ""]
    return "\n".join(header).encode() + rows.tobytes() + lists.tobytes()


def _from_ply(content: bytes) -> Mesh:
    end = content.index(b"end_header")
    start = content.index(b"\n", end) + 1
    header = [line.split() for line in content[:end].decode("ascii").splitlines()]
    if ["format", "binary_little_endian", "1.0"] not in header:
        raise ValueError("only binary little-endian PLY is read")
    counts: dict[str, int] = {}
    fields: dict[str, list[Any]] = {}
    for words in header:
        if words[:1] == ["element"]:
            name, counts[name], fields[name] = words[1], int(words[2]), []
        elif words[:2] == ["property", "list"]:
            fields[name] += [("count", PLY_TYPES[words[2]]), ("ids", PLY_TYPES[words[3]], 3)]
        elif words[:1] == ["property"]:
            fields[name].append((words[2], PLY_TYPES[words[1]]))
    if list(counts) != ["vertex", "face"]:
        raise ValueError(f"it has the elements {', '.join(counts)} where vertex and face are read")
    rows = np.frombuffer(content, np.dtype(fields["vertex"]), counts["vertex"], start)
    lists = np.frombuffer(content, np.dtype(fields["face"]), counts["face"], start + rows.nbytes)
    if (lists["count"] != 3).any():
        raise ValueError("it has faces that are no triangles")
    vertices = np.stack([rows[name] for name in "xyz"], -1)
    if "red" not in (rows.dtype.names or ()):
        return _mesh(vertices, lists["ids"], None)
    return _mesh(vertices, lists["ids"], np.stack([rows[name] for name in ("red", "green", "blue")], -1) / 255.0)


_WRITERS: dict[str, Callable[[Tensor, Tensor, Tensor | None], bytes]]
_WRITERS = {".obj": _to_obj, ".ply": _to_ply, ".glb": glb.to_bytes, ".npz": _to_npz}
_READERS: dict[str, Callable[[bytes], Mesh]]
_READERS = {
    ".obj": _from_obj,
    ".ply": _from_ply,
    ".glb": lambda content: _mesh(*glb.from_bytes(content)),
    ".npz": _from_npz,
}
