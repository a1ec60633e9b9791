"""Which weights a command takes, what they are, and how to go on after a stop."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from zoo.commands import folder
from zoo.registry import UsageError, without


def newest(model: str, preferred: Sequence[str] = ()) -> str:
    """Weights that ship, or else the folder of the newest run.

    Args:
        model: Name of the model.
        preferred: Names of weights that are looked for first.
    """
    import checkpoints

    for name in [*preferred, model]:
        if name in checkpoints.names():
            print(f"Taking the weights {name} that come with the project; --ckpt takes others.")
            return name
    files = sorted(Path(folder.PARENT, model).glob("*/checkpoints/*.ckpt"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise UsageError(
            f"There are no weights of {model} with the project and no run of it in {folder.PARENT}/{model}. "
            f"Give --ckpt, or train one first: python -m zoo fit --model {model}"
        )
    run = str(files[-1].parent.parent)
    print(f"Taking the newest run, {run}; --ckpt takes others.")
    return run


def digest(source: Path) -> str:
    """SHA-256 of a checkpoint, or of the weights in a released folder."""
    from checkpoints.load import sha256

    return sha256(source / "model.safetensors" if source.is_dir() else source)


def again(target: Path) -> str:
    """The command that goes on with a stopped run."""
    words = [word for word in without(sys.argv[1:], "out") if word not in ("--resume", "--overwrite")]
    return shlex.join(["python", "-m", "zoo", *words, "--out", str(target), "--resume"])


def say_stopped(made: int, total: int, what: str, target: Path) -> None:
    """Prints how far a stopped run came.

    Args:
        made: Results that are there.
        total: That were asked for.
        what: They are: hands or pictures.
        target: Where.
    """
    print(
        f"\nStopped after {made} of {total} {what}; they are whole in {target}. Go on with: {again(target)}",
        file=sys.stderr,
    )
