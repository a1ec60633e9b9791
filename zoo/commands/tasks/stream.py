"""Runs a task over many hands: in batches, with a bar, around bad ones, and on from where a run was killed."""

import errno
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import TypeVar

import cv2
import torch
from tqdm import tqdm

from zoo.commands.errors import one_line
from zoo.commands.tasks.case import Case, Unreadable
from zoo.commands.tasks.finish import described
from zoo.commands.tasks.store import Store
from zoo.commands.tasks.task import Outcome, Task

Item = TypeVar("Item")


class Stopped(BaseException):
    """Ctrl-C, or a cluster's SIGTERM."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


@contextmanager
def stoppable() -> Iterator[None]:
    """Within it the first Ctrl-C or SIGTERM raises `Stopped`."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    try:
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread, where signals do not come
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def bar(items: Sequence[Item], text: str) -> Iterator[Item]:
    """The items, under a bar that says how long the rest will take; silent where nobody watches."""
    yield from tqdm(items, text, unit="hand", dynamic_ncols=True, disable=not sys.stderr.isatty())


def run(
    task: Task,
    items: Sequence[Case | Unreadable],
    store: Store,
    *,
    seed: int,
    rows: int,
    parameters: bool,
    resume: bool = False,
    limit: int | None = None,
) -> None:
    """Makes the hands that are not there yet.

    The noise of a hand follows from the seed and its number alone. So whatever is there already, lies beyond the limit
    or shares its batch, each hand is to rounding the one that an uninterrupted run makes.

    Args:
        task: What to do.
        items: Hands, and what should have been hands.
        store: Where to.
        seed: Of the noise.
        rows: Hands at once.
        parameters: Fit MANO's parameters to the meshes.
        resume: Keep what is there.
        limit: Only the first so many hands.
    """
    names = unique([item.name for item in items])
    end = len(items) if limit is None else min(limit, len(items))
    progress = tqdm(total=end, unit="hand", dynamic_ncols=True, disable=not sys.stderr.isatty())
    with progress:
        for start in range(0, end, rows):
            stop = min(start + rows, end)
            batch: list[Case] = []
            for number in range(start, stop):
                item, name = items[number], names[number]
                if isinstance(item, Unreadable):
                    store.fail(name, one_line(item.reason).rstrip("."))
                elif not (resume and store.earlier(name)):
                    batch.append(replace(item, name=name, draw=(seed, number)))
            if batch:
                keep(task, store, attempt(task.solve, batch), parameters)
            progress.update(stop - start)


def keep(task: Task, store: Store, results: Sequence[Outcome | Unreadable], parameters: bool) -> None:
    """Scores and writes what came out of a batch."""
    for result in results:
        if isinstance(result, Unreadable):
            store.fail(result.name, one_line(result.reason).rstrip("."))
    outcomes = [result for result in results if isinstance(result, Outcome)]
    if outcomes:
        for outcome, found in described(outcomes, task.method.hand, parameters):
            store.add(outcome, found)


def attempt(
    solve: Callable[[Sequence[Case]], list[Outcome | Unreadable]], cases: Sequence[Case]
) -> list[Outcome | Unreadable]:
    """Solves a batch; where that fails, each of its hands alone, so that one cannot spoil the others."""
    try:
        return solve(cases)
    except (ValueError, ArithmeticError, RuntimeError, OSError, cv2.error) as error:
        if isinstance(error, torch.OutOfMemoryError) or getattr(error, "errno", None) in (errno.ENOSPC, errno.ENOMEM):
            raise
        if len(cases) == 1:
            return [Unreadable(cases[0].name, f"{type(error).__name__}: {error}")]
    return [result for case in cases for result in attempt(solve, [case])]


def unique(names: Sequence[str]) -> list[str]:
    """Names that are safe as file names, and all different."""
    taken: dict[str, int] = {}
    done = []
    for name in names:
        safe = re.sub(r"[^\w.-]+", "_", name).strip(".") or "hand"
        while safe.lower() in taken:  # some disks do not tell A from a
            taken[safe.lower()] += 1
            safe = f"{safe}_{taken[safe.lower()]}"
        taken[safe.lower()] = 1
        done.append(safe)
    return done
