"""Everything that a run logs, as a file of rows and as a picture."""

import csv
import math
import os
from collections.abc import Mapping
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
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if not file.tell():
                writer.writerow(COLUMNS)
            writer.writerows((step or 0, name, float(value)) for name, value in metrics.items() if name != "epoch")


def read_curves(path: str | os.PathLike[str]) -> dict[str, dict[int, float]]:
    """Name to step to value; of rows written twice, before and after a resumption, the last counts."""
    curves: dict[str, dict[int, float]] = {}
    with Path(path).open(newline="") as file:
        for row in csv.DictReader(file):
            curves.setdefault(row["name"], {})[int(row["step"])] = float(row["value"])
    return {name: dict(sorted(curve.items())) for name, curve in curves.items()}


def draw_curves(curves: Mapping[str, Mapping[int, float]], path: str | os.PathLike[str], columns: int = 3) -> None:
    """One small plot a name, losses on a logarithmic scale with a running mean, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = {name: curve for name, curve in curves.items() if len(curve) > 1}
    if not drawn:
        return
    rows = math.ceil(len(drawn) / columns)
    figure = Figure(figsize=(4 * columns, 2.4 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (name, curve) in enumerate(sorted(drawn.items()), start=1):
        axes = figure.add_subplot(rows, columns, place)
        steps, values = list(curve), list(curve.values())
        long = len(values) > 50
        axes.plot(steps, values, lw=0.6 if long else 1.4, color="#9db4d6" if long else "#1f4e9c")
        if long:
            axes.plot(steps, _smooth(values), lw=1.4, color="#1f4e9c")
        if "loss" in name and min(values) > 0:
            axes.set_yscale("log")
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3, lw=0.5)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    figure.savefig(part, format="png", dpi=100)
    os.replace(part, path)


def _smooth(values: list[float]) -> list[float]:
    keep = 1 - 10 / len(values)
    mean, out = values[0], []
    for value in values:
        if math.isfinite(value):
            mean = keep * mean + (1 - keep) * value
        out.append(mean)
    return out
