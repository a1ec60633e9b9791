"""How far a run of `sample` is that makes pictures."""

import sys
import time

from tqdm import tqdm

from zoo.commands.factory.part import QUIET


class Pace:
    """Pictures an hour and the time left: a bar for people, a line a minute for log files.

    Only new pictures count for the pace: those of an earlier run are there at once.

    Args:
        total: Pictures that were asked for.
    """

    def __init__(self, total: int) -> None:
        self.total, self.made, self.there = total, 0, 0
        self.began = self.told = time.monotonic()
        self.bar = tqdm(total=total, unit="picture", dynamic_ncols=True, disable=not sys.stderr.isatty())

    @property
    def hourly(self) -> float:
        """New pictures an hour."""
        return 3600 * self.made / max(time.monotonic() - self.began, 1e-9)

    def add(self, many: int) -> None:
        """Notes that so many more are made."""
        self.made += many
        self.bar.set_postfix_str(f"{self.hourly:.0f} an hour", refresh=False)
        self.bar.update(many)
        self._tell()

    def skip(self, there: int, dropped: int, seconds: float) -> None:
        """Notes that some are there already and some cannot be made, and how long it took to find that out."""
        self.there += there
        self.total -= dropped
        self.began += seconds
        if not self.bar.disable:
            self.bar.total = self.total
            self.bar.initial += there
            self.bar.n += there
            self.bar.last_print_n += there
        self._tell()

    def close(self) -> None:
        """Ends the bar."""
        self.bar.close()

    def _tell(self) -> None:
        if not self.bar.disable or time.monotonic() - self.told <= QUIET:
            return
        self.told = time.monotonic()
        done = self.made + self.there
        pace = "none of them new"
        if self.made:
            pace = f"{self.hourly:.0f} an hour, {(self.total - done) / self.hourly:.1f} hours left"
        print(f"{done} of {self.total} pictures, {pace}", file=sys.stderr, flush=True)
