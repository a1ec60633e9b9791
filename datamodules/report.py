"""What a check of a dataset found, as a table that fits a terminal."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from datamodules.photos import read_photo

SHOWN = 5  # broken or missing files that are named


@dataclass(frozen=True)
class Row:
    """One line of a report.

    Args:
        what: The file or folder.
        found: What is there.
        expected: What must be there.
        problem: What is wrong and how to mend it; empty when nothing is.
    """

    what: str
    found: str
    expected: str
    problem: str = ""


@dataclass
class Report:
    """What a check found. Printed, it is a table; `ok` is what the exit code says.

    Args:
        title: What was checked.
        rows: One for each file or folder.
        notes: What is worth knowing and no problem.
    """

    title: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the dataset can be used as it is."""
        return bool(self.rows) and not any(row.problem for row in self.rows)

    def __str__(self) -> str:
        cells = [("", "found", "expected", "")]
        cells += [(row.what, row.found, row.expected, "PROBLEM" if row.problem else "ok") for row in self.rows]
        widths = [max(len(row[i]) for row in cells) for i in range(3)]
        lines = [self.title, ""]
        for what, found, expected, mark in cells:
            lines.append(f"{what:<{widths[0]}}  {found:>{widths[1]}}  {expected:>{widths[2]}}  {mark}".rstrip())
        lines += ["", *(f"PROBLEM {row.what}: {row.problem}" for row in self.rows if row.problem)]
        lines += [f"note: {note}" for note in self.notes]
        lines.append("usable" if self.ok else "not usable as it is")
        return "\n".join(lines)


def broken_photos(paths: Sequence[Path], what: str, progress: bool) -> list[int]:
    """The numbers of pictures that cannot be read; arguments as of `decoded_sizes`."""
    return [number for number, size in enumerate(decoded_sizes(paths, what, progress)) if size is None]


def decoded_sizes(paths: Sequence[Path], what: str, progress: bool) -> list[tuple[int, int] | None]:
    """Decodes pictures on all cores.

    Args:
        paths: Of files that are there.
        what: Said beside the bar.
        progress: Shows a bar when it takes longer than five seconds.

    Returns:
        Height and width of each, pixels; None of those that cannot be read.
    """

    def size_of(path: Path) -> tuple[int, int] | None:
        try:
            height, width, _ = read_photo(path).shape
        except (OSError, ValueError):
            return None
        return height, width

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        done = tqdm(
            pool.map(size_of, paths, chunksize=64),
            total=len(paths),
            desc=f"Decoding {what}",
            unit=" images",
            delay=5,
            disable=not progress,
        )
        return list(done)


def listed(names: Sequence[str], trouble: str) -> str:
    """`3 missing: a, b, c`; at most `SHOWN` are named, and nothing is said of none."""
    more = " ..." if len(names) > SHOWN else ""
    return f"{len(names)} {trouble}: {', '.join(names[:SHOWN])}{more}" if names else ""
