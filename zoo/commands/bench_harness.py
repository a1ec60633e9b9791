"""How things are timed: interleaved rounds, ratios within a round, and no time before the results agree."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

WIDTH = 100


@dataclass(frozen=True)
class Case:
    """Something to time, perhaps against a peer.

    Args:
        name: What it is.
        shape: Its size, in words.
        ours: Does it once.
        peer: Another implementation of the same.
        peer_name: Whose.
        disagreement: The largest difference of the two results; computed before anything is timed.
        tolerance: The largest that is allowed.
        items: What one call makes, for a rate.
        unit: Of the items.
        slow: Takes so long that three rounds without another before must do.
    """

    name: str
    shape: str
    ours: Callable[[], Any]
    peer: Callable[[], Any] | None = None
    peer_name: str = ""
    disagreement: Callable[[], float] | None = None
    tolerance: float = 1e-5
    items: int = 0
    unit: str = ""
    slow: bool = False


@dataclass
class Timing:
    """Seconds a call, by round."""

    case: Case
    ours: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)
    difference: float = 0.0
    wrong: bool = False

    @property
    def ratios(self) -> list[float]:
        """Peer over ours, round by round, so that drift of the machine cancels."""
        return [peer / ours for peer, ours in zip(self.peer, self.ours, strict=False)]

    @property
    def spread(self) -> float:
        """p90 over p10 of the ratios (of our times where there is no peer), minus one."""
        low, _, high = percentiles(self.ratios or self.ours)
        return high / low - 1

    def record(self) -> dict[str, Any]:
        """For the JSON file; milliseconds."""
        kinds = {"ours_ms": [1000 * x for x in self.ours], "peer_ms": [1000 * x for x in self.peer]}
        numbers = {**kinds, "ratio": self.ratios}
        return {
            "case": self.case.name,
            "shape": self.case.shape,
            "peer": self.case.peer_name,
            "rounds": len(self.ours),
            "largest_difference": self.difference,
            "wrong": self.wrong,
            "noisy": bool(self.ours) and self.spread > 0.15,
            **{
                name: dict(zip(("p10", "median", "p90"), percentiles(x), strict=True))
                for name, x in numbers.items()
                if x
            },
        }


def percentiles(values: list[float]) -> tuple[float, float, float]:
    """p10, median, p90."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return ordered[round(0.1 * last)], statistics.median(ordered), ordered[round(0.9 * last)]


def measure(
    case: Case,
    seconds: float = 20.0,
    least: int = 7,
    clock: Callable[[], float] = time.perf_counter,
    steady: float = 0.15,
) -> Timing:
    """Times a case until its ratio is steady or the time is up.

    Args:
        case: What to time.
        seconds: For the whole case.
        least: Rounds at least.
        clock: Seconds.
        steady: Largest spread of the ratio at which to stop early.
    """
    timing = Timing(case)
    if case.disagreement is not None:
        timing.difference = case.disagreement()
        timing.wrong = not timing.difference <= case.tolerance
        if timing.wrong:
            return timing
    variants = [(timing.ours, case.ours)] + ([(timing.peer, case.peer)] if case.peer else [])
    for _, call in variants:
        if not case.slow:
            call()  # compiles and allocates
    least = min(least, 3) if case.slow else least
    start = clock()
    while len(timing.ours) < least or (clock() - start < seconds and timing.spread > steady):
        for times, call in variants:
            before = clock()
            call()
            times.append(clock() - before)
        variants = variants[1:] + variants[:1]  # nobody always goes first
    return timing


def table(timings: list[Timing]) -> Iterator[str]:
    """Lines of at most `WIDTH` columns."""
    yield f"{'case':<22} {'shape':<19} {'ours ms (p10-p90)':>23} {'peer ms':>9}  {'ratio'}"
    for timing in timings:
        head = f"{timing.case.name:<22.22} {timing.case.shape:<19.19}"
        if timing.wrong:
            yield f"{head} WRONG: differs by {timing.difference:.1e}, {timing.case.tolerance:.0e} allowed"
            continue
        low, middle, high = (1000 * x for x in percentiles(timing.ours))
        line = f"{head} {f'{middle:.4g} ({low:.4g}-{high:.4g})':>23}"
        if timing.peer:
            worst, ratio, best = percentiles(timing.ratios)
            line += f" {1000 * percentiles(timing.peer)[1]:>9.4g}  {ratio:.2f}x ({worst:.2f}-{best:.2f})"
        elif timing.case.items:
            line += f" {'':>9}  {_rate(timing.case.items / middle * 1000)} {timing.case.unit}/s"
        yield line + (" noisy" if timing.spread > 0.15 else "")
        if timing.peer and timing.case.items:
            rates = [timing.case.items / percentiles(times)[1] for times in (timing.ours, timing.peer)]
            yield f"{'':<22} {_rate(rates[0])} {timing.case.unit}/s, peer {_rate(rates[1])}"
        if timing.case.peer_name:
            yield f"{'':<22} peer: {timing.case.peer_name}, largest difference {timing.difference:.1e}"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
