"""Everything that a run logs, as a file of rows."""

import csv
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

COLUMNS = ("step", "name", "value")


class CurveLog(Logger):
    """Appends one row a number to a CSV file: step, name, value.

    Rows are only ever added, so that a resumed run goes on in the same file and an interrupted one has lost nothing.
    Lightning's CSVLogger deletes what it finds and rewrites the file whenever a new name appears.

    Args:
        path: The file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path = Path(path)

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The run's `config.yaml` has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torn = _is_torn(self.path)
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if torn:
                file.write("\n")
            if not file.tell():
                writer.writerow(COLUMNS)
            writer.writerows((step or 0, name, float(value)) for name, value in metrics.items() if name != "epoch")


def read_curves(path: str | os.PathLike[str]) -> dict[str, dict[int, float]]:
    """Name to step to value; of rows written twice, before and after a resumption, the last counts."""
    curves: dict[str, dict[int, float]] = {}
    with Path(path).open(newline="") as file:
        for row in csv.DictReader(file):
            with suppress(ValueError, TypeError):  # of a row that was cut, as by a full disk
                curves.setdefault(row["name"], {})[int(row["step"])] = float(row["value"])
    return {name: dict(sorted(curve.items())) for name, curve in curves.items()}


def _is_torn(path: Path) -> bool:
    """Whether the last row was not written to its end."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"
