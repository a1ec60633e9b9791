"""`bench`: speed against other implementations, on this machine, now; and the tables of the HHMR paper."""

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
    suite: Literal["cpu", "hhmr", "paper"] = "cpu",
    only: list[str] | str | None = None,
    threads: int = 2,
    seconds: float = 20.0,
    json: Path | None = None,
    out: Path | None = None,
    ckpt: str = "hhmr",
    samples: int = 500,
    train_minutes: float = 20.0,
    train_steps: int | None = None,
    model: str = "hhmr",
    device: str = "auto",
    seed: int = 0,
    batch: int | None = None,
) -> int:
    """Times our parts against others' in interleaved rounds, or (--suite hhmr) measures the tables of the HHMR paper.

    Args:
        suite: cpu is speed, compared with others only where results agree; hhmr is the paper's tables;
            paper is the speed, memory and MFU of hhmr-paper, on a GPU where there is one.
        only: cpu: one of chebconv64, chebconv128, hand, ddim, step, loader, loader640, albumentations, crop_cache,
            poses, labels, hand_rows, render, si_trimesh, si_fcl, apd, or a list such as [hand,ddim].
            hhmr: numbers of tables, such as 1,4. paper: train, pose, sample, latency, and on a GPU train-compiled,
            pose-compiled, sample-compiled, sample-graph, latency-graph.
        threads: Of torch and OpenCV.
        seconds: cpu: for a case, unless its ratio is steady earlier.
        json: cpu: where all numbers go, with versions.
        out: hhmr: folder of tables, pictures and short trainings; run again, it goes on with what is missing.
        ckpt: hhmr: the weights.
        samples: hhmr: held-out hands.
        train_minutes: hhmr: for each of the three trainings of tables 2 and 6.
        train_steps: hhmr: the same in steps, instead of minutes.
        model: hhmr: what is trained there, a name or a YAML file.
        device: hhmr: auto, cpu or cuda.
        seed: hhmr: of the noise.
        batch: paper: rows; 64 on a GPU and 2 on a CPU when not given.
    """
    if suite == "hhmr":
        import torch

        torch.set_num_threads(_at_least_one(threads))
        return _tables(out, ckpt, only, samples, (train_minutes, train_steps, model), seed, device)
    if suite == "paper":
        import torch

        from zoo.commands.bench_paper import run_paper

        torch.set_num_threads(_at_least_one(threads))
        records, agreed = run_paper(device, only, seconds, batch)
        if json is not None:
            _write(json, {"suite": suite, "threads": threads, **_facts(), "cases": records})
        return int(not agreed)
    import cv2
    import torch

    from zoo.commands.bench_cases import cpu_suite
    from zoo.commands.bench_harness import Timing, measure, table

    torch.set_num_threads(_at_least_one(threads))
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


def _tables(
    out: Path | None,
    ckpt: str,
    only: list[str] | str | None,
    samples: int,
    budget: tuple[float, int | None, str],
    seed: int,
    device: str,
) -> int:
    from zoo.commands.suite import ORDER, run_suite
    from zoo.commands.suite_ablation import Budget

    if out is None:
        raise UsageError("bench --suite hhmr needs --out DIR, the folder for its tables.")
    words = ",".join(only).split(",") if isinstance(only, list) else only.split(",") if only else map(str, ORDER)
    chosen = [word.strip() for word in words]
    for word in chosen:
        if word not in map(str, ORDER):
            raise UsageError(f"--only {word} is not a table. Known: {', '.join(map(str, sorted(ORDER)))}.")
    if samples < 4:
        raise UsageError(f"--samples {samples} is too few for an interval. Give a number from 4.")
    command = f"python -m zoo {' '.join(sys.argv[1:])}"
    tables = run_suite(out, ckpt, [int(word) for word in chosen], samples, Budget(*budget), seed, device, command)
    print(f"{len(tables)} tables in {out / 'TABLES.md'}, numbers in {out / 'tables.json'}")
    return 0


def _at_least_one(threads: int) -> int:
    if threads < 1:
        raise UsageError(f"--threads {threads} runs nothing. Give a number from 1.")
    return threads


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
