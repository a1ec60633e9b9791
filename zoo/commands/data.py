"""`data synth`, `data check`, `data draw`."""

import shlex
from pathlib import Path
from typing import Literal

from zoo.commands.own import flags_here
from zoo.registry import UsageError, find

Split = Literal["train", "val", "test", "predict"]


def synth(name: str, out: Path, n: int = 100, seed: int = 0, workers: int = 0) -> None:
    """Writes a synthetic dataset in NAME's real layout on disk.

    Args:
        name: Of the real dataset.
        out: Folder; new or empty, or for freihand an unfinished one of the same options, which is gone on with.
        n: Training samples; an eighth as many for the other parts.
        seed: Other seeds give other hands.
        workers: Processes that draw; 0 draws in this one.
    """
    _known(name)
    if n < 1:
        raise UsageError(f"-n {n} makes nothing. Give a number from 1.")
    from datamodules.synth import synth as write

    print(f"{write(name, out, n, seed, workers=workers)} is written. Look at it: {_again('draw', name, out)}")


def check(name: str, root: Path, progress: bool = True) -> int:
    """Says what is found, missing and corrupt; exit code 1 if it cannot be used.

    Args:
        name: Of the dataset.
        root: Its folder.
        progress: Shows a bar when it takes long.
    """
    _known(name)
    from datamodules.check import check as examine

    report = examine(name, root, progress=progress)
    print(flags_here(str(report), ("root",)))
    return 0 if report.ok else 1


def draw(
    name: str,
    root: Path | None = None,
    out: Path | None = None,
    n: int = 16,
    seed: int = 0,
    split: Split = "train",
    size: int = 224,
    view: Literal["hands", "scenes"] | None = None,
    mano: Path | None = None,
    cache: Path | None = None,
) -> None:
    """A contact sheet of crops or whole pictures with their labels drawn on.

    Args:
        name: Of the dataset.
        root: Its folder; openhand finds its own.
        out: The picture, or a folder for NAME.png; NAME.png in this folder when not given.
        n: How many hands or scenes.
        seed: Other seeds show others.
        split: Of the dataset.
        size: Side of each crop, pixels; a whole picture has twice that.
        view: hands = each hand's crop, as it is and as training varies it; scenes = whole pictures with their meshes,
            the part around the hands, and text. Without it, scenes where there are captions or pairs of hands.
        mano: Folder of MANO_RIGHT.pkl and MANO_LEFT.pkl, for meshes of datasets that store MANO's parameters.
        cache: Folder for indexes and parsed label files; the user's cache when not given.
    """
    _known(name)
    if root is None and name != "openhand":
        raise UsageError(f"data draw {name} needs --root, the folder of the dataset.")
    from datamodules.draw import draw as paint

    picture = out or Path(f"{name}.png")
    path = paint(name, root, picture, n, seed, split=split, size=size, view=view, mano=mano, cache=cache)
    print(f"{path} is drawn.")


def _known(name: str) -> None:
    find("data", name)  # says which names there are


def _again(verb: str, name: str, root: Path) -> str:
    return f"python -m zoo data {verb} {name} --root {shlex.quote(str(root))}"


COMMANDS = {"synth": synth, "check": check, "draw": draw}
