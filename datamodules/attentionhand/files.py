"""One of AttentionHand's folders: `modalities.json` and the files that its lines name.

Park et al. 2024, https://github.com/redorangeyellowy/AttentionHand. `modalities.json` is JSON Lines: a line for each
example, `{"mesh": ..., "rgb": ..., "text": ...}`; without `rgb` it is one to make a picture for. Paths are relative to
the folder that the authors' code runs in. `labels` is ours, and their code passes over it (`attentionhand/labels.py`).
"""

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from datamodules.attentionhand.labels import labelled_sides
from datamodules.photos import UnreadableFileError
from datamodules.scene import BoolArray, ByteArray, IntArray

MODALITIES = "modalities.json"
Kind = Literal["mesh", "rgb", "text"]
KINDS: tuple[Kind, ...] = ("mesh", "rgb", "text")


class Facts(NamedTuple):
    """What the rows say, without opening the files that they name.

    Args:
        pictured: (n,) whether a row has a photograph.
        sides: (n, 2) whether it has labels of a left (0) and a right (1) hand.
        posed: (n,) whether its labels have parameters of a hand model.
        ids: (n, 2) numbers that stand for the file id.
    """

    pictured: BoolArray
    sides: BoolArray
    posed: BoolArray
    ids: NDArray[np.uint64]


class AttentionHandFolder:
    """The rows of a `modalities.json`.

    Args:
        root: The folder that holds it.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).absolute()
        self.path = self.root / MODALITIES
        if not self.path.is_file():
            raise FileNotFoundError(
                f"{self.path} is not there, but AttentionHand's folders have it. Pass the folder that holds it, or the "
                "one above its `data` and `samples`, with --data.root."
            )

    def __getstate__(self) -> dict[str, object]:
        return {"root": self.root, "path": self.path}  # workers map the file themselves

    def __len__(self) -> int:
        return len(self.lines)

    @cached_property
    def _text(self) -> ByteArray:
        if not self.path.stat().st_size:
            return np.empty(0, np.uint8)
        return np.memmap(self.path, np.uint8, "r").view(np.ndarray)  # slices of a plain array cost less

    @cached_property
    def _ends(self) -> IntArray:
        return np.flatnonzero(self._text == ord("\n"))

    @cached_property
    def lines(self) -> IntArray:
        """(n, 2) first byte, and one past the last, of each line that is not blank."""
        starts, stops = np.r_[0, self._ends + 1], np.r_[self._ends, len(self._text)]
        blank = [not self._text[a:b].tobytes().strip() for a, b in zip(starts, stops, strict=True)]
        return np.stack([starts, stops], axis=1)[~np.array(blank)].astype(np.int64)

    def row(self, number: int) -> dict[str, Any]:
        """A line as it stands in the file.

        Raises:
            ValueError: It is not a JSON object that names a mesh picture and a text.
        """
        start, stop = self.lines[number]
        try:
            row = orjson.loads(self._text[start:stop].tobytes())
        except orjson.JSONDecodeError as error:
            raise self._wrong(number, f"is not JSON ({error})") from None
        if not isinstance(row, dict):
            raise self._wrong(number, f"is a {type(row).__name__}")
        for kind in KINDS:
            if not isinstance(row.get(kind), str) and (kind != "rgb" or "rgb" in row):
                raise self._wrong(number, f'has no path as "{kind}"; it has {", ".join(row) or "nothing"}')
        return row

    @cached_property
    def facts(self) -> Facts:
        """Read from every line, each of which is checked on the way."""
        n = len(self)
        if not n:
            raise ValueError(f"{self.path} is empty. Copy it again, or change --data.root.")
        facts = Facts(np.zeros(n, bool), np.zeros((n, 2), bool), np.zeros(n, bool), np.empty((n, 2), np.uint64))
        for number in range(n):
            row = self.row(number)
            facts.pictured[number] = "rgb" in row
            facts.sides[number], facts.posed[number] = labelled_sides(row.get("labels"), self.where(number))
            digest = hashlib.blake2b(file_id(row["text"]).encode(), digest_size=16).digest()
            facts.ids[number] = np.frombuffer(digest, np.uint64)
        return facts

    def where(self, number: int) -> str:
        """What to call a line in a message."""
        return f"{self.path}, line {1 + int(np.searchsorted(self._ends, self.lines[number, 0]))}"

    def places(self, kind: Kind, path: str) -> Iterator[Path]:
        """Where a file may lie, the likeliest place first: paths are relative to a folder that is not known.

        Args:
            kind: Key of the row.
            path: As it stands in the row.
        """
        given = Path(path)
        yield self.root.parent / given  # the authors' code runs in the folder above; an absolute path stays itself
        if not given.is_absolute():
            yield self.root / given
            yield self.root.joinpath(*given.parts[1:])  # the folder has another name now
        yield self.root / kind / given.name

    def find(self, kind: Kind, path: str) -> Path:
        """The file that a row names.

        Raises:
            UnreadableFileError: It is in none of the places; names them.
        """
        for place in self.places(kind, path):
            if place.is_file():
                return place
        tried = ", ".join(dict.fromkeys(map(str, self.places(kind, path))))
        raise UnreadableFileError(
            f'{path}, a "{kind}" of {self.path}, is in none of the places where it may be: {tried}. Copy it to one of '
            "them or change --data.root; `python -m zoo data check attentionhand` lists all that are missing."
        )

    def _wrong(self, number: int, what: str) -> ValueError:
        rule = 'Each line must be {"mesh": path, "rgb": path, "text": path}, or the same without "rgb"'
        whole = ", and the whole file must not be one list" if self._text[:1].tobytes() == b"[" else ""
        return ValueError(f"{self.where(number)} {what}. {rule}{whole}. Mend the line or copy the file again.")


def file_id(text: str) -> str:
    """What AttentionHand calls an example: the name of its text file, without `.txt`."""
    return text.rpartition("/")[2][:-4]


def read_sentence(path: Path) -> str | None:
    """The first line of a text file, or None when there is nothing in it.

    Raises:
        UnreadableFileError: It is not there, or no UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.readline().strip() or None
    except FileNotFoundError:
        raise UnreadableFileError(f"{path} is not there. Copy it again or change --data.root.") from None
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"{path} is not UTF-8 text ({error.reason}). Save it as UTF-8.") from None
