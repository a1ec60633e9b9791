import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for toys.py

TOY = (
    "# A toy.\nclass_path: toys.Toy\ninit_args:\n  lr: 0.5\n  sampler: {class_path: toys.Leap, init_args: {steps: 5}}\n"
)
TOY_DATA = "# Toy numbers.\nclass_path: toys.ToyData\ninit_args: {batch_size: 8}\n"


@pytest.fixture
def toy_zoo(tmp_path, monkeypatch):
    """A zoo whose only model is `toy`, and an empty working folder."""
    from zoo import registry

    root = tmp_path / "zoo"
    for kind, name, text in (("model", "toy", TOY), ("data", "openhand", TOY_DATA), ("data", "other", TOY_DATA)):
        (root / kind).mkdir(parents=True, exist_ok=True)
        (root / kind / f"{name}.yaml").write_text(text)
    monkeypatch.setattr(registry, "folder", lambda kind: root / kind)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return root


@pytest.fixture
def zoo_says(toy_zoo, monkeypatch, capsys):
    """Runs a command line in-process: exit code and what it printed."""
    from zoo.__main__ import main
    from zoo.commands import train

    monkeypatch.setattr(train, "CALLBACKS", [row for row in train.CALLBACKS if row[0] == "checkpoint"])

    def run(*argv):
        monkeypatch.setattr(sys, "argv", ["zoo", *argv])
        code = main(argv)
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run
