"""Where InterHand2.6M keeps its files, in the release of version 1.0, at 5 and at 30 frames a second."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
Fps = Literal[5, 30]
HAND_TYPES = ("right", "left", "interacting")

_DATA = re.compile(r"data(_hm)?|data-\d+")
_OLD = ("all", "human_annot", "machine_annot")
UNPACK = "Unpack the annotations again or change --data.root."
_GET = "Get version 1.0 from the dataset's page and pass the folder of `images` and `annotations` with --data.root."


@dataclass(frozen=True)
class Files:
    """The files of one part.

    Args:
        part: Which one.
        images: Folder that file names in `data` start from.
        data: Images and annotations; several files when they were published in pieces.
        camera: Cameras by capture.
        joints: World joints by capture and frame.
        mano: MANO's parameters by capture and frame, or None: the file is not there.
    """

    part: Part
    images: Path
    data: tuple[Path, ...]
    camera: Path
    joints: Path
    mano: Path | None

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file that is there."""
        return (*self.data, self.camera, self.joints, *(() if self.mano is None else (self.mano,)))


def find_files(root: Path, part: Part, fps: Fps = 5) -> Files:
    """Finds the annotation files of one part.

    Args:
        root: The dataset's folder, with `images` and `annotations` in it.
        part: Which one.
        fps: Where a folder has both one `data.json` and `data-001.json` and on: 5 takes the first, 30 the others.

    Raises:
        FileNotFoundError: Something that is needed is not there.
        ValueError: The folder is of version 0.0.
    """
    folder = root / "annotations" / part
    if not folder.is_dir():
        raise _no_folder(root, folder)
    names = {path.name.removeprefix(f"InterHand2.6M_{part}_"): path for path in sorted(folder.glob("*.json"))}
    data = [name for name in names if _DATA.fullmatch(name.removesuffix(".json"))]
    pieces = [name for name in data if "-" in name]
    whole = [name for name in ("data.json", "data_hm.json") if name in data][:1]
    chosen = (pieces or whole) if fps == 30 else (whole or pieces)
    for needed, there in (
        ("data", bool(chosen)),
        *((kind, f"{kind}.json" in names) for kind in ("camera", "joint_3d")),
    ):
        if not there:
            raise FileNotFoundError(
                f"{folder / f'InterHand2.6M_{part}_{needed}.json'} is not there, but the dataset has it. {UNPACK}"
            )
    return Files(
        part,
        root / "images" / part,
        tuple(names[name] for name in chosen),
        names["camera.json"],
        names["joint_3d.json"],
        names.get("MANO_NeuralAnnot.json"),
    )


def parts_of(root: Path) -> list[Part]:
    """The parts that have a folder of annotations."""
    return [part for part in PARTS if (root / "annotations" / part).is_dir()]


def finite(numbers: NDArray[Any], name: str) -> NDArray[Any]:
    """The same numbers. JSON's null becomes one that is not finite, and would spoil every batch it comes into.

    Args:
        numbers: Of any shape.
        name: What they are called in the file.

    Raises:
        ValueError: One is not finite.
    """
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} has a number that is not finite")
    return numbers


def unreadable(path: Path, what: str, error: Exception) -> ValueError:
    """The error for an annotation file with something in it that is not as published.

    Args:
        path: The file.
        what: In it.
        error: That it led to.
    """
    return ValueError(f"{path}: {what} cannot be read ({type(error).__name__}: {error}). {UNPACK}")


def _no_folder(root: Path, folder: Path) -> Exception:
    old = [name for name in _OLD if (root / "annotations" / name).is_dir()]
    if old:
        return ValueError(
            f"{root} has annotations/{old[0]}: that is version 0.0, whose annotations were replaced. {_GET}"
        )
    inner = sorted(path.parent for path in root.glob("*/annotations"))
    outer = [path for path in (root.parent, root.parent.parent) if (path / "annotations" / folder.name).is_dir()]
    if found := inner or outer:
        return FileNotFoundError(f"{folder} is not there. Pass --data.root {found[0]}, which has annotations.")
    there = f" It has {', '.join(parts_of(root))}." if parts_of(root) else ""
    return FileNotFoundError(f"{folder} is not there.{there} {_GET}")
