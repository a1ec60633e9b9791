"""Whether an earlier run was told the same, so that `--resume` may go on with what it made."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.registry import UsageError


def same_run(folder: Path, header: Mapping[str, Any], what: str, free: tuple[str, ...]) -> None:
    """Refuses to mix what was made in different ways.

    Args:
        folder: Of the earlier run.
        header: Of the manifest: `options`, as the command line gave them, and `checkpoint` with its `sha256`.
        what: Is made, for the message: hands or pictures.
        free: Options that may change.

    Raises:
        UsageError: Another option or other weights.
        ValueError: The manifest of the folder is damaged.
    """
    try:
        before = _decisive(json.loads((folder / "manifest.json").read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder}/manifest.json is damaged, so --resume cannot go on from it. Start anew with --overwrite, or in "
            "another folder with --out."
        ) from error
    now = _decisive(json.loads(json.dumps(header)))  # lists and tuples are one in the file
    for key in sorted((before.keys() | now.keys()) - set(free)):
        if before.get(key) != now.get(key):
            raise UsageError(
                f"--resume: the {what} in {folder} were made with {key} {before.get(key)}, not {now.get(key)}. "
                "Give the same options, or another folder with --out."
            )


def _decisive(manifest: dict[str, Any]) -> dict[str, Any]:
    return {**manifest["options"], "checkpoint": manifest["checkpoint"]["sha256"]}
