"""Says what a dataset's folder holds, what is missing from it and what in it is broken."""

import os
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from datamodules.folders import not_a_folder
from datamodules.report import Report, Row


def check(name: str, root: str | os.PathLike[str], *, progress: bool = True) -> Report:
    """Checks a dataset; every image is decoded.

    Args:
        name: Of the dataset; `datamodules/NAME/check.py` knows how.
        root: Its folder.
        progress: Shows a bar when it takes longer than five seconds.
    """
    folder = Path(root).expanduser()
    report = Report(f"{name} in {folder}")
    if said := not_a_folder(folder):
        report.rows.append(Row(folder.name, "a file" if folder.exists() else "nothing", "a folder", said))
        return report
    import_module(f"datamodules.{home(name, 'check')}.check").check(folder, report, progress)
    return report


def home(name: str, verb: str) -> str:
    """The package of a dataset that has a module `verb`; OpenHand's pictures have FreiHAND's layout.

    Raises:
        ValueError: There is none; says which datasets have one.
    """
    package = "freihand" if name == "openhand" else name
    folders = sorted(path.parent.name for path in Path(__file__).parent.glob(f"*/{verb}.py"))
    if package not in folders or find_spec(f"datamodules.{package}") is None:
        word = {"twin": "synth"}.get(verb, verb)
        raise ValueError(f"data {word} {name}: nothing is known for it. Known: {', '.join(folders)}.")
    return package
