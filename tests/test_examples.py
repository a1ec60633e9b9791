import runpy
import sys
from pathlib import Path

import pytest
import torch
import yaml

from checkpoints.save import save
from tests.test_every_model import TINY
from zoo.registry import build, find

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_is_short(script, tmp_path, monkeypatch, capsys):
    assert len(script.read_text().splitlines()) <= 60
    words = [str(tmp_path / "out")]
    if "RUN" in script.read_text():
        words = [str(untrained(tmp_path / "weights")), *words]
    monkeypatch.setattr(sys, "argv", [str(script), *words])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out


def untrained(folder: Path) -> Path:
    """Weights of a tiny model in the layout of released ones."""
    config = yaml.safe_load(find("model", "hhmr").read_text())
    config["init_args"]["conditioner"]["init_args"]["image"] = None
    small = {k: v for k, v in TINY["hhmr"].items() if "image" not in k}
    for key, value in small.items():
        *parents, name = key.split(".")
        place = config["init_args"]
        for parent in parents:
            place = place.setdefault(parent, {"class_path": "DDIM"}).setdefault("init_args", {})
        place[name] = value
    torch.manual_seed(0)
    return save(folder, config, build(config).state_dict(), "An untrained model.")
