"""Hands in .npz files: vertices, or parameters of a hand model; as `sample` writes them, or with the same names."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.hand_models import faces_of, pose_hands
from datamodules.scene import FloatArray, HandModels, ManoPose, Scene, SceneHand
from zoo.commands.painting.scenes import Posed
from zoo.commands.painting.stand import Stand
from zoo.commands.tasks.case import Unreadable, side_of
from zoo.hands.openhand import OpenHand
from zoo.hands.rotations import matrix_to_axis_angle
from zoo.hands.skeleton import LEFT, RIGHT

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class HandReader:
    """What the command line says about hands in files.

    Args:
        stand: Where hands without a camera stand.
        models: Whose parameters they are; None for OpenHand's.
        unit: Of vertices: m, cm or mm.
        side: Of hands whose file does not say it; right when None.
    """

    stand: Stand
    models: HandModels | None = None
    unit: str = "m"
    side: int | None = None

    def read(self, file: Path) -> Iterator[Posed | Unreadable]:
        """The hands of a file, as many as `count`: each row of its arrays, or of the results of one hand the best.

        Raises:
            ValueError: The file as a whole is none of hands.
        """
        arrays, hands, sides = self._hands(file)
        for number, (vertices, side) in enumerate(zip(hands, sides, strict=True)):
            name = file.stem if len(hands) == 1 else f"{file.stem}_{number:04d}"
            camera = arrays.get("intrinsics")
            if camera is not None and camera.ndim == 3:
                camera = camera[number]
            try:
                yield self._posed(name, vertices, side, camera, arrays)
            except ValueError as error:
                place = str(file) if len(hands) == 1 else f"{file}, row {number}"
                yield Unreadable(name, f"{place}: {error}")

    def count(self, file: Path) -> int:
        """How many hands a file holds; raises as `read` does."""
        return len(self._hands(file)[1])

    def _hands(self, file: Path) -> tuple[Arrays, list[FloatArray], list[int]]:
        """The arrays of a file, the vertices and the sides of its hands."""
        arrays = _arrays(file)
        hands = self._vertices(arrays)
        sides = self._sides(arrays, len(hands))
        count = 1 if "record" in arrays else len(hands)  # hypotheses of one hand, best first
        camera = arrays.get("intrinsics")
        if camera is not None and camera.ndim == 3 and len(camera) < count:
            raise ValueError(f"it has {len(camera)} intrinsics for {count} hands; give one for all or one each")
        return arrays, hands[:count], sides[:count]

    def _posed(self, name: str, vertices: FloatArray, side: int, camera: NDArray[Any] | None, arrays: Arrays) -> Posed:
        points = torch.from_numpy(vertices)
        if camera is None:
            shift, intrinsics = self.stand.before(points)
            points, size = points + shift, (self.stand.size, self.stand.size)
        else:
            intrinsics = torch.from_numpy(np.asarray(camera, np.float32))
            size = _size(arrays, intrinsics)
            if not bool((points[:, 2] > 0).all()):
                raise ValueError("it has intrinsics, but its hand is not in front of the camera; is its frame another?")
        if points.shape != (778, 3) or faces_of(points, self.models, side) is None:
            if "faces" not in arrays:
                raise ValueError(
                    f"its mesh of {len(points)} vertices is not OpenHand's, and it has no `faces`; give --mano DIR for "
                    "meshes of MANO"
                )
            faces = torch.from_numpy(np.asarray(arrays["faces"], np.int64))
            picture = self.stand.picture(points, faces, intrinsics, size)
            return Posed(Scene(0, size, intrinsics.numpy(), mesh_image=picture, name=name))
        hand = self.models[side] if self.models else OpenHand("left" if side == LEFT else "right")
        joints = hand.regress(points[None])[0].numpy()
        labelled = SceneHand(side, vertices=points.numpy(), joints=joints)
        return Posed(Scene(0, size, intrinsics.numpy(), {side: labelled}, name=name), self.models)

    def _vertices(self, arrays: Arrays) -> list[FloatArray]:
        if "vertices" in arrays:
            found = np.asarray(arrays["vertices"], np.float32) / np.float32(self.stand.units(self.unit))
            found = found[None] if found.ndim == 2 else found
            if found.ndim != 3 or found.shape[2] != 3 or not found.size:
                raise ValueError(f"its vertices are {found.shape}; they must be (v, 3) or (n, v, 3)")
            return list(found)
        turns = _turns(arrays)
        count = len(turns)
        shape, place = (_rows(arrays, key, width, count) for key, width in (("betas", 10), ("transl", 3)))
        sides = self._sides(arrays, count)
        models = self.models or {LEFT: OpenHand("left"), RIGHT: OpenHand("right")}
        poses = [ManoPose(*row) for row in zip(turns, shape, place, strict=True)]
        return list(pose_hands(models, sides, poses)[0].numpy())

    def _sides(self, arrays: Arrays, count: int) -> list[int]:
        if "side" not in arrays:
            return [RIGHT if self.side is None else self.side] * count
        told = [side_of(value) for value in np.ravel(arrays["side"])]
        told = told * count if len(told) == 1 else told
        if len(told) != count or any(side is None for side in told):
            raise ValueError(f"its side is {arrays['side']}; it must be left or right, one for all or one each")
        return [side for side in told if side is not None]


def _turns(arrays: Arrays) -> FloatArray:
    """(n, 16, 3) axis-angle, absolute."""
    if "rotations" in arrays:
        found = torch.from_numpy(np.asarray(arrays["rotations"], np.float32))
        matrices = found.ndim > 2 and found.shape[-2:] == (3, 3)
        turns = matrix_to_axis_angle(found) if matrices else found
        if turns.shape[-2:] != (16, 3):
            raise ValueError(f"its rotations are {tuple(found.shape)}; they must be (n, 16, 3, 3), or (n, 16, 3)")
        return np.asarray(turns.reshape(-1, 16, 3).numpy(), np.float32)
    if "pose" in arrays:
        pose = np.asarray(arrays["pose"], np.float32)
        if pose.shape[-1] != 48:
            raise ValueError(f"its pose is {pose.shape}; it must be (n, 48), where the flat hand is zero")
        return pose.reshape(-1, 16, 3)
    raise ValueError(f"it has {', '.join(arrays) or 'nothing'}; hands are `vertices`, `rotations` or `pose`")


def _rows(arrays: Arrays, key: str, width: int, count: int) -> FloatArray:
    """(count, width), zeros where there is no such array."""
    if key not in arrays:
        return np.zeros((count, width), np.float32)
    found = np.asarray(arrays[key], np.float32).reshape(-1, width)
    if len(found) not in (1, count):
        raise ValueError(f"it has {len(found)} rows of {key} for {count} hands")
    return np.broadcast_to(found, (count, width)).copy()


def _size(arrays: Arrays, intrinsics: torch.Tensor) -> tuple[int, int]:
    """Height and width of the camera's picture; without them, its principal point is the middle."""
    if "image_size" in arrays:
        height, width = (int(value) for value in np.ravel(arrays["image_size"])[:2])
        return height, width
    x, y = intrinsics[:2, 2].tolist()
    if x <= 0 or y <= 0:
        raise ValueError("it has intrinsics and no image_size, and their principal point is no middle of a picture")
    return round(2 * y) + 1, round(2 * x) + 1


def _arrays(file: Path) -> Arrays:
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise ValueError(f"it cannot be read as .npz ({error}); is it whole?") from error
