"""Turns exceptions into one sentence and an exit code."""

import errno
import os
import re

from zoo.registry import UsageError

# by name, so that nothing has to be imported
USER = {"ValueError", "ModuleNotFoundError", "RuntimeError", "MisconfigurationException"}


def one_line(text: str, limit: int = 600) -> str:
    """White space collapsed; long texts cut."""
    text = re.sub(r"\s+", " ", text).strip()
    return text if len(text) <= limit else text[: limit - 4] + " ..."


def _innermost(text: str) -> str:
    """What a constructor said, out of jsonargparse's accounts, one in another, of every type that it tried."""
    while said := re.search(r"\bErrors:\s*- (.*?)(?:\s+- Expected an? |\Z)", text, re.DOTALL):
        text = re.sub(r"^.*Problem with given class_path '[^']+':", "", said[1], flags=re.DOTALL)
    return text


def _of_worker(text: str) -> str:
    """What an exception said, out of the traceback that a loader's worker sends in its place."""
    caught = re.match(r"Caught (\w+) in .*\nOriginal Traceback", text)
    if caught is None:
        return text
    return re.split(rf"\n(?:[\w.]+\.)?{caught[1]}: ", text)[-1]


def explain(error: BaseException) -> tuple[str, int]:
    """What to print for an exception, and the exit code: 1 a problem, 2 wrong usage."""
    if isinstance(error, UsageError):
        return one_line(str(error), limit=2000), 2
    name = type(error).__name__
    if isinstance(error, OSError) and error.errno and error.strerror not in (None, os.strerror(error.errno)):
        return one_line(error.strerror), 1  # a sentence of ours
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        where = f" while writing {error.filename}" if error.filename else ""
        return (
            f"No space is left on the disk{where}. What was complete before is untouched. "
            "Free some space, or give another folder with --out DIR.",
            1,
        )
    if name in ("OutOfMemoryError", "MemoryError"):
        return (
            "Out of memory. Use a smaller --data.batch_size (with --trainer.accumulate_grad_batches to make up "
            "for it), or --trainer.precision bf16-mixed on a GPU.",
            1,
        )
    message = one_line(_innermost(_of_worker(str(error)))) or name
    if isinstance(error, OSError) and error.strerror and error.filename:
        message = f"{error.strerror}: {error.filename}"
    if name in USER or isinstance(error, OSError):
        return message, 1
    return f"{name}: {message} (Unexpected; run again with --traceback to see where.)", 1
