"""Rows of a painting run: read when their turn comes, painted in full batches, and told while it goes on."""

from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from PIL import Image

from zoo.commands.painting import meshes, paint, progress
from zoo.commands.painting.meshes import MeshReader
from zoo.commands.painting.names import Names
from zoo.commands.painting.painter import Painter, Settings
from zoo.commands.painting.progress import Pace
from zoo.commands.painting.rows import rows_of
from zoo.commands.painting.stand import Stand
from zoo.commands.painting.store import PictureStore
from zoo.models.base import PictureMethod

SIZE = 32


@pytest.fixture
def batches(drawn, tmp_path, monkeypatch):
    """Of each batch the branch, its pictures, and the meshes read before; seven meshes, the second one broken."""
    (tmp_path / "m").mkdir()
    for number in range(7):
        Image.fromarray(drawn[0].permute(1, 2, 0).numpy()).save(tmp_path / "m" / f"{number}.png")
    (tmp_path / "m" / "1.png").write_bytes(b"no picture")
    inner, reads, batches = meshes.read_mesh_picture, [], []

    def grey(self, texts, shown, seeds, branch):
        assert len(texts) == len(shown) == len(seeds)
        batches.append((branch, len(texts), len(reads)))
        return torch.full((len(texts), 3, SIZE, SIZE), 128, dtype=torch.uint8)

    monkeypatch.setattr(meshes, "read_mesh_picture", lambda file: reads.append(file) or inner(file))
    monkeypatch.setattr(Painter, "__call__", grey)
    monkeypatch.setattr(Painter, "notices", lambda self, text: {})
    return batches


def run(tmp_path, resume=False, seeds=(0,), branches=("global",)):
    painter = Painter(Mock(spec=PictureMethod, meshes=True, size=SIZE), Settings(), tmp_path)
    names = Names(seeds, branches)
    rows = rows_of(painter.method, MeshReader(Stand(SIZE)), [str(tmp_path / "m")], ["A hand."], "crop", names)
    assert rows.many == 7
    header = {"options": {}, "checkpoint": {"sha256": "0"}}
    store = PictureStore(Path(tmp_path / "o"), header, resume=resume)
    paint._make(painter, store, rows, list(seeds), list(branches), 2, resume)
    return store


def test_meshes_are_read_a_batch_at_a_time(batches, tmp_path):
    store = run(tmp_path)
    assert batches == [("global", 2, 3), ("global", 2, 5), ("global", 2, 7)]
    assert [record["name"] for record in store.records] == ["0", "2", "3", "4", "5", "6"]
    assert list(store.failures) == ["1"]


def test_pictures_of_both_branches_are_listed_by_row(batches, tmp_path):
    store = run(tmp_path, branches=("global", "local"))
    assert [many for _, many, _ in batches] == [2] * 6
    assert [record["name"] for record in store.records][:4] == ["0", "0-local", "2", "2-local"]


def test_a_resumed_run_makes_only_what_is_missing(batches, tmp_path):
    run(tmp_path)
    (tmp_path / "o" / "pictures" / "3.png").unlink()
    batches.clear()
    store = run(tmp_path, resume=True)
    assert [many for _, many, _ in batches] == [1]
    assert [record["name"] for record in store.records] == ["0", "2", "3", "4", "5", "6"]


def test_the_pace_is_that_of_new_pictures(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    pace = Pace(100)
    clock[0] = 61.0
    pace.skip(50, 10, 61.0)
    assert capsys.readouterr().err == "50 of 90 pictures, none of them new\n"
    clock[0] = 90.0
    pace.add(1)
    assert not capsys.readouterr().err
    clock[0] = 61.0 + 72.0
    pace.add(1)
    pace.close()
    assert capsys.readouterr().err == "52 of 90 pictures, 100 an hour, 0.4 hours left\n"
