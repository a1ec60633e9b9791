"""What a run's folder held before, kept in a corner of it until the new run has begun; and who works in the folder."""

import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

BEFORE = ".before"  # whole: everything else in the folder is the new run's
MOVING = ".before.part"  # on its way there or back: everything else in the folder was there before, too
GONE = ".before.gone"  # given up, and being deleted
LOCK = ".lock"
OWN = (BEFORE, MOVING, GONE, LOCK)


def lock(folder: Path) -> IO[Any] | None:
    """Keeps other processes out of a folder until `unlock`. A dead process holds no lock.

    Args:
        folder: Of a run; it exists.

    Returns:
        What `unlock` takes; None where the system has no such locks.

    Raises:
        FileExistsError: Another process works there.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    while True:
        file = (folder / LOCK).open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(folder / LOCK)):
                return file
        except FileNotFoundError:  # unlocked just now, and the file with it
            pass
        except BlockingIOError:
            file.close()
            raise FileExistsError(
                f"In {folder} another process works now. Wait until it ends, or give another folder with --out."
            ) from None
        except OSError:  # a disk without locks
            return file
        file.close()


def unlock(folder: Path, held: IO[Any] | None) -> None:
    """Lets others in."""
    if held is not None:
        (folder / LOCK).unlink(missing_ok=True)
        held.close()


def set_aside(folder: Path) -> None:
    """Moves all that is in a folder into its corner; the folder itself may be a link, or the root of a disk."""
    there = [path for path in folder.iterdir() if path.name not in OWN]
    (folder / MOVING).mkdir()
    try:
        for path in there:
            path.rename(folder / MOVING / path.name)
        (folder / MOVING).rename(folder / BEFORE)
    except BaseException:
        _move_back(folder)
        raise


def put_back(folder: Path, made: Collection[str]) -> None:
    """Undoes `set_aside`, however far that or an earlier `put_back` came.

    Args:
        folder: Of a run that has not begun.
        made: Names of what it has made there, which goes; so does what has the name of something that comes back.
    """
    if (folder / BEFORE).is_dir():
        back = {path.name for path in (folder / BEFORE).iterdir()}
        for path in [path for path in folder.iterdir() if path.name in back or path.name in made]:
            remove(path)
        (folder / BEFORE).rename(folder / MOVING)
    _move_back(folder)


def give_up(folder: Path) -> None:
    """Deletes what was set aside; when that is interrupted, nothing of it comes back."""
    if (folder / BEFORE).is_dir():
        shutil.rmtree(folder / GONE, ignore_errors=True)
        (folder / BEFORE).rename(folder / GONE)
    shutil.rmtree(folder / GONE, ignore_errors=True)


def remove(path: Path) -> None:
    """Deletes a file, a link or a folder."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _move_back(folder: Path) -> None:
    if (folder / MOVING).is_dir():
        for path in (folder / MOVING).iterdir():
            path.rename(folder / path.name)
        (folder / MOVING).rmdir()
