"""Binary glTF 2.0, as much of it as meshes with vertex colours need."""

import json
import struct
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from zoo.hands.render import SKIN, vertex_normals
from zoo.shapes import Faces

Array = NDArray[Any]
MAGIC, JSON, BINARY = 0x46546C67, 0x4E4F534A, 0x004E4942
TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
VERTICES, INDICES = 34962, 34963  # what a view is for


def to_bytes(points: Float[Tensor, "n v 3"], triangles: Faces, paint: Float[Tensor, "n v 3"] | None) -> bytes:
    """One node for each mesh, with smooth normals, a matte two-sided material and sRGB `paint` as vertex colours."""
    binary = bytearray()
    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []

    def put(array: Array, target: int, **extra: Any) -> int:
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": array.nbytes, "target": target})
        binary.extend(array.tobytes())
        kind, width = (5125, "SCALAR") if target == INDICES else (5126, "VEC3")
        accessors.append(
            {"bufferView": len(views) - 1, "componentType": kind, "count": len(array), "type": width, **extra}
        )
        return len(accessors) - 1

    indices = put(triangles.numpy().astype("<u4").reshape(-1), INDICES)
    meshes = []
    for i, normals in enumerate(vertex_normals(points, triangles)):
        array = points[i].numpy().astype("<f4")
        bounds = {"min": array.min(0).tolist(), "max": array.max(0).tolist()}
        attributes = {"POSITION": put(array, VERTICES, **bounds)}
        up = torch.where(normals.norm(dim=-1, keepdim=True) > 0.5, normals, torch.tensor([0.0, 0.0, 1.0]))
        attributes["NORMAL"] = put(up.numpy().astype("<f4"), VERTICES)
        if paint is not None:
            attributes["COLOR_0"] = put(_linear(paint[i].numpy()).astype("<f4"), VERTICES)
        meshes.append({"primitives": [{"attributes": attributes, "indices": indices, "material": 0}]})
    base = [*_linear(np.array(SKIN)).tolist(), 1.0] if paint is None else [1.0, 1.0, 1.0, 1.0]
    surface = {"baseColorFactor": base, "metallicFactor": 0.0, "roughnessFactor": 0.7}
    document = {
        "asset": {"version": "2.0", "generator": "hand-model-zoo"},
        "scene": 0,
        "scenes": [{"nodes": list(range(len(meshes)))}],
        "nodes": [{"mesh": i, "name": f"mesh{i}"} for i in range(len(meshes))],
        "meshes": meshes,
        "materials": [{"pbrMetallicRoughness": surface, "doubleSided": True}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), JSON) + text + struct.pack("<II", len(binary), BINARY) + binary
    return struct.pack("<III", MAGIC, 2, 12 + len(chunks)) + chunks


def from_bytes(content: bytes) -> tuple[Array, Array, Array | None]:
    """Vertices, faces and sRGB colours of all meshes of the scene, joined, with the transforms of their nodes."""
    magic, version, length = struct.unpack_from("<III", content)
    if magic != MAGIC or version != 2 or length != len(content):
        raise ValueError("it is no binary glTF 2.0 of the length it states")
    size, _ = struct.unpack_from("<II", content, 12)
    document = json.loads(content[20 : 20 + size])
    binary = content[28 + size :]

    def get(index: int) -> Array:
        accessor = document["accessors"][index]
        view = document["bufferViews"][accessor["bufferView"]]
        kind, width = np.dtype(TYPES[accessor["componentType"]]), WIDTHS[accessor["type"]]
        offset = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        strides = (view.get("byteStride", kind.itemsize * width), kind.itemsize)
        array = np.ndarray((accessor["count"], width), kind, binary, offset, strides)
        return array / np.iinfo(kind).max if accessor.get("normalized") else array

    vertices, faces, colors, count = [], [], [], 0
    for mesh, transform in _nodes(document):
        for primitive in document["meshes"][mesh]["primitives"]:
            if primitive.get("mode", 4) != 4:
                raise ValueError("it has primitives that are no triangles")
            points = get(primitive["attributes"]["POSITION"]) @ transform[:3, :3].T + transform[:3, 3]
            vertices.append(points)
            corners = get(primitive["indices"]) if "indices" in primitive else np.arange(len(points))
            faces.append(count + corners.astype(np.int64).reshape(-1, 3))
            count += len(points)
            if "COLOR_0" in primitive["attributes"]:
                colors.append(_display(get(primitive["attributes"]["COLOR_0"])[:, :3]))
    whole = bool(colors) and len(colors) == len(vertices)
    return np.concatenate(vertices), np.concatenate(faces), np.concatenate(colors) if whole else None


def _nodes(document: dict[str, Any]) -> list[tuple[int, Array]]:
    """Meshes of the scene with their transforms to it."""
    found = []
    waiting = [(i, np.eye(4)) for i in document["scenes"][document.get("scene", 0)]["nodes"]]
    while waiting:
        index, parent = waiting.pop(0)
        node = document["nodes"][index]
        local = np.eye(4)
        if "matrix" in node:
            local = np.array(node["matrix"], float).reshape(4, 4).T
        else:
            local[:3, :3] = _turn(np.array(node.get("rotation", [0, 0, 0, 1]), float)) * node.get("scale", [1, 1, 1])
            local[:3, 3] = node.get("translation", [0, 0, 0])
        here = parent @ local
        if "mesh" in node:
            found.append((node["mesh"], here))
        waiting += [(child, here) for child in node.get("children", [])]
    return found


def _turn(quaternion: Array) -> Array:
    x, y, z, w = quaternion
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross


def _linear(srgb: Array) -> Array:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _display(linear: Array) -> Array:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
