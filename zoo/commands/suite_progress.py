"""How far the suite is: a bar on a terminal, a line now and then elsewhere."""

import sys
from collections.abc import Callable
from typing import Any

from tqdm import tqdm


class Progress:
    """Makes bars that tell the time left.

    Args:
        say: Prints a line.
        every: Seconds between updates where there is no terminal.
    """

    def __init__(self, say: Callable[[str], None] = print, every: float = 30.0) -> None:
        self.say, self.every = say, every

    def bar(self, title: str, total: int) -> "tqdm[Any]":
        """A bar.

        Args:
            title: In front of it.
            total: Sampled hands times steps, or whatever `update` counts.
        """
        live = sys.stderr.isatty()
        return tqdm(
            total=total,
            desc=title,
            unit="",
            unit_scale=True,
            mininterval=0.5 if live else self.every,
            ascii=not live,
            leave=False,
            bar_format="{desc}: {percentage:3.0f} % after {elapsed}, {remaining} left",
        )
