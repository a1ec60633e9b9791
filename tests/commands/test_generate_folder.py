"""Whose folder `generate` writes into: what may be emptied, taken over or gone on with."""

import pytest

from zoo.__main__ import main

COMMON = ("-n", "3", "--shard", "2", "--batch", "2", "--steps", "1", "--tas", "off", "--device", "cpu")


def words(weights, out, *more):
    return ["generate", "--ckpt", str(weights), "--out", str(out), *COMMON, *map(str, more)]


@pytest.fixture
def earlier(tmp_path):
    """The folder of an earlier set, which may be emptied."""
    out = tmp_path / "o"
    out.mkdir()
    (out / "manifest.json").write_text("{}")
    return out


def test_overwrite_does_not_delete_what_the_run_reads(painter_weights, earlier, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(earlier.parent))
    (earlier / "prompts.txt").write_text("a {hand}")
    (earlier / "weights").symlink_to(painter_weights)
    for given in (("--prompts", earlier / "prompts.txt"), ("--mano", "~/o"), ("--ckpt", earlier / "weights")):
        assert main(words(painter_weights, earlier, *given, "--overwrite")) == 2
        assert "--overwrite would delete" in capsys.readouterr().err
    assert (earlier / "prompts.txt").is_file()
    assert main(words(painter_weights, earlier, "--prompts", "a {hand}", "--overwrite")) == 0
    assert not (earlier / "prompts.txt").exists()
