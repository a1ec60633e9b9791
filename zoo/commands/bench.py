"""`bench`: speed against other implementations, on this machine, now; and the tables of the papers."""

import json
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.registry import UsageError, nearest

if TYPE_CHECKING:
    from zoo.commands.suite_attentionhand import Asking

PACKAGES = ("torch", "torch-geometric", "smplx", "diffusers", "numba", "opencv-python-headless", "simplejpeg")


def bench(
    suite: Literal["cpu", "hhmr", "paper", "attentionhand", "attentionhand-paper"] = "cpu",
    only: list[str] | str | None = None,
    threads: int = 2,
    seconds: float = 20.0,
    json: Path | None = None,
    out: Path | None = None,
    ckpt: str | None = None,
    samples: int | None = None,
    train_minutes: float | None = None,
    train_steps: int | None = None,
    model: str = "hhmr",
    device: str = "auto",
    seed: int = 0,
    batch: int | None = None,
    base: str = "tiny-sd",
    generated: Path | None = None,
    segmenter: Path | None = None,
    detector: Path | None = None,
    extractor: Path | None = None,
    quick: bool = False,
) -> int:
    """Times our parts against others' in interleaved rounds, or (--suite hhmr, attentionhand) measures papers' tables.

    Args:
        suite: cpu is speed, compared with others only where results agree; hhmr and attentionhand are the papers'
            tables; paper and attentionhand-paper are the speed, memory and MFU of the published sizes, on a GPU where
            there is one.
        only: cpu: one of chebconv64, chebconv128, hand, ddim, step, attention1, attention50, pictures, loader,
            loader640, albumentations, crop_cache, poses, labels, hand_rows, render, si_trimesh, si_fcl, apd, or a list
            such as [hand,ddim]. hhmr: numbers of tables, such as 1,4. attentionhand: of 1,2,4,tas. paper: train, pose,
            sample, latency, and on a GPU train-compiled, pose-compiled, sample-compiled, sample-graph, latency-graph.
            attentionhand-paper: step50, step1, step0, sample8, sample1, and on a GPU step0-compiled,
            sample8-compiled, sample1-compiled.
        threads: Of torch and OpenCV.
        seconds: cpu: for a case, unless its ratio is steady earlier.
        json: cpu: where all numbers go, with versions.
        out: Tables: their folder, with pictures and short trainings; run again, it goes on with what is missing.
        ckpt: hhmr: the weights, hhmr when not given. attentionhand: weights for a further row of table 1.
        samples: Tables: held-out hands, 500 when not given, or scenes, 200.
        train_minutes: hhmr: for each of the three trainings of tables 2 and 6, 20 when not given. attentionhand: for
            each training, in place of their steps.
        train_steps: The same in steps, instead of minutes; of attentionhand those of AttentionHand itself.
        model: hhmr: what is trained there, a name or a YAML file.
        device: auto, cpu or cuda.
        seed: Tables: of the noise.
        batch: paper: rows; 64 on a GPU and 2 on a CPU when not given. attentionhand-paper: 4 when not given.
        base: attentionhand: the base of all trainings; as --model.base.
        generated: attentionhand: folder that `generate` wrote, for table 2.
        segmenter: attentionhand: file of a hand segmenter; the one that comes with the project when not given.
        detector: attentionhand: MediaPipe's hand_landmarker.task, for the hand confidence.
        extractor: attentionhand: file of Inception weights for FID; zoo-small when not given.
        quick: attentionhand: the smallest size, to see that all of it runs.
    """
    if suite == "hhmr":
        import torch

        torch.set_num_threads(_at_least_one(threads))
        budget = (20.0 if train_minutes is None else train_minutes, train_steps, model)
        return _tables(out, ckpt or "hhmr", only, 500 if samples is None else samples, budget, seed, device)
    if suite == "attentionhand":
        import torch

        from zoo.commands.suite_attentionhand import Asking

        torch.set_num_threads(_at_least_one(threads))
        if out is None:
            raise UsageError("bench --suite attentionhand needs --out DIR, the folder for its tables.")
        asked = Asking(
            out, base, 200 if samples is None else samples, train_minutes, train_steps, quick, seed, device, generated,
            ckpt, segmenter, detector, extractor, f"python -m zoo {' '.join(sys.argv[1:])}",
        )  # fmt: skip
        return _attentionhand_tables(asked, only)
    if suite in ("paper", "attentionhand-paper"):
        import torch

        from zoo.commands.bench_attentionhand import run_attentionhand
        from zoo.commands.bench_paper import run_paper

        torch.set_num_threads(_at_least_one(threads))
        run = run_paper if suite == "paper" else run_attentionhand
        records, agreed = run(device, only, seconds, batch)
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
    from zoo.commands.suite_training import Budget

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


def _attentionhand_tables(asked: "Asking", only: list[str] | str | None) -> int:
    from zoo.commands.suite_attentionhand import ORDER, run_attentionhand_suite

    known = {str(number): number for number in ORDER}
    words = ",".join(only).split(",") if isinstance(only, list) else only.split(",") if only else list(known)
    for word in words:
        if word.strip() not in known:
            raise UsageError(f"--only {word} is not a table. Known: {', '.join(sorted(known))}.")
    if asked.samples < 4:
        raise UsageError(f"--samples {asked.samples} is too few for an interval. Give a number from 4.")
    tables = run_attentionhand_suite(asked, [known[word.strip()] for word in words])
    print(f"{len(tables)} tables in {asked.out / 'TABLES.md'}, numbers in {asked.out / 'tables.json'}")
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
