"""What `sample` says of a run, whether it makes hands or pictures."""

import sys
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "lightning", "numpy", "hand-model-zoo")
ELSEWHERE = ("out", "overwrite", "resume", "model", "ckpt")  # options that decide no result, or that `checkpoint` says


def options_of(words: Mapping[str, Any]) -> dict[str, Any]:
    """What the results depend on, of a command's arguments."""
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in words.items()}
    return {key: value for key, value in plain.items() if key not in ELSEWHERE}


def facts(header: Mapping[str, Any], status: str, began: float) -> dict[str, Any]:
    """The command, how it went, and what ran it.

    Args:
        header: What else there is to say.
        status: "running", "done" or "stopped".
        began: By `time.time`.
    """
    return {
        "command": ["python", "-m", "zoo", *sys.argv[1:]],
        "status": status,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z") if status != "running" else None,
        "seconds": round(time.time() - began, 1),
        **header,
        "versions": {"python": sys.version.split()[0], **_versions()},
    }


def failed(failures: Mapping[str, str]) -> list[dict[str, str]]:
    """Rows for what there is no result for.

    Args:
        failures: Name to reason.
    """
    return [{"name": name, "status": "failed", "reason": reason} for name, reason in failures.items()]


def say_failed(failures: Mapping[str, str], most: int = 10) -> None:
    """Prints what there is no result for.

    Args:
        failures: Name to reason.
        most: Longest list.
    """
    for name, reason in list(failures.items())[:most]:
        print(f"  left out {name}: {reason}", file=sys.stderr)
    if len(failures) > most:
        print(f"  and {len(failures) - most} more; manifest.json lists all", file=sys.stderr)


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "from the source folder"
    return found
