import json

import pytest
import torch

import checkpoints
from zoo.commands import suite_downstream
from zoo.commands.suite_attentionhand import Asking
from zoo.commands.suite_downstream import BOTH, LAB, downstream, kind_of
from zoo.commands.suite_training import Trained
from zoo.registry import UsageError


def test_hhmr_learns_from_the_lab_and_from_generated_pictures(tmp_path):
    (tmp_path / "modalities.json").write_text("")
    size = Asking(tmp_path, quick=True).size
    alone = suite_downstream.words(LAB, size, ["--trainer.max_steps=2"], None)
    both = suite_downstream.words(BOTH, size, ["--trainer.max_steps=2"], tmp_path)
    assert {"--data=openhand", "--data.style=plain", "--data.samples=4"} <= set(alone)
    assert "--data=mix" in both
    options = next(json.loads(word.split("=", 1)[1]) for word in both if word.startswith("--data.options="))
    assert options["generated"] == {"data": "attentionhand"}
    assert options["lab"]["samples"] == 4
    alone_options = dict(word.removeprefix("--data.").split("=", 1) for word in alone if word.startswith("--data."))
    for name, value in options["lab"].items():  # the same hands in both
        if name != "data":
            assert alone_options[name] == (value if isinstance(value, str) else json.dumps(value))


def test_the_lab_is_a_set_of_held_out_hands_too():
    method = checkpoints.load_hands("hhmr")
    hands = suite_downstream.held_out(2, method, torch.device("cpu"), **suite_downstream.lab(1) | {"test_samples": 2})
    assert len(hands) == 2


def test_generated_pictures_are_told_by_their_files(tmp_path):
    with pytest.raises(UsageError, match="neither a folder of AttentionHand"):
        kind_of(tmp_path)
    (tmp_path / "training_xyz.json").write_text("[]")
    assert kind_of(tmp_path) == "freihand"


def test_without_generated_pictures_table_2_says_so(monkeypatch):
    class Method:
        def to(self, _):
            return self

    off = torch.rand(4, 1)
    monkeypatch.setattr(suite_downstream, "held_out", lambda *_, **__: None)
    monkeypatch.setattr(suite_downstream, "sampled", lambda *_, **__: None)
    monkeypatch.setattr(suite_downstream, "errors", lambda *_: suite_downstream.Errors(off, off))
    train = lambda variant: Trained(Method(), 2, 1.0)  # noqa: E731
    table = downstream(train, 4, "cpu", 0, None, "Note.")
    assert [row["learned from"] for row in table.rows] == ["lab alone"] * 2
    assert "No generated pictures were given" in table.notes[0]
