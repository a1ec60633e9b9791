"""Short trainings behind rows of tables, each kept when it is finished."""

import json
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from zoo.commands.folder import write_text
from zoo.commands.suite_progress import Progress


class Budget(NamedTuple):
    """What every training gets."""

    minutes: float
    steps: int | None = None  # instead of minutes
    model: str = "hhmr"

    def words(self) -> list[str]:
        """Options of `fit`."""
        if self.steps is not None:
            return [f"--trainer.max_steps={self.steps}", "--trainer.max_time=null"]
        seconds = max(1, round(60 * self.minutes))
        return [f"--trainer.max_time=00:{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"]

    def __str__(self) -> str:
        return f"{self.minutes:g} minutes" if self.steps is None else f"{self.steps} steps"


class Trained(NamedTuple):
    """A short training's result."""

    method: Any  # of the kind that was trained
    steps: int
    seconds: float


def fitted(name: str, words: Sequence[str], folder: Path, budget: Budget, progress: Progress) -> Trained:
    """A finished training of an earlier run, or a new one.

    Args:
        name: Of the training.
        words: Of the command line, without where its files go; other words make a new training.
        folder: Of all trainings.
        budget: That the words hold, to be said.
        progress: Says what is trained.
    """
    import checkpoints
    from zoo.commands.train import train

    out, done = folder / name, folder / f"{name}.json"
    if not done.is_file() or json.loads(done.read_text())["words"] != list(words):
        progress.say(f"training {name}, {budget}: python -m zoo {' '.join(words)}")
        started = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{name}.log").open("w") as log, redirect_stdout(log):
            if train([*words, f"--out={out}", "--overwrite"]):
                raise ValueError(f"The training of {name} ended early; the same command starts it again.")
        seconds = time.monotonic() - started
        steps = int(json.loads((out / "metrics.json").read_text())["step"])
        write_text(done, json.dumps({"words": list(words), "steps": steps, "seconds": seconds}) + "\n")
    facts = json.loads(done.read_text())
    return Trained(checkpoints.load(out), facts["steps"], facts["seconds"])
