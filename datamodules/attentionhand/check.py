"""Says what a folder of AttentionHand's holds, what is missing from it and what in it is broken."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datamodules.attentionhand.data import INFERENCE, TRAINING
from datamodules.attentionhand.files import KINDS, MODALITIES, AttentionHandFolder, Kind, read_sentence
from datamodules.attentionhand.labels import read_labels
from datamodules.mesh_boxes import local_box, outlines
from datamodules.photos import read_photo
from datamodules.report import Report, Row, broken_photos, listed

_COPY = "Copy the folder again."


def check(folder: Path, report: Report, progress: bool) -> None:
    """Adds rows and notes to a report; every picture is decoded, every text read.

    Args:
        folder: That is there.
        report: Of the whole check.
        progress: Shows a bar when it takes longer than five seconds.
    """
    parts = [folder] if (folder / MODALITIES).is_file() else [folder / TRAINING, folder / INFERENCE]
    parts = [part for part in parts if (part / MODALITIES).is_file()] or [folder]
    for part in parts:
        _check_part(report, part, "" if part == folder else f"{part.name}/", progress)


def _check_part(report: Report, root: Path, name: str, progress: bool) -> None:
    try:
        part = AttentionHandFolder(root)
        facts = part.facts
    except (OSError, ValueError) as error:
        report.rows.append(Row(name + MODALITIES, "-", "a line for each example", str(error)))
        return
    pictured = int(facts.pictured.sum())
    report.rows.append(Row(name + MODALITIES, f"{len(part)} rows", "any"))
    if not pictured:
        report.notes.append(f'{name or root}: no row has "rgb": they are rows to predict, not to train on.')
    elif pictured < len(part):
        report.notes.append(f'{name or root}: {len(part) - pictured} rows have no "rgb" and are not trained on.')
    twice = len(part) - len(np.unique(facts.ids, axis=0))
    if twice:
        report.notes.append(f"{name or root}: {twice} rows share the file id of an earlier one.")
    rows = [part.row(number) for number in range(len(part))]
    for kind in KINDS:
        _check_files(report, part, kind, [row[kind] for row in rows if kind in row], name, progress)
    _check_labels(report, part, rows, name)


def _check_files(
    report: Report, part: AttentionHandFolder, kind: Kind, given: Sequence[str], name: str, progress: bool
) -> None:
    if not given:
        return
    paths, missing = [], []
    for words in given:
        try:
            paths.append(part.find(kind, words))
        except OSError:
            missing.append(words)
    problems = [listed(missing, "missing")]
    if kind == "text":
        empty = []
        for path in paths:
            try:
                if read_sentence(path) is None:
                    empty.append(path.name)
            except OSError as error:
                problems.append(str(error))
        problems.append(listed(empty, "without a sentence"))
    else:
        broken = broken_photos(paths, name + kind, progress)
        problems.append(listed([paths[i].name for i in broken], "that are not whole pictures"))
        if kind == "mesh":
            good = [path for i, path in enumerate(paths) if i not in set(broken)]
            problems.append(_check_boxes(report, good, name or f"{part.root}", progress))
    problem = "; ".join(filter(None, problems))
    report.rows.append(Row(name + kind, str(len(paths)), str(len(given)), problem and f"{problem}. {_COPY}"))


def _check_boxes(report: Report, paths: Sequence[Path], name: str, progress: bool) -> str:
    """Notes where the authors' code would take another box; returns the problem of pictures without a hand."""
    empty, split, dark = [], 0, []
    for path in tqdm(paths, desc="Looking for hands", unit=" images", delay=5, disable=not progress):
        picture = read_photo(path)
        if local_box(picture) is None:
            empty.append(path.name)
        elif not (count := outlines(picture)):
            dark.append(path.name)
        else:
            split += count > 2
    if split:
        report.notes.append(
            f"{name}: {split} mesh pictures fall into more than two parts, of which the authors' code takes two; the "
            "default, robust box takes all but specks."
        )
    if dark:
        report.notes.append(f"{name}: {listed(dark, 'mesh pictures on which the code of the authors would stop')}.")
    return listed(empty, "without a bright hand")


def _check_labels(report: Report, part: AttentionHandFolder, rows: Sequence[dict[str, object]], name: str) -> None:
    labelled = int(part.facts.sides.any(1).sum())
    if not labelled:
        return
    problems = []
    for number, row in enumerate(rows):
        try:
            read_labels(row.get("labels"), part.where(number))
        except ValueError as error:
            problems.append(str(error))
    more = f"; {len(problems) - 1} more rows like this" if len(problems) > 1 else ""
    report.rows.append(Row(f"{name}labels", f"{labelled} rows", "any", problems[0] + more if problems else ""))
