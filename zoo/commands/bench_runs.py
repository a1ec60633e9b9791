"""Cases of published sizes, timed one after the other and printed with what the times mean."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from zoo.commands.bench_harness import Case, measure, table
from zoo.commands.bench_rates import note, peak_memory, product_ceiling, rates
from zoo.registry import UsageError, nearest


@dataclass
class PaperCase:
    """A case and the operations of one call."""

    case: Case
    flops: int


def device_of(device: str) -> torch.device:
    """What `--device` means.

    Args:
        device: auto, cpu or cuda.
    """
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)


def run_cases(
    title: str,
    known: Mapping[str, Callable[[], PaperCase]],
    device: torch.device,
    only: list[str] | str | None,
    seconds: float,
) -> tuple[list[dict[str, Any]], bool]:
    """Times cases and prints a table.

    Args:
        title: What is timed.
        known: Cases by the word that `--only` takes.
        device: Where.
        only: A case or several.
        seconds: For a case.

    Returns:
        One record a case, and whether all of them ran and agreed.
    """
    kind = device.type
    chosen = list(known) if only is None else [only] if isinstance(only, str) else only
    for word in chosen:
        if word not in known:
            raise UsageError(f"--only {word} is not a case on {kind}.{nearest(word, known)} Known: {', '.join(known)}.")
    ceiling = product_ceiling(device)
    where = torch.cuda.get_device_name() if kind == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{title} on {where}, torch {torch.__version__}; a matrix product reaches {ceiling / 1e12:.3g} TFLOP/s")
    if kind != "cuda":
        print("These are numbers of a CPU with a small batch; they say nothing about the goals, which are for a GPU.")
    records: list[dict[str, Any]] = []
    for word in chosen:
        made = known[word]()
        memory = peak_memory(device, made.case.ours)
        timing = measure(made.case, seconds)
        lines = list(table([timing]))
        print("\n".join(lines if not records else lines[1:]))
        records.append({"word": word, "device": kind, "tflop": made.flops / 1e12, "peak_memory_gb": memory / 1e9})
        records[-1] |= timing.record() | rates(timing, made.flops, ceiling)
        print(f"{'':<22} {note(records[-1], kind)}", flush=True)
    return records, not any(record["wrong"] for record in records)
