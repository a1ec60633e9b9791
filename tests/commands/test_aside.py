"""What was in a folder comes back whole, wherever moving it was cut."""

from pathlib import Path

import pytest

from zoo.commands.aside import BEFORE, give_up, lock, put_back, set_aside, unlock

MADE = ("config.yaml", "log.csv")


@pytest.fixture
def run(tmp_path):
    for name in ("config.yaml", "log.csv", "metrics.json", "checkpoints/last.ckpt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"old {name}")
    return tmp_path


def files(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def cut(monkeypatch, after):
    """Moving stops after so many files, as when the process is killed."""
    done, rename = [], Path.rename

    def renamed(path, target):
        if len(done) == after:
            raise SystemExit
        done.append(path)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", renamed)


@pytest.mark.parametrize("after", range(5))
def test_what_was_set_aside_halfway_comes_back(run, monkeypatch, after):
    before = files(run)
    with monkeypatch.context() as patch:
        cut(patch, after)
        with pytest.raises(SystemExit):
            set_aside(run)
    put_back(run, MADE)
    assert files(run) == before


@pytest.mark.parametrize("after", range(5))
def test_what_was_put_back_halfway_comes_back(run, monkeypatch, after):
    before = files(run)
    set_aside(run)
    for name in MADE:
        (run / name).write_text("new")
    with monkeypatch.context() as patch:
        cut(patch, after)
        with pytest.raises(SystemExit):
            put_back(run, MADE)
    put_back(run, MADE)
    assert files(run) == before


def test_what_was_given_up_halfway_does_not_come_back(run, monkeypatch):
    set_aside(run)
    (run / "config.yaml").write_text("new")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *_, **__: None)
        give_up(run)
    put_back(run, MADE)
    assert (run / "config.yaml").read_text() == "new"
    assert not (run / BEFORE).exists()
    give_up(run)
    assert files(run) == {"config.yaml": "new"}


def test_one_holds_the_lock_at_a_time(tmp_path):
    held = lock(tmp_path)
    with pytest.raises(FileExistsError, match="another process works now"):
        lock(tmp_path)
    unlock(tmp_path, held)
    unlock(tmp_path, lock(tmp_path))
    assert not list(tmp_path.iterdir())
