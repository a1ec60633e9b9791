"""How much is done, how long it will take, how fast it is."""

import math
import re
import sys
from datetime import timedelta

import pytest
import torch

from callbacks.progress import RunProgress, clock, run_share
from callbacks.throughput import Throughput


def test_clock_reads_as_people_write():
    assert [clock(s) for s in (5.2, 754.0, 3723.0, math.inf)] == ["0:05", "12:34", "1:02:03", "?"]


def test_lines_for_a_file_count_the_whole_run_not_an_epoch(line, make_trainer, loader, capsys):
    bar = RunProgress(every_seconds=1e-9)
    make_trainer(bar, max_epochs=3, enable_progress_bar=True).fit(line, loader, loader)
    lines = [text for text in capsys.readouterr().err.splitlines() if "steps/s" in text]
    shares = [int(text.split("%")[0]) for text in lines]
    assert shares[4] == 17  # 5 of 30 steps
    assert shares == sorted(shares)
    assert shares[-1] == 100
    assert re.search(r"step 30, loss [\d.]+, .* steps/s, 0:00 left", lines[-1])


def test_a_terminal_gets_one_bar(line, make_trainer, loader, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    make_trainer(RunProgress(1e-9), enable_progress_bar=True).fit(line, loader, loader)
    shown = capsys.readouterr().err
    assert "100%" in shown
    assert "step 10, loss" in shown
    assert "validating" in shown
    assert shown.count("\n") <= 1 + sum("Lightning" in text or "available" in text for text in shown.splitlines())


def test_the_limit_that_comes_first_decides(line, make_trainer, loader):
    seen = {}

    def look():
        run = line.trainer
        (timer,) = (callback for callback in run.callbacks if hasattr(callback, "time_remaining"))
        timer.time_remaining = lambda: 30.0
        timer.time_elapsed = lambda stage=None: 10.0
        if run.global_step == 5:
            seen["fast"] = run_share(run, 5, 5.0)
            seen["slow"] = run_share(run, 5, 500.0)
            seen["new"] = run_share(run, 0, 0.0)

    line.callback = look
    make_trainer(max_steps=25, max_epochs=-1, max_time=timedelta(minutes=5)).fit(line, loader, loader)
    assert seen["fast"] == pytest.approx((0.2, 20.0))
    assert seen["slow"] == pytest.approx((0.25, 30.0))
    assert seen["new"] == pytest.approx((0.25, 30.0))


def test_throughput_separates_waiting_from_work(line, make_trainer, monkeypatch):
    clock = [0.0]

    class Slow(torch.utils.data.Dataset):
        def __len__(self):
            return 12

        def __getitem__(self, i):
            clock[0] += 1.0
            return torch.ones(3), torch.ones(1)

    def work():
        clock[0] += 3.0

    monkeypatch.setattr("callbacks.throughput.time.perf_counter", lambda: clock[0])
    line.callback = work
    loader = torch.utils.data.DataLoader(Slow(), batch_size=2)
    run = make_trainer(Throughput(), log_every_n_steps=2, limit_val_batches=0)
    run.fit(line, loader, loader)
    found = {name: float(value) for name, value in run.callback_metrics.items() if name.startswith("speed/")}
    assert found.pop("speed/peak_memory_gb") > 0.05
    # Each of the last two steps waits for two samples and works for three seconds.
    assert found == pytest.approx(
        {"speed/steps_per_second": 2 / 10, "speed/samples_per_second": 4 / 10, "speed/waiting_percent": 40}
    )
