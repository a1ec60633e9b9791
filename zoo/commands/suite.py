"""The tables of the HHMR paper, measured anew on OpenHand's held-out hands and set beside the paper's figures."""

import io
import json
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from zoo.commands.folder import write_text
from zoo.commands.suite_ablation import masks, networks, trained
from zoo.commands.suite_fitting import fitting
from zoo.commands.suite_folder import fits, machine, path_of, write_all
from zoo.commands.suite_generation import generation
from zoo.commands.suite_hands import HeldOut, held_out
from zoo.commands.suite_pictures import pictures
from zoo.commands.suite_progress import Progress
from zoo.commands.suite_recovery import hypotheses, reconstruction
from zoo.commands.suite_table import Table
from zoo.commands.suite_training import Budget, Trained
from zoo.hands.meshfile import write_atomically
from zoo.models.hhmr import HHMR
from zoo.registry import UsageError

ORDER = (1, 3, 5, 4, 2, 6)  # quick ones first
SHARED = ("sha256", "samples", "seed")  # facts that every table of a folder has in common
TRAINED = {2: ("budget",), 6: ("budget",)}


def run_suite(
    out: Path, ckpt: str, only: list[int], samples: int, budget: Budget, seed: int, device: str, command: str
) -> list[Table]:
    """Measures the tables that are not in the folder yet, and writes all that are.

    Args:
        out: Folder for tables, pictures and short trainings.
        ckpt: Weights.
        only: Numbers of the tables.
        samples: Held-out hands.
        budget: Of each of the three trainings of tables 2 and 6.
        seed: Of the noise.
        device: auto, cpu or cuda.
        command: That makes all this, for the record.
    """
    import checkpoints
    from checkpoints.load import sha256

    source = checkpoints.find(ckpt)
    file = source / "model.safetensors" if source.is_dir() else source
    facts: dict[str, Any] = {
        "weights": str(ckpt), "sha256": sha256(file), "samples": samples, "seed": seed, "budget": list(budget),
    }  # fmt: skip
    names = {number: (*SHARED, *TRAINED.get(number, ())) for number in ORDER}
    missing = [number for number in ORDER if number in only and not fits(out, number, facts, names[number])]
    progress = Progress()
    if missing:
        device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        method: HHMR = _model(source).to(device)
        hands = held_out(samples, method, method.device)
        makers = _makers(method, hands, out / "trainings", budget, progress, seed)
        faces = method.hand.faces
    for place, number in enumerate(missing, 1):
        progress.say(f"table {number} ({place} of {len(missing)}) ...")
        started = time.monotonic()
        torch.manual_seed(seed)
        table = makers[number]()
        seconds = time.monotonic() - started
        for name, image in pictures(table, faces).items():
            buffer = io.BytesIO()
            image.save(buffer, "PNG")
            write_atomically(out / name, buffer.getvalue())
        record = {
            "facts": facts, "machine": machine(method.device), "seconds": round(seconds, 1), "table": table.record()
        }  # fmt: skip
        write_text(path_of(out, number), json.dumps(record) + "\n")
        print(table.markdown() + f"({seconds:.0f} s)\n", flush=True)
        _write_all(out, command)
    return _write_all(out, command)


def _model(source: Path) -> HHMR:
    import checkpoints

    method = checkpoints.load(source)
    if not isinstance(method, HHMR):
        raise UsageError(f"--ckpt {source} is a {type(method).__name__}; the hhmr suite measures HHMR.")
    return method


def _makers(
    method: HHMR, hands: HeldOut, folder: Path, budget: Budget, progress: Progress, seed: int
) -> dict[int, Callable[[], Table]]:
    @cache
    def train(variant: str) -> Trained:
        return trained(variant, folder, budget, progress)

    return {
        1: lambda: generation(method, hands, progress, seed),
        2: lambda: networks(train, hands, progress, budget, seed),
        3: lambda: reconstruction(method, hands, progress, seed),
        4: lambda: hypotheses(method, hands, progress, seed),
        5: lambda: fitting(method, hands, progress, seed),
        6: lambda: masks(train, hands, progress, budget, seed),
    }


def _write_all(out: Path, command: str) -> list[Table]:
    return write_all(out, sorted(ORDER), lambda facts: _heading(facts, command), pictured=(1, 4))


def _heading(facts: dict[str, Any], command: str) -> list[str]:
    return [
        f"`{command}`: weights `{Path(facts.get('weights', '')).name}`, sha256 {facts.get('sha256', '')[:12]}, "
        f"{facts.get('samples')} held-out hands.",
        "In brackets: 95 % of bootstrap resamples of hands; differences are paired where hands are the same.",
    ]
