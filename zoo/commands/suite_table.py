"""Tables of measured numbers: intervals by bootstrap over hands, Markdown and JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from torch import Tensor

WIDTH = 100  # columns of a line of Markdown
DRAWS = 2000
COVERED = 0.95


class Interval(NamedTuple):
    """A mean over hands and where 95 % of the means of resampled hands lie."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        digits = 2 if abs(self.mean) < 10 else 1
        return f"{self.mean:.{digits}f} ({self.low:.{digits}f}..{self.high:.{digits}f})"


@dataclass
class Table:
    """One table.

    Args:
        number: In the suite.
        title: What it shows.
        columns: Heads of the columns, the keys of the rows.
        rows: Text, numbers and intervals by column.
        notes: Sentences below.
        samples: Hands behind each row.
        data: Further numbers, for pictures.
    """

    number: int | str
    title: str
    columns: Sequence[str]
    rows: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)
    samples: int = 0
    data: dict[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        """Title, table and notes; lines of at most `WIDTH` columns."""
        cells = [list(self.columns), *([_text(row.get(name)) for name in self.columns] for row in self.rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(self.columns))]
        lines = ["| " + " | ".join(x.ljust(w) for x, w in zip(line, widths, strict=True)) + " |" for line in cells]
        rule = ["-" * (w + 2) for w in widths]
        if max(map(len, lines)) > WIDTH:  # Markdown needs no padding
            lines, rule = ["| " + " | ".join(line) + " |" for line in cells], ["---"] * len(widths)
        lines.insert(1, "|" + "|".join(rule) + "|")
        notes = [line for note in self.notes for line in ("", *_wrapped(note))]
        return "\n".join([f"### {self.number}. {self.title}", "", *lines, *notes, ""])

    def record(self) -> dict[str, Any]:
        """For JSON; intervals as mean, low, high."""
        rows = [{k: v._asdict() if isinstance(v, Interval) else v for k, v in row.items()} for row in self.rows]
        return {**asdict(self), "columns": list(self.columns), "rows": rows}


def restored(record: Mapping[str, Any]) -> Table:
    """The table of a record."""
    rows = [{k: Interval(**v) if isinstance(v, dict) else v for k, v in row.items()} for row in record["rows"]]
    return Table(**{**record, "rows": rows})


def interval(values: Tensor, seed: int = 0) -> Interval:
    """The mean of one value a hand, with its bootstrap interval. NaN: a hand that could not be measured.

    Args:
        values: (b,); for a paired difference, the differences.
        seed: Of the resampling; equal seeds resample equal hands.
    """
    values = values.detach().double().cpu()
    values = values[values.isfinite()]
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"))
    means = values[drawn(len(values), seed)].mean(-1)
    return _interval(values.mean(), means)


def pairs_interval(apart: Tensor, seed: int = 0) -> Interval:
    """The mean over pairs of different hands, and its interval when hands are resampled.

    Args:
        apart: (b, b) distances.
        seed: Of the resampling.
    """
    means = pair_means(apart, seed)
    return _interval(apart.sum() / (len(apart) * (len(apart) - 1)), means)


def pair_means(apart: Tensor, seed: int = 0) -> Tensor:
    """Means over pairs, of resampled hands; a hand is not paired with itself, however often it is drawn."""
    apart = apart.double().cpu()
    counts = torch.nn.functional.one_hot(drawn(len(apart), seed), len(apart)).sum(1).double()
    total = torch.einsum("di,ij,dj->d", counts, apart, counts)
    return total / (counts.sum(-1).square() - counts.square().sum(-1)).clamp_min(1)


def difference(mean: float, draws: Tensor) -> Interval:
    """An interval from draws of a difference."""
    return _interval(torch.tensor(mean), draws)


def drawn(n: int, seed: int) -> Tensor:
    """Rows of `DRAWS` resamples."""
    return torch.randint(n, (DRAWS, n), generator=torch.Generator().manual_seed(seed))


def paper(suite: str = "hhmr") -> dict[str, Any]:
    """The figures of a suite's paper."""
    found: dict[str, Any] = yaml.safe_load((Path(__file__).parent / f"suite_{suite}.yaml").read_text())
    return found


def of_paper(pair: Sequence[float] | None) -> str:
    """Two of the paper's figures in one cell."""
    return "" if pair is None else " / ".join(f"{value:.2f}" for value in pair)


def load(path: Path) -> Table:
    return restored(json.loads(path.read_text())["table"])


def _interval(mean: Tensor, draws: Tensor) -> Interval:
    tails = torch.tensor([(1 - COVERED) / 2, (1 + COVERED) / 2], dtype=draws.dtype)
    low, high = draws.quantile(tails).tolist()
    return Interval(float(mean), low, high)


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, WIDTH)
