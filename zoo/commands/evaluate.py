"""`evaluate`: scores a file of predictions by a dataset's official protocol."""

import inspect
import json
from importlib import import_module
from pathlib import Path
from typing import Any

from datamodules.folders import not_a_folder
from zoo.commands.folder import write_text
from zoo.registry import UsageError, nearest

KNOWN = ("freihand", "ho3d", "interhand", "coco")


def evaluate(
    name: str,
    pred: Path,
    root: Path,
    protocol: str | None = None,
    split: str | None = None,
    version: str | None = None,
    ids: Path | None = None,
    eval_root: Path | None = None,
    mano: Path | None = None,
    cache: Path | None = None,
    out: Path | None = None,
    force: bool = False,
) -> None:
    """Scores a file of predictions by a dataset's official protocol.

    Args:
        name: freihand, ho3d, interhand or coco.
        pred: The predictions: pred.json of the dataset's server, or a zip that holds it and nothing else; for
            interhand a .npz or .json by annotation id.
        root: The dataset's folder.
        protocol: Of interhand: internet, interwild or intaghand.
        split: Of the dataset, where it has several with labels.
        version: Of ho3d: v2 or v3; found out when not given.
        ids: Of interhand: a file with the annotation ids that are scored, one a line.
        eval_root: Folder of the evaluation labels of freihand or ho3d, when they are elsewhere.
        mano: Folder of MANO_RIGHT and MANO_LEFT, for labels that are parameters.
        cache: Folder for parsed label files; the user's cache when not given.
        out: Folder for metrics.json and scores.txt; evaluate-NAME in this folder when not given.
        force: Score also predictions that look written down wrongly.
    """
    if name not in KNOWN:
        raise UsageError(f"evaluate {name}: no official protocol is known.{nearest(name, KNOWN)} Known: {_listed()}.")
    run = _coco if name == "coco" else import_module(f"datamodules.{name}.evaluate").evaluate
    options: dict[str, Any] = {
        "protocol": protocol,
        "split": split,
        "version": version,
        "ids": ids,
        "eval_root": eval_root,
        "mano": mano,
        "cache": cache,
        "force": force or None,
    }
    given = {key: value for key, value in options.items() if value is not None}
    taken = inspect.signature(run).parameters
    for key in given:
        if key not in taken:
            flags = ", ".join(f"--{flag}" for flag in options if flag in taken)
            raise UsageError(f"evaluate {name} does not take --{key}. Besides --pred, --root, --out it takes {flags}.")
    if not pred.expanduser().exists():
        raise FileNotFoundError(f"{pred} is not there. Pass the right --pred.")
    if said := not_a_folder(root.expanduser()):
        raise FileNotFoundError(said)
    found = run(pred.expanduser(), root.expanduser(), **given)
    folder = out or Path(f"evaluate-{name}")
    print(found)
    write_text(folder / "metrics.json", json.dumps(dict(found.scores), indent=1) + "\n")
    files = "metrics.json"
    if found.official:
        from zoo.metrics.official import scores_text

        write_text(folder / "scores.txt", scores_text(found.official))
        files += " and scores.txt"
    print(f"{files} {'are' if ' and ' in files else 'is'} in {folder}.")


def _coco(pred: Path, root: Path, *, split: str = "val") -> Any:
    """COCO-WholeBody's precision of both hands as an `Evaluation`."""
    from datamodules.coco.evaluate import evaluate as precision
    from datamodules.coco.evaluate import report
    from datamodules.coco.files import PARTS
    from datamodules.submissions import json_file

    part = next((part for part in PARTS if part == split), None)
    if part is None:
        raise UsageError(f"--split {split} is no part of COCO-WholeBody. Known: {', '.join(PARTS)}.")
    with json_file(pred) as (file, _):
        scores = precision(root, file, part, progress=True)
    return report(scores, f"COCO-WholeBody {part}, average precision and recall of hands by OKS")


def _listed() -> str:
    return ", ".join(KNOWN)


COMMANDS = evaluate
