import time
from pathlib import Path

from zoo.commands.chosen import say_stopped
from zoo.commands.manifest import facts, failed, options_of, say_failed


def test_options_are_what_results_depend_on():
    words = {"mano": Path("a") / "b", "n": 3, "out": "o", "overwrite": False, "resume": True, "model": "m", "ckpt": "c"}
    assert options_of(words) == {"mano": str(Path("a", "b")), "n": 3}


def test_a_run_is_finished_when_it_runs_no_more(monkeypatch):
    monkeypatch.setattr("sys.argv", ["zoo", "sample", "-n", "3"])
    running, done = (facts({"size": 4}, status, time.time() - 2) for status in ("running", "done"))
    assert running["command"] == ["python", "-m", "zoo", "sample", "-n", "3"]
    assert (running["finished"], running["status"], running["size"]) == (None, "running", 4)
    assert done["finished"]
    assert 2 <= done["seconds"] < 60
    assert {"python", "torch"} <= done["versions"].keys()


def test_failures_are_all_in_the_manifest_and_the_first_are_said(capsys):
    failures = {f"h{i}": "no hand" for i in range(12)}
    assert failed(failures)[11] == {"name": "h11", "status": "failed", "reason": "no hand"}
    say_failed(failures)
    said = capsys.readouterr().err.splitlines()
    assert (said[9], said[10:]) == ("  left out h9: no hand", ["  and 2 more; manifest.json lists all"])


def test_a_stopped_run_says_how_to_go_on(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["zoo", "sample", "--out", "a", "--overwrite"])
    say_stopped(2, 5, "hands", Path("b"))
    said = capsys.readouterr().err
    assert "Stopped after 2 of 5 hands; they are whole in b." in said
    assert said.rstrip().endswith("Go on with: python -m zoo sample --out b --resume")
