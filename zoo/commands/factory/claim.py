"""Whose folder a set's is: its manifest, and what must agree for the set to go on."""

import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from zoo.commands.folder import claim, write_text
from zoo.registry import UsageError

_ADVICE = "Give the same options to go on, another folder with --out, or --overwrite."


def claim_set(
    out: Path, settings: dict[str, Any], overwrite: bool = False, inputs: Iterable[Path | str | None] = ()
) -> dict[str, Any]:
    """The manifest of the folder: a new one, or that of an unfinished or finished set of the same settings.

    Args:
        out: The folder.
        settings: What decides the set.
        overwrite: Empty the folder first.
        inputs: Words that may be files or folders, which emptying must not delete.
    """
    if overwrite or not (out / "manifest.json").is_file():
        inside = list(out.iterdir()) if out.is_dir() else []
        if overwrite or [path for path in inside if not path.name.startswith(".")]:
            with _still(out):
                claim(out, overwrite, inputs=inputs)
        write_manifest(out, {"status": "unfinished", **settings})
    found = read_manifest(out)
    other = _other(out, found, settings)
    if other and not _is_begun(out, found):  # such as after a first call that failed at once
        with _still(out):
            shutil.rmtree(out / "data", ignore_errors=True)
            write_manifest(out, {"status": "unfinished", **settings})
        return read_manifest(out)
    if other:
        raise UsageError(other)
    return found


def read_manifest(out: Path) -> dict[str, Any]:
    """What is known of a set."""
    try:
        found: dict[str, Any] = json.loads((out / "manifest.json").read_text())
        _ = found["status"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{out}/manifest.json is damaged. Give another folder, or --overwrite.") from error
    return found


def write_manifest(out: Path, manifest: dict[str, Any]) -> None:
    """Notes it, after the command of this process."""
    command = {"command": ["python", "-m", "zoo", *map(placeless, sys.argv[1:])]}
    write_text(out / "manifest.json", json.dumps({**command, **manifest}, indent=1, ensure_ascii=False) + "\n")


def placeless(word: str) -> str:
    """A word of the command line, but of absolute paths the last part: a set says nothing of the disk it came from."""
    flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return flag + equals + (Path(value).name if Path(value).is_absolute() else value)


def _known(key: str, settings: dict[str, Any]) -> Any:
    """What must agree: where weights lie may differ, which they are may not."""
    value = settings.get(key)
    return value[{"checkpoint": "sha256", "base": "hash"}[key]] if key in ("checkpoint", "base") and value else value


def _other(out: Path, found: dict[str, Any], settings: dict[str, Any]) -> str:
    """What tells that a folder's set is another one; empty where it is the same."""
    pairs = {
        key: (_known(key, found), _known(key, settings))
        for key in ("checkpoint", "base", "sampler", "scale", "strength", "tas", "size")
    }
    before, now = found.get("options", {}), settings["options"]
    pairs |= {f"--{key}": (before.get(key), now.get(key)) for key in sorted(before.keys() | now.keys())}
    for key, (old, new) in pairs.items():
        if old != new:
            if key == "--n":
                return f"The set in {out} has {old} pictures, not {new}. Make more in another folder, with --seed."
            return f"The pictures in {out} are made with {key} {old}, not {new}. {_ADVICE}"
    files, held = found.get("files", {}), settings.get("files", {})
    for key in sorted(files.keys() | held.keys()):
        if files.get(key) != held.get(key):
            return f"The pictures in {out} are made with a --{key} of other content. {_ADVICE}"
    return ""


def _is_begun(out: Path, found: dict[str, Any]) -> bool:
    """Whether there are pictures, or was anything that is known of them."""
    from zoo.commands.factory.shard import PARTS

    kept = any((out / PARTS).glob("*.npz")) or any((out / "data" / "rgb").glob("[!.]*"))
    return found["status"] != "unfinished" or kept


@contextmanager
def _still(out: Path) -> Iterator[None]:
    """Keeps the processes out that make pictures in a folder.

    Raises:
        OSError: One does already.
    """
    from zoo.commands.factory.finish import alone
    from zoo.commands.factory.shard import PARTS

    with ExitStack() as held:
        for lock in sorted((out / PARTS).glob(".lock*")):
            held.enter_context(alone(lock, f"{out}: another process makes pictures there. Stop it, or change --out."))
        yield
