"""What must be known of MANO parameters before they mean a hand: none of it can be seen in the numbers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datamodules.scene import BoolArray, FloatArray, IntArray

SIDES = ("left", "right")
NUMBERS = {"global_orient": 3, "hand_pose": 45, "betas": 10, "transl": 3}  # of one hand, in the order of a table
WIDTH = sum(NUMBERS.values())
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
FRAMES: dict[str, tuple[tuple[float, ...], ...]] = {  # to x right, y down, z forward
    "opencv": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "opengl": ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)),
}
WHY = (
    "They cannot be guessed: hands would be bent, thinned, turned or scaled wrongly without anyone noticing. Ask who "
    "made the files."
)

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Conventions:
    """What parameters are relative to, once lengths are metres and rotations axis-angle.

    Args:
        frame: 3 x 3 rotation from the frame of the parameters to x right, y down, z forward.
        flat_hand_mean: Whether a hand pose of zeros is the flat hand; else it is the model's mean pose.
        left_shapedirs_fix: Whether betas of left hands belong to a model whose shape directions are mirrored in x
            (smplx issue 48).
        pca: Whether a hand pose is 45 coefficients of the rows of the model's `hands_components`.
    """

    frame: Rows
    flat_hand_mean: bool
    left_shapedirs_fix: bool
    pca: bool = False

    @property
    def rotation(self) -> FloatArray:
        """(3, 3)."""
        return np.array(self.frame, np.float32)

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @staticmethod
    def of(record: dict[str, Any]) -> "Conventions":
        """The inverse of `record`."""
        return Conventions(**{**record, "frame": tuple(tuple(row) for row in record["frame"])})


class Block(NamedTuple):
    """Pairs of hands of one file: metres, axis-angle; the rest as `Conventions` say.

    Args:
        hands: (n, 2, 61) by side: `NUMBERS`, one after the other.
        valid: (n, 2) whether that hand is there.
        cameras: (n, 21) R (3 x 3) and t (metres) of X_camera = R X + t, then the intrinsics (3 x 3, pixels); or None.
        numbers: (n,) what the dataset calls the pairs, or None.
    """

    hands: FloatArray
    valid: BoolArray
    cameras: FloatArray | None = None
    numbers: IntArray | None = None


class Source(ABC):
    """Files that hold pairs of hands.

    Args:
        root: Their folder.
        files: In the order of their pairs.
        part: Tells sources in one folder apart.
    """

    def __init__(self, root: Path, files: Sequence[Path], part: str = "") -> None:
        self.root = root
        self.files = files
        self.part = part

    @property
    @abstractmethod
    def conventions(self) -> Conventions:
        """Of every file."""

    @property
    def key(self) -> str:
        """Whatever else than the files decides what is read."""
        return type(self).__name__

    @abstractmethod
    def read(self, path: Path) -> Block:
        """Reads a file.

        Raises:
            ValueError: Something in it is not what it must be; says what there is.
        """


def block(hands: FloatArray, valid: BoolArray, path: Path, **more: Any) -> Block:
    """A block whose hands were checked; those that are not valid are zeros.

    Raises:
        ValueError: A valid hand has a number that is not finite.
    """
    hands = np.where(valid[..., None], hands, np.float32(0)).astype(np.float32)
    if len(wrong := np.argwhere(~np.isfinite(hands).all(-1))):
        row, side = wrong[0].tolist()
        raise ValueError(
            f"{path}: the {SIDES[side]} hand of pair {row} has a number that is not finite, and so have "
            f"{len(wrong) - 1} others. Mark such hands as not valid, or copy the file again."
        )
    return Block(hands, valid, **more)


def listing(arrays: dict[str, Any]) -> str:
    """Keys with their shapes, for messages."""
    shapes = {key: getattr(value, "shape", None) for key, value in arrays.items()}
    named = [key if shape is None else f"{key} {tuple(shape)}" for key, shape in shapes.items()]
    more = f" and {len(named) - 40} more" if len(named) > 40 else ""
    return ", ".join(named[:40]) + more if named else "nothing"
