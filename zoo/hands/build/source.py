"""Read the vendored right hand (glTF binary) and bring it into OpenHand's frame and joints.

Source: WebXR Input Profiles "generic-hand", MIT, Copyright 2019 Amazon. Its bind pose is a flat hand already, so
nothing is unbent here: neighbouring finger bones are at most fifteen degrees apart at rest.
"""

import json
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]

# OpenHand axes in source axes: fingers -x, back of the hand +y, thumb side +z.
AXES = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
PHALANGES = ("phalanx-proximal", "phalanx-intermediate", "phalanx-distal")
LONG_FINGERS = ("index-finger", "middle-finger", "pinky-finger", "ring-finger")
RIG_JOINTS = (  # MANO's order
    "wrist",
    *(f"{finger}-{bone}" for finger in LONG_FINGERS for bone in PHALANGES),
    *(f"thumb-{bone}" for bone in ("metacarpal", "phalanx-proximal", "phalanx-distal")),
)
RIG_TIPS = tuple(
    f"{finger}-tip" for finger in ("thumb", "index-finger", "middle-finger", "ring-finger", "pinky-finger")
)
# MANO has no metacarpal joints in the palm: what follows them follows the wrist.
PALM = ("wrist", *(f"{finger}-metacarpal" for finger in LONG_FINGERS))


class Source(NamedTuple):
    """The rig in OpenHand's frame: metres, wrist joint at the origin."""

    vertices: Array  # (1159, 3)
    faces: Index  # (2314, 3) closed surface, counter-clockwise seen from outside
    weights: Array  # (1159, 16) MANO's joints, rows sum to one
    joints: Array  # (16, 3)
    tips: Array  # (5, 3) the rig's tip joints, inside the fingertips: thumb, index, middle, ring, pinky
    dorsal: Array  # (16, 3) unit vectors from each joint to the back of its bone


def load_source(path: Path) -> Source:
    """Read a rigged hand, merge vertices that differ only in normals or texture, fold 25 joints into 16."""
    data = path.read_bytes()
    length = struct.unpack("<I", data[12:16])[0]
    header, blob = json.loads(data[20 : 20 + length]), data[28 + length :]

    def accessor(number: int) -> NDArray[np.generic]:
        entry = header["accessors"][number]
        view = header["bufferViews"][entry["bufferView"]]
        kind = {5126: np.float32, 5121: np.uint8, 5123: np.uint16}[entry["componentType"]]
        width = {"VEC2": 2, "VEC3": 3, "VEC4": 4, "SCALAR": 1, "MAT4": 16}[entry["type"]]
        values = np.frombuffer(blob, kind, entry["count"] * width, view["byteOffset"])
        return values.reshape(entry["count"], width)

    primitive, skin = header["meshes"][0]["primitives"][0], header["skins"][0]
    attributes = primitive["attributes"]
    names = [header["nodes"][node]["name"] for node in skin["joints"]]
    bind = np.linalg.inv(accessor(skin["inverseBindMatrices"]).astype(float).reshape(-1, 4, 4).transpose(0, 2, 1))
    places = dict(zip(names, bind[:, :3, 3], strict=True))
    backs = dict(zip(names, bind[:, :3, 1], strict=True))

    positions, slots, shares = (accessor(attributes[key]) for key in ("POSITION", "JOINTS_0", "WEIGHTS_0"))
    rig = np.zeros((len(positions), len(names)))
    for slot, share in zip(slots.astype(int).T, shares.astype(float).T, strict=True):
        rig[np.arange(len(rig)), slot] += share
    distinct, first, merged = np.unique(positions, axis=0, return_index=True, return_inverse=True)
    faces = merged.ravel()[accessor(primitive["indices"]).astype(int).reshape(-1, 3)]

    weights = rig[:, [names.index(name) for name in RIG_JOINTS]]
    weights[:, 0] = rig[:, [names.index(name) for name in PALM]].sum(1)
    weights = weights[first] / weights[first].sum(1, keepdims=True)

    wrist = places["wrist"]
    joints, tips = (np.array([places[name] for name in group]) for group in (RIG_JOINTS, RIG_TIPS))
    dorsal = np.array([backs[name] / np.linalg.norm(backs[name]) for name in RIG_JOINTS])
    return Source(
        *((distinct.astype(float) - wrist) @ AXES.T, faces.astype(np.int64), weights),
        *((joints - wrist) @ AXES.T, (tips - wrist) @ AXES.T, dorsal @ AXES.T),
    )
