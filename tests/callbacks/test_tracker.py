"""What is logged reads back, nobody is asked for a key, and none is written down."""

import struct
import time

import pytest
import torch

from callbacks.curves import CurveLog, read_curves
from callbacks.tracker import is_online, make_loggers


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_a_key_is_found_in_the_environment_or_a_netrc_file(monkeypatch, tmp_path):
    assert not is_online()
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert is_online()
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert not is_online()
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY")

    place = tmp_path / "keys"
    place.write_text("machine api.wandb.ai login user password secret\n")
    place.chmod(0o600)
    monkeypatch.setenv("NETRC", str(place))
    assert is_online()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not is_online()
    place.write_text("machine\n")
    assert not is_online()


def test_wandb_is_offline_without_a_key_and_says_so_in_one_line(tmp_path, capsys):
    curves, tracked = make_loggers("wandb", tmp_path / "run", "test")
    (said,) = capsys.readouterr().out.splitlines()
    assert "offline" in said
    assert "WANDB_API_KEY" in said
    assert tracked._offline
    assert not tracked._log_model
    assert isinstance(curves, CurveLog)


def test_wandb_is_online_with_a_key_and_does_not_repeat_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    _, tracked = make_loggers("wandb", tmp_path, "test")
    assert not tracked._offline
    assert capsys.readouterr().out == ""


def test_csv_and_none_do_not_need_wandb(tmp_path):
    assert [type(logger) for logger in make_loggers("csv", tmp_path, "test")] == [CurveLog]
    assert make_loggers("none", tmp_path, "test") == []


def test_an_unknown_tracker_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"--tracker=tensorboard.*wandb, csv, none"):
        make_loggers("tensorboard", tmp_path, "test")


def test_a_fit_is_read_back_from_the_rows(line, make_trainer, loader, tmp_path):
    make_trainer(logger=make_loggers("csv", tmp_path, "test")).fit(line, loader, loader)
    curves = read_curves(tmp_path / "log.csv")
    assert list(curves["train/loss"].values()) == pytest.approx(line.losses)
    assert list(curves["val/error"]) == [9]
    assert (tmp_path / "log.csv").read_text().startswith("step,name,value\n")


def test_a_resumed_run_goes_on_in_the_same_file(tmp_path):
    for value, steps in ((1.0, (1, 2, 3)), (5.0, (3, 4))):
        log = CurveLog(tmp_path / "log.csv")
        for step in steps:
            log.log_metrics({"train/loss": value, "epoch": 0}, step)
    assert read_curves(tmp_path / "log.csv") == {"train/loss": {1: 1.0, 2: 1.0, 3: 5.0, 4: 5.0}}


def records(path):
    """The records of a .wandb file, which is a LevelDB log: blocks of 32 KiB, pieces of (crc, length, kind, bytes)."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, record = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield Record.FromString(record)
            record = b""


@pytest.mark.slow
def test_an_offline_wandb_run_holds_what_was_logged_and_no_secret(line, make_trainer, loader, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_SECRET_TOKEN", "s3cr3t-value")
    monkeypatch.setenv("WANDB_MODE", "offline")  # Lightning sets it and would leave it behind
    loggers = make_loggers("wandb", tmp_path / "run", "test", x_disable_stats=True)
    make_trainer(logger=loggers).fit(line, loader, loader)
    loggers[1].log_image("pictures/hands", [torch.rand(3, 8, 8)], step=10)
    loggers[1].experiment.finish()

    (run,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    (file,) = run.glob("run-*.wandb")
    deadline = time.monotonic() + 10  # its service writes when it likes
    while not any(record.HasField("exit") for record in records(file)) and time.monotonic() < deadline:
        time.sleep(0.05)
    history = [
        {"/".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
        for record in records(file)
        if record.HasField("history")
    ]
    losses = [float(row["train/loss"]) for row in history if "train/loss" in row]
    assert losses == pytest.approx(line.losses)
    assert any("pictures/hands" in key for row in history for key in row)
    assert list((run / "files" / "media" / "images" / "pictures").glob("*.png"))
    everything = b"".join(path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert b"s3cr3t-value" not in everything


def test_a_row_that_was_cut_spoils_no_other(tmp_path):
    CurveLog(tmp_path / "log.csv").log_metrics({"train/loss": 1.0}, 1)
    with (tmp_path / "log.csv").open("a") as file:
        file.write("2,train/lo")
    CurveLog(tmp_path / "log.csv").log_metrics({"train/loss": 3.0}, 3)
    assert read_curves(tmp_path / "log.csv") == {"train/loss": {1: 1.0, 3: 3.0}}
