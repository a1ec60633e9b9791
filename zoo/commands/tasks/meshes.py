"""Hands of which a part is missing, for `--task inpaint`: meshes, or 3D skeletons."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.commands.tasks.align import UNITS, mesh_pose, order_problem, side_name, size_problem, skeleton_pose
from zoo.commands.tasks.arrays import DAMAGED, SUFFIXES, read_table
from zoo.commands.tasks.case import Bools, Case, Floats, Unreadable, finger_joints, side_of
from zoo.commands.tasks.coco import said
from zoo.hands.meshfile import load_mesh
from zoo.hands.model import HandModel
from zoo.hands.skeleton import LEFT, MANO_JOINTS, RIGHT, WRIST

MESHES = (".npz", ".obj", ".ply", ".glb")
FEWEST = 20  # known vertices from which there is something to complete


@dataclass(frozen=True)
class PartReader:
    """What the command line says about all files.

    Args:
        hand: Whose topology meshes must have.
        missing: Fingers to leave out and make anew.
        mask: (778,) vertices to leave out and make anew.
        side: Of meshes, and of skeletons whose file does not say; None is what meshes look like.
        unit: Of the files' coordinates: m, cm or mm.
    """

    hand: HandModel
    missing: tuple[str, ...] = ()
    mask: Bools | None = None
    side: int | None = None
    unit: str = "m"

    def read(self, path: Path) -> Iterator[Case | Unreadable]:
        """Hands of a file or of a folder of files."""
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix.lower() in (*MESHES, *SUFFIXES))
            if not files:
                raise FileNotFoundError(f"--input {path} holds no {', '.join((*MESHES, *SUFFIXES))} file.")
            for file in files:
                try:
                    yield from self._file(file)
                except Exception as error:  # an odd file can raise nearly anything, and the others are to be read
                    yield Unreadable(file.name, said(error))
        elif path.is_file():
            yield from self._file(path)
        else:
            raise FileNotFoundError(f"--input {path} does not exist. Give a mesh, a 3D skeleton, or a folder of them.")

    def _file(self, file: Path) -> Iterator[Case | Unreadable]:
        suffix = file.suffix.lower()
        faces: NDArray[Any] | None = None
        extras: dict[str, Any] = {}
        if suffix == ".npz" and (arrays := _arrays(file)) and "vertices" in arrays:
            meshes, faces, extras = arrays["vertices"], arrays.get("faces"), arrays
        elif suffix in (".obj", ".ply", ".glb"):
            mesh = load_mesh(file)
            meshes, faces = mesh.vertices.numpy(), mesh.faces.numpy()
        else:
            table = read_table(file)
            yield from self._each(file, table.points, None, table.extras)
            return
        meshes = np.asarray(meshes, np.float32)
        meshes = meshes[None] if meshes.ndim == 2 else meshes
        if meshes.ndim != 3 or meshes.shape[2] != 3:
            raise ValueError(f"{file} has vertices {meshes.shape}; they must be (778, 3) or (n, 778, 3)")
        yield from self._each(file, meshes, faces, extras)

    def _each(
        self, file: Path, hands: Floats, faces: NDArray[Any] | None, extras: dict[str, Any]
    ) -> Iterator[Case | Unreadable]:
        for number, points in enumerate(hands):
            name = file.stem if len(hands) == 1 else f"{file.stem}_{number:04d}"
            try:
                points = points / np.float32(UNITS[self.unit])
                told = side_of(np.ravel(extras["side"])[0]) if "side" in extras else None
                if points.shape == (21, 3):
                    yield self._skeleton(name, points, told, file)
                else:
                    yield self._mesh(name, points, faces, told, file)
            except ValueError as error:
                yield Unreadable(name, str(error))

    def _mesh(self, name: str, points: Floats, faces: NDArray[Any] | None, told: int | None, file: Path) -> Case:
        if len(points) != 778:
            raise ValueError(f"it has {len(points)} vertices; a hand of MANO's topology has 778")
        wound = None if faces is None else self._winding(faces)
        known = np.asarray(np.isfinite(points).all(1))
        if known.sum() < FEWEST:
            raise ValueError(f"{known.sum()} of its vertices are known; at least {FEWEST} are needed")
        self._check_size(mesh_pose(self.hand, points, known, RIGHT).scale)
        problem = order_problem(self.hand, points, known, 1.0)
        if problem:
            raise ValueError(problem)
        side = self._side(points, known, wound if told is None else told)
        known = known & ~self._dropped()
        if known.all():
            raise ValueError("nothing of it is missing; give --missing with fingers, --mask, or NaN for vertices")
        if known.sum() < FEWEST:
            raise ValueError(f"{known.sum()} vertices are left; at least {FEWEST} must be known")
        return Case(name, side, vertices=np.where(known[:, None], points, 0), known=known, source=file)

    def _skeleton(self, name: str, points: Floats, told: int | None, file: Path) -> Case:
        if self.mask is not None:
            raise ValueError("--mask names vertices, and this is a skeleton; give --missing, or NaN for joints")
        side = self.side if told is None else told
        if side is None:
            raise ValueError("nothing says which hand it is; give --side right or --side left")
        known = np.asarray(np.isfinite(points).all(1)) & ~finger_joints(list(self.missing))
        if not known[WRIST]:
            raise ValueError("its wrist is missing, and without it a skeleton has no origin")
        if known.all():
            raise ValueError("nothing of it is missing; give --missing with fingers, or NaN for joints")
        if known.sum() < 4:
            raise ValueError(f"{known.sum()} of its joints are known; at least 4 are needed")
        self._check_size(skeleton_pose(self.hand, points, known, side).scale)
        return Case(name, side, joints=np.where(known[:, None], points, 0), labelled=known, source=file)

    def _check_size(self, scale: float) -> None:
        problem = size_problem(scale)
        if problem:
            raise ValueError(problem)

    def _dropped(self) -> Bools:
        parts = self.hand.parts.cpu().numpy()
        ids = [number for number, joint in enumerate(MANO_JOINTS) if joint[:-1] in self.missing]
        dropped: Bools = np.isin(parts, ids)
        return dropped if self.mask is None else dropped | self.mask

    def _winding(self, faces: NDArray[Any]) -> int | None:
        """The side that faces belong to: a left hand's are a right hand's turned over; refuses foreign ones."""
        ours = self.hand.faces.cpu().numpy()
        theirs = {_turned(face) for face in faces.tolist()}
        for side, order in ((RIGHT, [0, 1, 2]), (LEFT, [0, 2, 1])):
            if all(_turned(face) in theirs for face in ours[:, order].tolist()):
                return side
        loose = {tuple(sorted(face)) for face in faces.tolist()}
        shared = sum(tuple(sorted(face)) in loose for face in ours.tolist())
        if shared == len(ours):
            return None  # of both windings: no telling
        raise ValueError(
            f"its faces are not MANO's: {shared} of {len(ours)} agree. Only meshes with vertices in MANO's order "
            "can be completed"
        )

    def _side(self, points: Floats, known: Bools, told: int | None) -> int:
        """As told by the user, or by the file, if the shape does not say otherwise."""
        rest = {side: mesh_pose(self.hand, points, known, side).residual for side in (LEFT, RIGHT)}
        looks = LEFT if rest[LEFT] < rest[RIGHT] else RIGHT
        if self.side is None:
            return looks if told is None or rest[looks] < 0.7 * rest[told] else told
        if rest[looks] < 0.7 * rest[self.side]:
            raise ValueError(f"it has the shape of a {side_name(looks)} hand; leave --side out, or mirror it")
        return self.side


def read_mask(file: Path) -> Bools:
    """(778,) True for the vertices that a file names: by number, or by 778 truth values.

    Raises:
        ValueError: for anything else.
    """
    try:
        if file.suffix.lower() == ".npz":
            arrays = _arrays(file)
            array = arrays.get("mask", next(iter(arrays.values()), np.zeros(0)))
        elif file.suffix.lower() == ".npy":
            array = np.load(file, allow_pickle=False)
        else:
            array = np.array([float(word) for word in file.read_text().replace(",", " ").split()])
    except FileNotFoundError as error:
        raise ValueError(f"--mask {file} does not exist.") from error
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"--mask {file} is no list of vertex numbers ({error}).") from error
    array = np.ravel(array)
    if array.shape == (778,) and np.isin(array, (0, 1)).all():
        return array.astype(np.bool_)
    if not array.size or not np.issubdtype(array.dtype, np.number) or (array != np.round(array)).any():
        raise ValueError(f"--mask {file} holds no vertex numbers. Give numbers from 0 to 777, or 778 truth values.")
    if array.min() < 0 or array.max() > 777:
        raise ValueError(f"--mask {file} names vertices {array.min():g} to {array.max():g}; there are 0 to 777.")
    mask = np.zeros(778, np.bool_)
    mask[array.astype(np.int64)] = True
    return mask


def _turned(face: list[int]) -> tuple[int, ...]:
    """A face from its smallest vertex on, in its own direction."""
    start = face.index(min(face))
    return (*face[start:], *face[:start])


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (*DAMAGED, AttributeError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{file} cannot be read as .npz ({error}). Is it whole?") from error
