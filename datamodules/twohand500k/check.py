"""Says what a folder of pairs of hands holds, what is missing from it and what in it is broken."""

from pathlib import Path

import numpy as np

from datamodules.report import Report, Row, broken_photos, listed
from datamodules.scene import BoolArray, FloatArray
from datamodules.twohand500k.conventions import SIDES, Source
from datamodules.twohand500k.data import find_sources, pictures_of
from datamodules.twohand500k.intaghand import IntagHand
from datamodules.twohand500k.shards import Shards

FAR = 1.0  # metres between two hands of a pair
BENT = 2.2 * np.pi  # radians of one joint
ODD_SHAPE = 10.0  # standard deviations


def check(folder: Path, report: Report, progress: bool) -> None:
    """Adds rows and notes to a report; every file is read, every picture decoded.

    Args:
        folder: That is there.
        report: Of the whole check.
        progress: Shows a bar when it takes longer than five seconds.
    """
    try:
        sources = find_sources(folder)
    except (OSError, ValueError) as error:
        report.rows.append(Row(str(folder), "-", "npz shards, anno/*.pkl or mapping.yaml", str(error)))
        return
    for part, source in sources.items():
        kind = "shards" if isinstance(source, Shards) else "pickles" if isinstance(source, IntagHand) else "files"
        _check_part(report, source, f"{part} {kind}", progress)
    first = next(iter(sources.values()))
    try:
        said = first.conventions
    except ValueError:
        return  # told by its row
    mean = "the flat hand" if said.flat_hand_mean else "MANO's mean pose"
    fixed = "mirrored" if said.left_shapedirs_fix else "as published"
    report.notes.append(f"hand poses are relative to {mean}, left shape directions are {fixed}.")
    report.notes.append("Two-hand 500K's own files are not known: this reader is untested on them.")


def _check_part(report: Report, source: Source, name: str, progress: bool) -> None:
    blocks, problems = [], []
    for path in source.files:
        try:
            blocks.append(source.read(path))
        except (OSError, ValueError) as error:
            problems.append(str(error))
    if problems:
        more = f"; {len(problems) - 1} more files like this" if len(problems) > 1 else ""
        report.rows.append(Row(name, f"{len(blocks)} whole", str(len(source.files)), problems[0] + more))
    else:
        report.rows.append(Row(name, str(len(blocks)), "any"))
    if not blocks:
        return
    hands, valid = np.concatenate([b.hands for b in blocks]), np.concatenate([b.valid for b in blocks])
    counts = ", ".join(f"{int(valid[:, side].sum())} {SIDES[side]}" for side in range(2))
    report.rows.append(Row(f"{name}: pairs", f"{len(hands)} ({counts})", "any", _odd(hands, valid, source)))
    if (pictures := pictures_of(source)) is not None:
        paths = [pictures / f"{path.stem}.jpg" for path in source.files]
        there = [path for path in paths if path.is_file()]
        broken = broken_photos(there, f"{source.root.name}/img", progress)
        faults = (
            listed([path.name for path in paths if not path.is_file()], "missing"),
            listed([there[i].name for i in broken], "that are not whole JPEG images"),
        )
        problem = "; ".join(filter(None, faults))
        report.rows.append(Row(f"{name}: img", str(len(there)), str(len(paths)), problem))


def _odd(hands: FloatArray, valid: BoolArray, source: Source) -> str:
    """What numbers say against the unit and the kind that are claimed."""
    both = valid.all(1)
    apart = np.linalg.norm(hands[:, 0, -3:] - hands[:, 1, -3:], axis=-1)
    pose = hands[..., 3:48].reshape(-1, 2, 15, 3)
    bent = np.linalg.norm(pose, axis=-1).max(-1) > BENT
    rules = {
        f"pairs with hands more than {FAR:g} m apart (is the unit right?)": both & (apart > FAR),
        "pairs whose hands are all in one point (is the unit right?)": both & (apart < 1e-5),
        f"pairs with a shape beyond {ODD_SHAPE:g}": (valid & (np.abs(hands[..., 48:58]).max(-1) > ODD_SHAPE)).any(1),
    }
    if not source.conventions.pca:
        rules["pairs with a joint turned by more than a turn (are these radians?)"] = (valid & bent).any(1)
    found = [
        f"{int(wrong.sum())} {rule}, the first is {int(np.argmax(wrong))}"
        for rule, wrong in rules.items()
        if wrong.any()
    ]
    return "; ".join(found)
