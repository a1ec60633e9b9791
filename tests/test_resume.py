"""A run that stops and goes on is the run that never stopped: same batches, same draws, same losses, same average."""

import warnings
from typing import Any

import lightning as L
import torch

import zoo
from callbacks.ema import EMA
from datamodules.openhand.data import OpenHandData
from tests.test_every_model import TINY

STEPS = 9


class Recorder(L.Callback):
    """Writes every loss down, and stops after some step."""

    def __init__(self, stop: int | None = None) -> None:
        self.stop, self.losses = stop, {}

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, *_: Any) -> None:
        self.losses[trainer.global_step] = float(outputs["loss"])
        if trainer.global_step == self.stop:
            trainer.should_stop = True


def run(folder, stop: int | None = None, ckpt: str | None = None) -> tuple[dict[int, float], dict[str, torch.Tensor]]:
    L.seed_everything(3, verbose=False)
    model = zoo.create("hhmr", **TINY["hhmr"], **{"denoiser.dropout": 0.2})
    data = OpenHandData(batch_size=4, val_samples=4, batches_per_epoch=4, bank=8, seed=3)
    recorder, ema = Recorder(stop), EMA(0.9)
    trainer = L.Trainer(
        max_steps=STEPS, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[ema, recorder], default_root_dir=folder, gradient_clip_val=1.0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning warns that it resumes in the middle of an epoch; that is the point
        trainer.fit(model, data, ckpt_path=ckpt, **({"weights_only": True} if ckpt else {}))
    if stop:
        trainer.save_checkpoint(folder / "stopped.ckpt")
    return recorder.losses, ema.average


def test_a_resumed_run_repeats_the_uninterrupted_one(tmp_path):
    whole, average = run(tmp_path)
    first, _ = run(tmp_path, stop=6)  # in the middle of the second epoch
    second, resumed = run(tmp_path, ckpt=str(tmp_path / "stopped.ckpt"))
    assert len(whole) == STEPS
    assert min(second) == 7
    for step, loss in (first | second).items():
        assert abs(loss - whole[step]) < 1e-6, step
    for name, value in average.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=1e-6)
