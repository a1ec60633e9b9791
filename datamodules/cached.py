"""What is parsed once and kept in the user's cache, whole or not at all, until its source changes."""

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
ABANDONED = 24 * 3600  # seconds after which the draft of a killed process is removed


def keep(
    write: Callable[[Path], None],
    *,
    cache: Path | None,
    kind: str,
    stem: str,
    source: Path | str,
    state: str | bytes,
    told: tuple[str, str],
    suffix: str = "",
) -> Path:
    """Finds what was written before, or has it written; earlier states of the same source are removed.

    Args:
        write: Makes a file or a folder at the path that it is given, where nothing is yet.
        cache: Folder for it; None is the one of this kind in the user's cache.
        kind: Folder in the user's cache.
        stem: Begins the name, for people who look.
        source: What is parsed; the same name and another source do not meet.
        state: All that the result hangs on: sizes and times of files, version of the layout.
        told: What could not be written, and how much room it takes, where there is none.
        suffix: Ends the name.

    Raises:
        OSError: It cannot be written; what `write` raises about files that are not in the cache stays as it is.
    """
    home = cache or user_cache_path("hand-model-zoo") / kind
    name = f"{stem}-{_digest(str(source))}-"
    path = home / f"{name}{_digest(state)}{suffix}"
    if path.exists():
        return path
    draft = home / f".{path.name}.{os.getpid()}.tmp"
    try:
        home.mkdir(parents=True, exist_ok=True)
        _clean(home, name, path)
        _remove(draft)  # of a killed process that had our number
        write(draft)
        try:
            os.replace(draft, path)
        except OSError:
            if not path.exists():  # else another process was faster
                raise
    except OSError as error:
        if error.errno not in _NO_ROOM or not _concerns(error, draft):
            raise
        raise OSError(
            error.errno,
            f"{told[0]} could not be written to {home} ({error.strerror}). It takes {told[1]}. "
            "Make room there or set --data.cache to another folder.",
        ) from error
    finally:
        _remove(draft)
    return path


def _clean(home: Path, name: str, current: Path) -> None:
    """Removes earlier states, and drafts of them that nobody finishes."""
    for found in home.iterdir():
        if found.name.startswith(name) and found != current:  # which another process may just have finished
            _remove(found)
        elif found.name.startswith(f".{name}") and found.suffix == ".tmp":
            with suppress(OSError):
                if time.time() - found.stat().st_mtime > ABANDONED:
                    _remove(found)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _concerns(error: OSError, draft: Path) -> bool:
    """Whether it came of writing, not of reading the source."""
    if error.filename is None:
        return True
    path = Path(os.fsdecode(error.filename))
    return path == draft or draft in path.parents or path in draft.parents


def _digest(data: str | bytes) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()[:12]
