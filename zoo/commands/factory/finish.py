"""Joins shards to a whole set: AttentionHand's and FreiHAND's layouts, what became of every index, the manifest."""

import errno
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.attentionhand.writer import AttentionHandWriter
from datamodules.freihand.writer import FreiHANDWriter, Labels, mano_rows
from datamodules.hand_models import TWIN
from datamodules.scene import FloatArray, HandModels
from zoo.commands.factory.poses import are_ours
from zoo.commands.factory.shard import PARTS, read_records, shard_file
from zoo.commands.folder import write_text

ROWS = "rows.jsonl"  # what became of every index
_LABELS = ("side", "vertices", "joints", "intrinsics", "rotations", "betas")


def finish(
    root: Path, writer: AttentionHandWriter, shards: Sequence[range], freihand: bool, models: HandModels | None
) -> dict[str, Any]:
    """Writes what needs all shards; a killed one can be called again. Returns the numbers for the manifest.

    Args:
        root: The folder of the set.
        writer: Of the folder of rows.
        shards: All of them, whole.
        freihand: Whether FreiHAND's layout is written too.
        models: Whose parameters the hands have.
    """
    records = [record for rows in shards for record in read_records(root, rows)]
    states = Counter(record["status"] for record in records)
    for folder in (root / PARTS, *(root / "data" / kind for kind in ("rgb", "mesh", "text", "mask"))):
        for draft in folder.glob(".*") if folder.is_dir() else ():
            if not draft.name.startswith(".lock"):
                draft.unlink()  # of a process that was killed
    if are_ours(models):
        write_text(root / TWIN, json.dumps({"twin_of": "attentionhand", "hand": "OpenHand"}))
    write_text(root / ROWS, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    said: dict[str, Any] = {
        "asked": len(records),
        "made": states["made"],
        "rejected": states["rejected"],
        "skipped": states["skipped"],
        "rejection_rate": round(states["rejected"] / max(1, states["rejected"] + states["made"]), 4),
        "cut": sum("cut" in record for record in records),  # prompts that are not read to their end
        "reasons": dict(Counter(record["reason"] for record in records if "reason" in record)),
    }
    for key in ("mask_iou", "joints_percent"):
        values = [record[key] for record in records if record.get(key) is not None]
        if values:
            said[f"mean_{key}"] = round(float(np.mean(values)), 4)
    if not states["made"]:
        return said
    writer.finish()
    if freihand:
        said["freihand"] = _freihand(root, shards, models)
    return said


def clean(root: Path, keep_rows: bool) -> None:
    """Removes what only an unfinished set needs.

    Args:
        root: The folder of the set.
        keep_rows: Whether AttentionHand's layout was asked for.
    """
    shutil.rmtree(root / PARTS, ignore_errors=True)
    if not keep_rows:
        shutil.rmtree(root / "data", ignore_errors=True)


def _freihand(root: Path, shards: Sequence[range], models: HandModels | None) -> int:
    """Pictures of single hands with a mesh, numbered one after another, as a training part; returns how many."""
    counts = []
    for rows in shards:
        with np.load(shard_file(root, rows), allow_pickle=False) as arrays:
            counts.append(len(arrays["single"]))
    total = sum(counts)
    if not total:
        return 0
    ends = np.cumsum(counts)
    writer = FreiHANDWriter(root, "training", total)
    held: tuple[int, dict[str, NDArray[Any]]] = (-1, {})
    for samples in writer.missing():
        taken: list[dict[str, NDArray[Any]]] = []
        for sample in samples:
            shard = int(np.searchsorted(ends, sample, side="right"))
            if held[0] != shard:
                with np.load(shard_file(root, shards[shard]), allow_pickle=False) as arrays:
                    held = shard, {key: arrays[key] for key in arrays.files if key != "records"}
            row = sample - (int(ends[shard]) - counts[shard])
            taken.append({key: value[row] for key, value in held[1].items()})
        labels = {key: np.stack([one[key] for one in taken]) for key in _LABELS if all(key in one for one in taken)}
        masks = [np.unpackbits(one["masks"], axis=-1)[:, : len(one["masks"])].astype(bool) for one in taken]
        images = [(root / "data" / "rgb" / f"{one['single']}.jpg").read_bytes() for one in taken]
        captions = [[str(one["caption"]) for one in taken]]
        writer.write(samples, _labels(labels, models), [images], masks, captions)
    writer.finish()
    return total


def _labels(labels: dict[str, NDArray[Any]], models: HandModels | None) -> Labels:
    mano: FloatArray | None = None
    if models is not None and "rotations" in labels:
        pose = labels["rotations"].reshape(-1, 48).copy()
        means = np.stack([models[int(side)].hands_mean.numpy() for side in labels["side"]])
        pose[:, 3:] -= means
        mano = mano_rows(pose, labels["betas"], labels["joints"], labels["intrinsics"])
    return Labels(labels["intrinsics"], labels["joints"], labels["vertices"], mano, labels["side"])


@contextmanager
def alone(path: Path, busy: str, wait: bool = False) -> Iterator[None]:
    """Keeps a second process out. A dead process holds no lock.

    Args:
        path: The file of the lock.
        busy: What to say when another process has it.
        wait: Wait for it instead.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise OSError(errno.EBUSY, busy) from None
        yield
