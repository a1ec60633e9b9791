"""The segmenter's own command: reads FreiHAND's layout, tells how far it is, writes a file that loads."""

import sys

from tests.datamodules.tiny_freihand import random_labels, write_freihand
from zoo.commands.segmenter import main
from zoo.metrics.segmenter import HandSegmenter


def test_a_folder_in_freihands_layout_gives_a_segmenter(tmp_path, monkeypatch, capsys):
    write_freihand(tmp_path / "data", "training", random_labels(6), versions=4)
    out = tmp_path / "made" / "segmenter.safetensors"
    words = ["--root", str(tmp_path / "data"), "--out", str(out), "--steps", "2", "--held_out", "2", "--batch", "2"]
    monkeypatch.setattr(sys, "argv", ["segmenter", *words])
    assert main() == 0, capsys.readouterr()
    said = capsys.readouterr().out
    assert "16 pictures of 4 samples, 128 pixels; 2 samples held out." in said
    assert "on 8 pictures of held-out samples" in said
    assert not HandSegmenter.load(out).training


def test_mistakes_are_sentences(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["segmenter", "--root", str(tmp_path), "--out", "a.pt"])
    assert main() == 2
    assert "must end in .safetensors" in capsys.readouterr().err
