"""What is wrong with a path that shall be a dataset's folder."""

from pathlib import Path

_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")


def not_a_folder(path: Path) -> str | None:
    """One sentence and the fix, or None: it is a folder.

    Args:
        path: As the user gave it.
    """
    if path.is_dir():
        return None
    if not path.exists():
        return f"{path} is not there. Pass the dataset's folder with --data.root."
    if path.suffix.lower() in _ARCHIVES:
        return f"{path} is an archive, which must be unpacked first. Unpack it and pass its folder with --data.root."
    return f"{path} is a file and not a folder. Pass the dataset's folder with --data.root."
