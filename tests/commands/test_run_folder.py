"""Where runs put their files, and what emptying a folder must not delete."""

import pytest

from zoo.commands import folder
from zoo.registry import UsageError


def test_runs_get_folders_of_their_own(toy_zoo, monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    first = folder.claim(folder.choose(None, "toy"))
    second = folder.claim(folder.choose(None, "toy"))
    assert first != second
    assert first.parent == second.parent == folder.Path("runs/toy")


def test_processes_of_one_run_share_its_folder(toy_zoo, monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    first = folder.choose(None, "toy")
    folder.claim_run(first, "settings")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert folder.choose(None, "toy") == first
    folder.leave()
    assert not first.exists()


def test_words_that_are_no_paths_hinder_nothing_and_paths_are_kept(tmp_path):
    out = tmp_path / "o"
    out.mkdir()
    (out / "manifest.json").write_text("{}")
    with pytest.raises(UsageError, match="--overwrite would delete"):
        folder.claim(out, True, inputs=["A hand.", None, "x" * 5000, out / "manifest.json"])
    assert (out / "manifest.json").is_file()
    folder.claim(out, True, inputs=["A hand.", None, "x" * 5000, out / "none"])
    assert not list(out.iterdir())
