"""Where a run puts its files."""

import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from zoo.commands.aside import BEFORE, MOVING, OWN, give_up, lock, put_back, remove, set_aside, unlock
from zoo.registry import UsageError

PARENT = "runs"
_INHERITED = "ZOO_RUN_FOLDER"  # the processes of one run agree on the folder through the environment
SETTINGS = "config.yaml"
_EARLY = (SETTINGS, "log.csv", "wandb")  # what a run and its trackers make before there is anything to keep


class _Claim(NamedTuple):
    folder: Path
    settings: str
    goes_on: bool


_claimed: list[_Claim] = []  # by this process, and not begun
_locks: list[tuple[Path, IO[Any] | None]] = []  # of this process


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


def goes_on(out: Path, ckpt: Path | None, command: str, overwrite: bool) -> bool:
    """Whether a run goes on in its own folder.

    Args:
        out: The folder.
        ckpt: A checkpoint file, or released weights.
        command: fit, validate, test or predict.
        overwrite: The folder shall be emptied.

    Raises:
        UsageError: Another command than fit would write into the folder of the run.
    """
    within = ckpt.resolve().parent if ckpt is not None and ckpt.is_file() else None
    own = within is not None and out.resolve() == (within.parent if within.name == "checkpoints" else within)
    if own and command != "fit":
        raise UsageError(
            f"--out {out} is the run of --ckpt {ckpt}, and {command} would write over its settings and scores. "
            "Give another folder, or leave --out away for a new one."
        )
    return own and not overwrite


def claim(folder: Path, overwrite: bool = False, inputs: Iterable[Path | str | None] = ()) -> Path:
    """Makes the folder, and refuses one that holds something already.

    Args:
        folder: Where the command will write.
        overwrite: Empty the folder first.
        inputs: What the command reads, which emptying the folder must not delete; words that are no paths do no harm.

    Raises:
        UsageError: The folder is a file, or holds an input and would be emptied.
        FileExistsError: It holds something else, and may not be emptied.
    """
    recover(folder)
    if _holds_something(folder):
        _refuse_full(folder, overwrite, inputs)
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def claim_run(
    folder: Path,
    settings: str,
    overwrite: bool = False,
    goes_on: bool = False,
    inputs: Iterable[Path | str | None] = (),
) -> None:
    """As `claim`, for a run: what lies there already is given up only by `begin`, and `leave` brings it back.

    Args:
        folder: Where the run will write.
        settings: The text of its `config.yaml`. A folder with the same, and nothing that took time, is free: there
            the same run was stopped before its first checkpoint.
        overwrite: What is there shall go.
        goes_on: The run goes on in its own folder, with all that is there.
        inputs: As for `claim`.
    """
    if folder.exists() and not folder.is_dir():
        raise _is_file(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _locks.append((folder, lock(folder)))
    put_back(folder, _EARLY)  # of a run that was killed before it began
    if not goes_on and _holds_something(folder):
        if not _is_left_over(folder, settings):
            _refuse_full(folder, overwrite, inputs)
        set_aside(folder)
    _claimed.append(_Claim(folder, settings, goes_on))
    if not goes_on:
        write_text(folder / SETTINGS, settings)
    os.environ[_INHERITED] = str(folder)


def recover(folder: Path) -> None:
    """Brings back what a run that was killed before it began had moved aside.

    Raises:
        FileExistsError: Such a run is about to begin.
    """
    if is_first_process() and any((folder / name).is_dir() for name in (BEFORE, MOVING)):
        held = lock(folder)
        put_back(folder, _EARLY)
        unlock(folder, held)


def begin() -> None:
    """The run works: what its folder held before goes, and the settings of one that goes on are written."""
    while _claimed:
        run = _claimed.pop()
        write_text(run.folder / SETTINGS, run.settings)
        give_up(run.folder)


def leave() -> None:
    """The run is over. The folder of one that never began is left as it was before."""
    while _claimed:
        run = _claimed.pop()
        if not run.goes_on:
            if not (run.folder / BEFORE).is_dir():
                for path in [path for path in run.folder.iterdir() if _is_worthless(path)]:
                    remove(path)
            put_back(run.folder, _EARLY)
    while _locks:
        folder, held = _locks.pop()
        unlock(folder, held)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _holds_something(folder: Path) -> bool:
    if folder.exists() and not folder.is_dir():
        raise _is_file(folder)
    return folder.is_dir() and any(path.name not in OWN for path in folder.iterdir())


def _is_file(folder: Path) -> UsageError:
    return UsageError(f"--out {folder} is a file. Give a folder that is empty or does not exist.")


def _refuse_full(folder: Path, overwrite: bool, inputs: Iterable[Path | str | None]) -> None:
    """Says why a folder may not be emptied, if so."""
    if not overwrite:
        saved = any(any(place.glob("*.ckpt")) for place in (folder, folder / "checkpoints"))
        go_on = f", or --ckpt {folder} to go on from its last checkpoint" if saved else ""
        give = "Give another folder, " if go_on else "Give another folder, or "
        raise FileExistsError(f"--out {folder} is not empty. {give}--overwrite to replace what is there{go_on}.")
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


def _is_left_over(folder: Path, settings: str) -> bool:
    """Whether the same run was stopped there before it made anything."""
    told = folder / SETTINGS
    same = told.is_file() and told.read_text() == settings
    return same and all(path.name in OWN or _is_worthless(path) for path in folder.iterdir())


def _is_worthless(path: Path) -> bool:
    """Whether something of a run took no time to make: no whole checkpoint, no scores, nothing of somebody's."""
    if path.name == "checkpoints" and path.is_dir():
        return all(part.suffix == ".part" for part in path.iterdir())
    return path.name in _EARLY


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
    return any((folder / name).exists() for name in (SETTINGS, "manifest.json"))


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
