"""`bench`: speed against other implementations, on this machine, now."""

import json
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from zoo.registry import UsageError, nearest

PACKAGES = ("torch", "torch-geometric", "smplx", "diffusers", "numba", "opencv-python-headless", "simplejpeg")


def bench(
    suite: Literal["cpu"] = "cpu",
    only: list[str] | str | None = None,
    threads: int = 2,
    seconds: float = 20.0,
    json: Path | None = None,
) -> int:
    """Times our parts against others' in interleaved rounds; results are compared before anything is timed.

    Args:
        suite: Which cases; cpu is the only suite so far.
        only: One of chebconv64, chebconv128, hand, ddim, step, loader, render, or a list such as [hand,ddim].
        threads: Of torch and OpenCV.
        seconds: For a case, unless its ratio is steady earlier.
        json: Where all numbers go, with versions.
    """
    import cv2
    import torch

    from zoo.commands.bench_cases import cpu_suite
    from zoo.commands.bench_harness import Timing, measure, table

    if threads < 1:
        raise UsageError(f"--threads {threads} runs nothing. Give a number from 1.")
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    with tempfile.TemporaryDirectory() as folder:
        cases = dict(cpu_suite(Path(folder)))
        chosen = list(cases) if only is None else [only] if isinstance(only, str) else only
        for word in chosen:
            if word not in cases:
                raise UsageError(f"--only {word} is not a case.{nearest(word, cases)} Known: {', '.join(cases)}.")
        print(f"{suite} suite, {threads} threads, torch {torch.__version__}, {platform.processor() or 'cpu'}")
        timings: list[Timing] = []
        for word, make in cases.items():
            if word in chosen:
                timings.append(measure(make(), seconds))
                lines = list(table(timings[-1:]))
                print("\n".join(lines if len(timings) == 1 else lines[1:]), flush=True)
    if json is not None:
        _write(json, {"suite": suite, "threads": threads, **_facts(), "cases": [timing.record() for timing in timings]})
    return int(any(timing.wrong for timing in timings))


def _write(path: Path, content: dict[str, Any]) -> None:
    from zoo.commands.folder import write_text

    write_text(path, json.dumps(content, indent=1) + "\n")


def _facts() -> dict[str, Any]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    git = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": sys.version.split()[0],
        "machine": platform.machine(),
        "commit": git.stdout.strip() or None,
        "versions": found,
    }


COMMANDS = bench
