"""The tables of the HHMR paper, measured anew on OpenHand's held-out hands and set beside the paper's figures."""

import io
import json
import platform
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from zoo.commands import suite_table
from zoo.commands.folder import write_text
from zoo.commands.suite_ablation import Budget, Trained, masks, networks, trained
from zoo.commands.suite_fitting import fitting
from zoo.commands.suite_generation import generation
from zoo.commands.suite_hands import HeldOut, held_out
from zoo.commands.suite_pictures import pictures
from zoo.commands.suite_progress import Progress
from zoo.commands.suite_recovery import hypotheses, reconstruction
from zoo.commands.suite_table import Table
from zoo.hands.meshfile import write_atomically
from zoo.models.hhmr import HHMR
from zoo.registry import UsageError

ORDER = (1, 3, 5, 4, 2, 6)  # quick ones first
SHARED = ("weights", "sha256", "samples", "seed")  # facts that every table of a folder has in common
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
    missing = [number for number in ORDER if number in only and not _fits(out, number, facts)]
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
        record = {"facts": facts, "machine": _machine(method), "seconds": round(seconds, 1), "table": table.record()}
        write_text(_path(out, number), json.dumps(record) + "\n")
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


def _path(out: Path, number: int) -> Path:
    return out / f"table{number}.json"


def _fits(out: Path, number: int, facts: dict[str, Any]) -> bool:
    """Whether a table is there, made in the same way; one made in another way is an error."""
    if not _path(out, number).is_file():
        return False
    before = json.loads(_path(out, number).read_text())["facts"]
    for name in (*SHARED, *TRAINED.get(number, ())):
        if before[name] != facts[name] and name != "weights":
            raise UsageError(
                f"{_path(out, number)} was made with {name} {before[name]}, not {facts[name]}. "
                "Give another --out, or delete that file."
            )
    return True


def _machine(method: HHMR) -> str:
    where = torch.cuda.get_device_name() if method.device.type == "cuda" else "no GPU"
    return f"{torch.get_num_threads()} threads, {platform.machine()}, {where}, torch {torch.__version__}"


def _write_all(out: Path, command: str) -> list[Table]:
    """TABLES.md and tables.json of everything in the folder."""
    found = {n: json.loads(_path(out, n).read_text()) for n in sorted(ORDER) if _path(out, n).is_file()}
    tables = [suite_table.restored(record["table"]) for record in found.values()]
    facts = next(iter(found.values()))["facts"] if found else {}
    lines = [
        f"`{command}`: weights `{Path(facts.get('weights', '')).name}`, sha256 {facts.get('sha256', '')[:12]}, "
        f"{facts.get('samples')} held-out hands.",
        "In brackets: 95 % of bootstrap resamples of hands; differences are paired where hands are the same.",
        "",
    ]
    for record, table in zip(found.values(), tables, strict=True):
        lines += [table.markdown(), f"Measured in {record['seconds']:.0f} s: {record['machine']}.", ""]
        lines += [f"![table {table.number}]({path.name})" for path in sorted(out.glob(f"table{table.number}*.png"))]
        lines += [""] if table.number in (1, 4) else []
    write_text(out / "TABLES.md", "\n".join(lines).rstrip() + "\n")
    write_text(out / "tables.json", json.dumps(found, indent=1) + "\n")
    return tables
