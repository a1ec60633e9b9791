"""The folder of a suite: one file a table, and all tables that are there in one."""

import hashlib
import json
import platform
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from zoo.commands.chosen import digest
from zoo.commands.folder import write_text
from zoo.commands.suite_table import Table, restored
from zoo.registry import UsageError


def path_of(out: Path, number: int | str) -> Path:
    """The file of a table."""
    return out / f"table{number}.json"


def fits(out: Path, number: int | str, facts: dict[str, Any], names: Iterable[str]) -> bool:
    """Whether a table is there, made in the same way; one made in another way is an error.

    Args:
        out: The suite's folder.
        number: Of the table.
        facts: How it is to be made.
        names: Of the facts that it depends on.
    """
    if not path_of(out, number).is_file():
        return False
    before = json.loads(path_of(out, number).read_text())["facts"]
    for name in names:
        if before.get(name) != facts[name]:
            raise UsageError(
                f"{path_of(out, number)} was made with {name} {before.get(name)}, not {facts[name]}. "
                "Give another --out, or delete that file."
            )
    return True


def fingerprint(path: Path | None) -> str | None:
    """What a file holds, or a folder's weights; of another folder, which files of which sizes it has.

    Args:
        path: None gives None.
    """
    if path is None:
        return None
    if not path.is_dir() or (path / "model.safetensors").is_file():
        return digest(path)[:16]
    files = sorted(found for found in path.rglob("*") if found.is_file())
    told = "\n".join(f"{found.relative_to(path)} {found.stat().st_size}" for found in files)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def machine(device: torch.device) -> str:
    """What the numbers were measured on."""
    where = torch.cuda.get_device_name() if device.type == "cuda" else "no GPU"
    return f"{torch.get_num_threads()} threads, {platform.machine()}, {where}, torch {torch.__version__}"


def write_all(
    out: Path,
    order: Sequence[int | str],
    heading: Callable[[dict[str, Any]], list[str]],
    pictured: Sequence[int | str] = (),
) -> list[Table]:
    """TABLES.md and tables.json of everything in the folder.

    Args:
        out: The suite's folder.
        order: Of the tables.
        heading: First lines, from the facts of the first table.
        pictured: Tables that come with pictures.
    """
    found = {n: json.loads(path_of(out, n).read_text()) for n in order if path_of(out, n).is_file()}
    tables = [restored(record["table"]) for record in found.values()]
    lines = [*heading(next(iter(found.values()))["facts"] if found else {}), ""]
    for record, table in zip(found.values(), tables, strict=True):
        lines += [table.markdown(), f"Measured in {record['seconds']:.0f} s: {record['machine']}.", ""]
        lines += [f"![table {table.number}]({path.name})" for path in sorted(out.glob(f"table{table.number}*.png"))]
        lines += [""] if table.number in pictured else []
    write_text(out / "TABLES.md", "\n".join(lines).rstrip() + "\n")
    write_text(out / "tables.json", json.dumps(found, indent=1) + "\n")
    return tables
