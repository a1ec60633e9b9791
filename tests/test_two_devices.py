"""Training on two devices, from the command line as users start it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_two_devices_train_a_network_that_leaves_some_of_its_parameters_out(tmp_path):
    command = [
        sys.executable, "-m", "zoo", "fit", "--model", "hhmr", "--out", str(tmp_path / "run"), "--tracker", "none",
        "--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.max_steps", "2", "--trainer.max_time",
        "null", "--trainer.limit_val_batches", "0", "--data.batch_size", "4", "--data.val_samples", "4", "--data.bank",
        "8", "--model.mapper_loss", "0", "--model.denoised", "null", "--model.denoiser.pooled", "false",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "fit done" in done.stdout
