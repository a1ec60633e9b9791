"""MANO (Romero et al. 2017), from the user's own file: its licence does not let anyone pass it on."""

import hashlib
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from zoo.hands.model import HandModel, SideName
from zoo.hands.template import KEYS, check_template
from zoo.hands.unpickle import read_pickle

PLACES: Final = ("", "mano", "models", "models/mano", "mano_v1_2/models")
ADVICE = (
    "MANO_RIGHT.pkl and MANO_LEFT.pkl come from the authors' page, mano.is.tue.mpg.de (register, then 'Models & "
    "Code'); give the file or its folder: Mano's `path`, `--model.hand Mano --model.hand.path FOLDER`."
)
SMPLX_TIPS = (744, 320, 443, 554, 671)
UNFIXED_LEFT = "11aeaca8631aa20db964d4eba491e885"  # MD5 of the published MANO_LEFT.pkl


@final
class Mano(HandModel):
    """MANO, read from `MANO_RIGHT` or `MANO_LEFT`, as `.pkl` (without chumpy) or `.npz`.

    The published left hand has the right hand's sign in the x of its shape directions (smplx issue 48), so that
    positive shapes squeeze it. It is put right where it is due, which the other hand's file beside it shows.

    Args:
        path: The file, or a folder that holds it (also in `mano/`, `models/`).
        side: "right" or "left".
        tips: Tip vertices of thumb, index, middle, ring, pinky; data sets differ (FreiHAND 744 320 443 555 672).
        fix_left: Mirror the left hand's shape directions; None where it is due. Datasets fitted without, such as
            DexYCB, need False.
    """

    def __init__(
        self,
        path: str | Path,
        side: SideName = "right",
        tips: Sequence[int] = SMPLX_TIPS,
        fix_left: bool | None = None,
    ) -> None:
        if side not in ("right", "left"):
            raise ValueError(f'Mano(side={side!r}): hands are "right" or "left".')
        file = find_mano(path, side)
        arrays = read_mano(file)
        names = [f"shape{i}" for i in range(10)]
        template = check_template(arrays, str(file), ADVICE, tips, names)
        if side == "left" and (fix_left if fix_left is not None else _needs_fix(file, template.shapedirs)):
            template.shapedirs[:, 0] *= -1
            warnings.warn(f"{file.name}: mirrored the x of its shape directions (smplx issue 48).", stacklevel=2)
        super().__init__(template, side)


def find_mano(path: str | Path, side: SideName) -> Path:
    """Finds one hand's file.

    Args:
        path: The file itself or a folder.
        side: Which hand.

    Returns:
        An existing file.

    Raises:
        FileNotFoundError: There is none; says where it was looked for.
        ValueError: The file is named for the other hand.
    """
    path = Path(path).expanduser()
    other = "LEFT" if side == "right" else "RIGHT"
    if path.is_file():
        if other in path.name.upper():
            raise ValueError(f'{path} is the {other.lower()} hand by its name, but side="{side}" was asked for.')
        return path
    names = [f"MANO_{side.upper()}{suffix}" for suffix in (".pkl", ".npz")]
    for folder in PLACES:
        for name in names:
            if (path / folder / name).is_file():
                return path / folder / name
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. {ADVICE}")
    looked = ", ".join(str(path / folder) for folder in PLACES)
    raise FileNotFoundError(f"Neither {names[0]} nor {names[1]} is in any of {looked}. {ADVICE}")


def read_mano(file: Path) -> dict[str, NDArray[np.generic]]:
    """Reads the arrays that a hand model needs, running nothing.

    Args:
        file: `.pkl` or `.npz`, told apart by what they hold.

    Returns:
        Arrays by key; those the file lacks are left out.

    Raises:
        ValueError: It is neither.
    """
    if not zipfile.is_zipfile(file):
        try:
            return read_pickle(file, KEYS)
        except ValueError as error:
            raise ValueError(f"{error} {ADVICE}") from None
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in KEYS if key in archive.files}
    except Exception as error:  # a damaged archive can raise nearly anything
        raise ValueError(f"{file} is not a readable .npz of plain arrays ({error}). {ADVICE}") from None


def _needs_fix(file: Path, left: NDArray[np.float64]) -> bool:
    beside = [file.with_name(f"MANO_RIGHT{suffix}") for suffix in (file.suffix, ".pkl", ".npz")]
    for candidate in beside:
        if candidate.is_file():
            right = read_mano(candidate).get("shapedirs")
            if right is not None and right.ndim == 3 and right[:, :, :10].shape == left.shape:
                # The rule of InterHand2.6M's tools: the two differ by nothing but rounding.
                return bool(np.abs(left[:, 0] - right[:, 0, :10].astype(np.float64)).sum() < 1)
    if hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() == UNFIXED_LEFT:
        return True
    warnings.warn(
        f"{file}: without MANO_RIGHT beside it, whether its shape directions must be mirrored (smplx issue 48) is "
        "unknown; they are used as they are. Put the right hand beside it or say fix_left true or false.",
        stacklevel=3,
    )
    return False
