"""What HO-3D's files say, read without the datamodule."""

from pathlib import Path

import numpy as np

from zoo.hands.unpickle import Array, decode, read_tree

FLIP = np.array((1, -1, -1))


def frames(root: Path, part: str = "train") -> list[str]:
    """The names in the list of a part."""
    return (root / f"{part}.txt").read_text().split()


def path_of(root: Path, name: str, kind: str = "meta", suffix: str = ".pkl", part: str = "train") -> Path:
    """A file of a frame."""
    sequence, file = name.split("/")
    return root / part / sequence / kind / f"{file}{suffix}"


def stored(root: Path, name: str, key: str, part: str = "train") -> Array:
    """A label as the file says it."""
    return decode(read_tree(path_of(root, name, part=part))[key])


def unlabel(root: Path) -> None:
    """Takes the evaluation labels away."""
    for path in root.glob("evaluation_*.json"):
        path.unlink()
