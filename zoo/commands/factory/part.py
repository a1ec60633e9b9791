"""Which shards a process makes, and what it says meanwhile."""

import os
import sys
import time

from tqdm import tqdm

from zoo.registry import UsageError

RANKS = (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS"))
QUIET = 60  # seconds between lines where nobody watches a bar


def part_of(given: str | None) -> tuple[int, int]:
    """The number of this process, from 0, and of how many: from I/K, or from the environment, or the only one."""
    if given is None:
        for rank, world in RANKS:
            if os.environ.get(rank, "").isdigit() and os.environ.get(world, "").isdigit():
                return int(os.environ[rank]), max(1, int(os.environ[world]))
        return 0, 1
    first, _, second = given.partition("/")
    if not first.isdigit() or not second.isdigit() or not 1 <= int(first) <= int(second):
        raise UsageError(f"--part {given} is no part. Give I/K, as 2/4 for the second of four.")
    return int(first) - 1, int(second)


class Progress:
    """Pictures an hour and the time left: a bar for people, a line a minute for log files.

    Args:
        total: Indices of this process.
        done: Of them from earlier runs.
    """

    def __init__(self, total: int, done: int) -> None:
        self.total, self.first, self.done = total, done, done
        self.began = self.told = time.monotonic()
        self.bar = tqdm(total=total, initial=done, unit="picture", dynamic_ncols=True, disable=not sys.stderr.isatty())

    @property
    def hourly(self) -> float:
        """Pictures an hour, of this process."""
        return 3600 * (self.done - self.first) / max(time.monotonic() - self.began, 1e-9)

    def tell(self, many: int) -> None:
        """Notes that so many more are done."""
        self.done += many
        self.bar.set_postfix_str(f"{self.hourly:.0f} an hour", refresh=False)
        self.bar.update(many)
        if self.bar.disable and time.monotonic() - self.told > QUIET:
            self.told = time.monotonic()
            left = (self.total - self.done) / max(self.hourly, 1e-9)
            print(
                f"{self.done} of {self.total} pictures, {self.hourly:.0f} an hour, {left:.1f} hours left",
                file=sys.stderr, flush=True,
            )  # fmt: skip

    def close(self) -> None:
        """Ends the bar."""
        self.bar.close()
