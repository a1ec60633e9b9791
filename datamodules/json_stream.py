"""Reads JSON files of gigabytes entry by entry: a compiled scan finds where entries end, orjson reads each."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, no_type_check

import numpy as np
import orjson
from numba import njit
from tqdm import tqdm

PIECE = 16 << 20  # bytes of text held at once; a longer entry is held whole

Keys = tuple[str | int, ...]


@njit(cache=True, nogil=True)
@no_type_check
def _structure(text, depth, limit, places):
    """Writes the places of brackets, commas and colons that are at most `limit` containers deep; returns how many."""
    found, quoted, escaped = 0, False, False
    for i in range(len(text)):
        c = text[i]
        if quoted:
            if escaped:
                escaped = False
            elif c == 92:  # backslash
                escaped = True
            elif c == 34:  # quote
                quoted = False
        elif c == 34:
            quoted = True
        elif c == 123 or c == 91:  # { [
            if depth < limit:
                places[found] = i
                found += 1
            depth += 1
        elif c == 125 or c == 93:  # } ]
            if depth <= limit:
                places[found] = i
                found += 1
            depth -= 1
        elif (c == 44 or c == 58) and depth <= limit:  # , :
            places[found] = i
            found += 1
    return found


def entries(path: Path, depth: int, *, progress: bool = False) -> Iterator[tuple[Keys, Any]]:
    """The values that lie `depth` containers deep, in the file's order, with the keys and positions that lead to them.

    `{"images": [{...}, {...}]}` at depth 2 gives `(("images", 0), {...})` and on; `{"5": {"17": {...}}}` gives
    `(("5", "17"), {...})`. Values that lie less deep are passed over.

    Args:
        path: The JSON file.
        depth: 1 for the values of the outermost container.
        progress: Shows a bar after five seconds.

    Raises:
        ValueError: The file is no JSON, or ends early; says where.
    """
    size = path.stat().st_size if progress else 0
    bar = tqdm(total=size, unit="B", unit_scale=True, desc=f"Reading {path.name}", delay=5, disable=not progress)
    reader = _Reader(path, depth)
    with path.open("rb") as file, bar:
        rest = b""
        while piece := file.read(PIECE):
            bar.update(len(piece))
            text = rest + piece
            used = yield from reader.read(text)
            rest = text[used:]
    if reader.stack or not reader.opened or rest.strip():
        raise reader.broken("ends early" if reader.stack or not reader.opened else "goes on after its end")


class _Reader:
    """Where in the nesting a growing text is."""

    def __init__(self, path: Path, depth: int) -> None:
        self.path = path
        self.depth = depth
        self.stack: list[bytes] = []  # the brackets that are open
        self.keys: list[str | int] = []  # of the entry that comes next, one for each open bracket
        self.opened = False
        self.passed = 0  # bytes read

    def read(self, text: bytes) -> Generator[tuple[Keys, Any], None, int]:
        """Yields the entries that end in a text; returns how much of it is used up."""
        places = np.empty(len(text), np.int32)
        count = _structure(np.frombuffer(text, np.uint8), len(self.stack), self.depth, places)
        start = 0
        for place in places[:count].tolist():
            mark, before = text[place : place + 1], text[start:place]
            start = place + 1
            if mark in b"{[":
                if self.opened and not self.stack:
                    raise self.broken("goes on after its end")
                self.opened = True
                self.stack.append(mark)
                self.keys.append(0 if mark == b"[" else "")
                continue
            if not self.stack:
                raise self.broken("is not a JSON object or list")
            if mark == b":":
                self.keys[-1] = self._load(before)
                continue
            if len(self.stack) == self.depth and not ((mark in b"}]" and before.isspace()) or not before):
                yield tuple(self.keys), self._load(before)
            if mark == b",":
                if self.stack[-1] == b"[":
                    self.keys[-1] += 1  # type: ignore[operator]
                continue
            if self.stack.pop() != (b"{" if mark == b"}" else b"["):
                raise self.broken("closes another bracket than it opened")
            self.keys.pop()
        self.passed += start
        return start

    def _load(self, text: bytes) -> Any:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise self.broken(f"holds what is not JSON ({error})") from error

    def broken(self, what: str) -> ValueError:
        where = "/".join(map(str, self.keys)) or "its start"
        return ValueError(f"{self.path} {what}, at or soon after {where}. Copy or unpack the file again.")
