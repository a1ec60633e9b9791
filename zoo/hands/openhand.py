"""OpenHand, the hand model that comes with the project (MIT)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, final

import numpy as np

from zoo.hands.model import HandModel, SideName
from zoo.hands.template import check_template

ASSETS: Final = Path(__file__).parent / "assets" / "openhand"
ADVICE = "Rebuild it with `python -m zoo.hands.build`, or install the project again."


@final
class OpenHand(HandModel):
    """The embedded hand: MANO's counts, keys and frame, a mesh of its own.

    Args:
        side: "right" or "left".
        tips: Tip vertices of thumb, index, middle, ring, pinky; None for its own.
    """

    def __init__(self, side: SideName = "right", tips: Sequence[int] | None = None) -> None:
        if side not in ("right", "left"):
            raise ValueError(f'OpenHand(side={side!r}): hands are "right" or "left".')
        path = ASSETS / f"openhand_{side}.npz"
        if not path.is_file():
            raise FileNotFoundError(f"OpenHand's file {path} is missing. {ADVICE}")
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        for key in ("tips", "shape_names"):
            if key not in arrays:
                raise ValueError(f"{path} has no key '{key}'. {ADVICE}")
        names = arrays["shape_names"].tolist()
        tips = arrays["tips"].tolist() if tips is None else tips
        super().__init__(check_template(arrays, str(path), ADVICE, tips, names), side)
