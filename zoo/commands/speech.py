"""Which log lines a user sees."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# What Lightning says of itself, of absent devices and of what was asked for.
CHATTER = (
    "💡", "GPU available", "TPU available", "HPU available", "LOCAL_RANK", "Seed set", "Restor", "Loaded model weights",
    "`Trainer", "`weights_only`", "Using ", "You are using a CUDA device", "----", "Initializing distributed",
    "distributed_backend",
)  # fmt: skip
LOUD = ("lightning.pytorch", "lightning.fabric")


class _NoChatter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or not record.getMessage().lstrip().startswith(CHATTER)


@contextmanager
def speaking() -> Iterator[None]:
    """Within it our own log lines are printed, and Lightning's chatter is not."""
    quiet, ours = _NoChatter(), logging.getLogger("zoo")
    handlers = [handler for name in LOUD for handler in logging.getLogger(name).handlers]
    voice = logging.StreamHandler(sys.stderr)
    voice.setFormatter(logging.Formatter("%(message)s"))
    before = ours.level
    for handler in handlers:
        handler.addFilter(quiet)
    ours.addHandler(voice)
    ours.setLevel(logging.INFO)
    try:
        yield
    finally:
        ours.setLevel(before)
        ours.removeHandler(voice)
        for handler in handlers:
            handler.removeFilter(quiet)
