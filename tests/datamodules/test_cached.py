import errno
import os

import pytest

from datamodules import cached


def keep(cache, write, state="1", source="here", suffix=""):
    told = ("The index of it", "a tenth of it")
    return cached.keep(
        write, cache=cache, kind="toy", stem="[a] b", source=source, state=state, suffix=suffix, told=told
    )


def writer(text):
    return lambda draft: draft.write_text(text)


def write_folder(draft):
    draft.mkdir()
    (draft / "a").write_text("whole")


def test_what_is_kept_is_not_written_again(tmp_path):
    path = keep(tmp_path / "new ñ", writer("first"), suffix=".npy")
    assert path.parent == tmp_path / "new ñ"
    assert path.suffix == ".npy"
    assert keep(tmp_path / "new ñ", writer("second"), suffix=".npy") == path
    assert path.read_text() == "first"


def test_without_a_folder_it_is_in_the_users_cache():
    path = keep(None, writer(""))
    assert path.is_relative_to(os.environ["XDG_CACHE_HOME"])
    assert path.parent.name == "toy"


@pytest.mark.parametrize("write", [write_folder, writer("whole")])
def test_another_state_replaces_the_old_one_and_leaves_other_sources_alone(tmp_path, write):
    other = keep(tmp_path, write, source="there")
    old, new = keep(tmp_path, write), keep(tmp_path, write, state="2")
    assert old != new
    assert set(tmp_path.iterdir()) == {other, new}


@pytest.mark.parametrize("problem", [KeyboardInterrupt, ValueError, FileNotFoundError(errno.ENOENT, "No")])
def test_what_fails_leaves_nothing_and_comes_out_as_it_is(tmp_path, problem):
    def failing(draft):
        write_folder(draft)
        raise problem

    with pytest.raises(problem if isinstance(problem, type) else FileNotFoundError):
        keep(tmp_path, failing)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_a_folder_that_takes_nothing_more_names_the_flag(tmp_path, number):
    def full(draft):
        raise OSError(number, os.strerror(number), str(draft / "a"))

    words = (
        rf"The index of it could not be written to {tmp_path} \({os.strerror(number)}\)\. It takes a tenth of it\. .*"
    )
    with pytest.raises(OSError, match=words + r"--data\.cache") as caught:
        keep(tmp_path, full)
    assert caught.value.errno == number


def test_a_file_in_place_of_the_folder_names_the_flag(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match=r"--data\.cache"):
            keep(folder, writer(""))


def test_a_source_that_may_not_be_read_is_no_matter_of_the_cache(tmp_path):
    def forbidden(draft):
        raise PermissionError(errno.EACCES, "Permission denied", "/data/labels.json")

    with pytest.raises(PermissionError, match=r"labels\.json"):
        keep(tmp_path, forbidden)


def test_two_that_write_at_once_share_the_first_that_is_done(tmp_path, monkeypatch):
    def slow(draft):
        with monkeypatch.context() as patch:
            patch.setattr(cached.os, "getpid", lambda: 1)
            first = keep(tmp_path, write_folder)
        write_folder(draft)
        (draft / "a").write_text("late")
        assert list(first.iterdir())

    path = keep(tmp_path, slow)
    assert (path / "a").read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_what_another_process_has_finished_since_we_looked_stays(tmp_path, monkeypatch):
    finished = keep(tmp_path, write_folder)
    aside = finished.rename(tmp_path / "aside")

    def getpid():
        if aside.exists():
            aside.rename(finished)
        return 1

    monkeypatch.setattr(cached.os, "getpid", getpid)

    def write(draft):
        assert (finished / "a").is_file()
        write_folder(draft)

    assert keep(tmp_path, write) == finished
    assert list(tmp_path.iterdir()) == [finished]


def test_drafts_of_killed_processes_go_after_a_day(tmp_path):
    path = keep(tmp_path, write_folder, state="0")
    killed, working = (tmp_path / f".{path.name}.{i}.tmp" for i in range(2))
    strange = tmp_path / ".notes.tmp"
    for draft in (killed, working, strange):
        write_folder(draft)
    for draft in (killed, strange):
        os.utime(draft, (1e9, 1e9))
    path = keep(tmp_path, write_folder)
    assert set(tmp_path.iterdir()) == {path, working, strange}
