"""InterHand2.6M's cameras: where each of a capture's stood, and what it saw."""

from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from datamodules.interhand.files import UNPACK, Files, finite, unreadable


class Cameras:
    """Cameras by capture and name; those that only images name have no numbers.

    Args:
        files: Whose camera file to read.
    """

    def __init__(self, files: Files) -> None:
        self.path = files.camera
        try:
            self.given = orjson.loads(files.camera.read_bytes())
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{files.camera} is no JSON ({error}). {UNPACK}") from error
        self.numbers: dict[tuple[int, str], int] = {}
        try:
            for capture, fields in self.given.items():
                for name in fields["campos"]:
                    self.number(int(capture), name)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise unreadable(files.camera, "its list of captures", error) from error

    def number(self, capture: int, name: str) -> int:
        """The row of a camera, which it gets when it is first named."""
        return self.numbers.setdefault((capture, name), len(self.numbers))

    def columns(self) -> dict[str, NDArray[Any]]:
        """All cameras' numbers by name, and which cameras have any."""
        shapes = {"campos": (3,), "camrot": (3, 3), "focal": (2,), "princpt": (2,)}
        out: dict[str, NDArray[Any]] = {key: np.zeros((len(self.numbers), *shape)) for key, shape in shapes.items()}
        out["camera_known"] = np.zeros(len(self.numbers), np.bool_)
        for (capture, name), row in self.numbers.items():
            fields = self.given.get(str(capture), {})
            if all(name in fields.get(key, {}) for key in shapes):
                try:
                    for key in shapes:
                        out[key][row] = fields[key][name]
                        finite(out[key][row], key)
                except (TypeError, ValueError) as error:
                    raise unreadable(self.path, f"camera {name} of capture {capture}", error) from error
                out["camera_known"][row] = True
        return out
