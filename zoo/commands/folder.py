"""Where a run puts its files."""

import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from zoo.registry import UsageError

PARENT = "runs"
_INHERITED = "ZOO_RUN_FOLDER"  # the processes of one run agree on the folder through the environment
_claimed: list[Path] = []  # by this process


def choose(out: str | None, name: str) -> Path:
    """`--out`, or `runs/<name>/<time>` when it is not given."""
    if out is not None:
        return Path(out)
    if "LOCAL_RANK" in os.environ and _INHERITED in os.environ:
        return Path(os.environ[_INHERITED])
    stamp = time.strftime("%Y%m%d-%H%M%S")
    path = Path(PARENT, name, stamp)
    for n in range(2, 100):
        if not path.exists():
            break
        path = Path(PARENT, name, f"{stamp}-{n}")
    return path


def claim(
    folder: Path, overwrite: bool = False, resumed_from: Path | None = None, inputs: Iterable[Path | str | None] = ()
) -> Path:
    """Makes the folder, and refuses one that holds something already.

    Args:
        folder: Where the run will write.
        overwrite: Empty the folder first.
        resumed_from: A checkpoint; when it lies in the folder, the run goes on there.
        inputs: What the run reads, which emptying the folder must not delete; words that are no paths do no harm.

    Raises:
        UsageError: The folder is a file, or holds an input and would be emptied.
        FileExistsError: It holds something else, and may not be emptied.
    """
    resumes = resumed_from is not None and folder.resolve() in [resumed_from.resolve(), *resumed_from.resolve().parents]
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file. Give a folder that is empty or does not exist.")
    if folder.is_dir() and any(folder.iterdir()) and not resumes:
        if not overwrite:
            raise FileExistsError(
                f"--out {folder} is not empty. Give another folder, --overwrite to replace what is there, "
                f"or --ckpt {folder} to go on from its last checkpoint."
            )
        if not _is_ours(folder):
            raise FileExistsError(
                f"--out {folder} does not look like the folder of a run, so --overwrite will not empty it. "
                "Give another folder."
            )
        for path in _there(inputs):
            if _lies_in(path, folder):
                raise UsageError(
                    f"--overwrite would delete {path}, which this run reads, for it lies in --out {folder}. Give "
                    "another folder with --out, or move what is read out of it."
                )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[_INHERITED] = str(folder)
    _claimed.append(folder)
    return folder


def abandon() -> None:
    """Takes the claimed folder back when nothing but its settings was written, so that the next try may use it."""
    while _claimed:
        folder = _claimed.pop()
        if folder.is_dir() and [path.name for path in folder.iterdir()] == ["config.yaml"]:
            shutil.rmtree(folder)


def _there(words: Iterable[Path | str | None]) -> list[Path]:
    """Those of the words that are paths of something: of names and texts only a look at the disk tells."""
    found = []
    for word in words:
        path = Path(word or "").expanduser()
        with suppress(OSError):  # a text may be longer than a name can be
            if word and path.exists():
                found.append(path)
    return found


def _lies_in(path: Path | str, folder: Path) -> bool:
    """Whether a path, or what it links to, is the folder or in it."""
    places = (os.path.abspath(path), os.path.realpath(path))
    wholes = (os.path.abspath(folder), os.path.realpath(folder))
    return any(Path(place).is_relative_to(whole) for place in places for whole in wholes)


def _is_ours(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("config.yaml", "manifest.json"))


def is_first_process() -> bool:
    """Whether this process speaks and writes for the run."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
