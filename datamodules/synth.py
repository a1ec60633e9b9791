"""Writes a synthetic dataset, a twin, in a real dataset's layout."""

from importlib import import_module
from pathlib import Path

from datamodules.check import home


def synth(name: str, out: Path, n: int, seed: int = 0, *, workers: int = 0) -> Path:
    """Writes a twin: OpenHand's hands in the files, keys, units and quirks of the real dataset.

    Args:
        name: Of the real dataset; `datamodules/NAME/twin.py` knows how.
        out: Its folder: new or empty, or for freihand an unfinished one of the same options.
        n: Training samples; an eighth as many for the other parts.
        seed: Other seeds give other hands.
        workers: Processes that draw; 0 draws in this one.

    Returns:
        The folder.
    """
    twin = import_module(f"datamodules.{home(name, 'twin')}.twin")
    folder = Path(out).expanduser()
    twin.synth(folder, n, seed, workers)
    return folder
