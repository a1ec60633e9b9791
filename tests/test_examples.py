import runpy
import sys
from pathlib import Path

import pytest

from tests.tiny import untrained
from tests.tiny_painter import tiny_base, tiny_painter

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_is_short(script, tmp_path, monkeypatch, capsys):
    assert len(script.read_text().splitlines()) <= 60
    words = [str(tmp_path / "out")]
    if "PAINTER" in script.read_text():
        words = [str(tiny_painter(tmp_path / "painter", tiny_base(tmp_path / "base"))), *words]
    if "RUN" in script.read_text():
        words = [str(untrained(tmp_path / "weights", images="image branch" in script.read_text())), *words]
    monkeypatch.setattr(sys, "argv", [str(script), *words])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out
