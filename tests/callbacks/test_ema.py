"""The average against its recursion, and that it never touches the training."""

import copy

import lightning as L
import pytest
import torch

from callbacks.ema import EMA


class Recursion(L.Callback):
    """Writes the average down from the definition, in float64."""

    def __init__(self, decay):
        self.decay, self.value, self.n, self.step = decay, None, 0, 0

    def on_train_start(self, trainer, module):
        self.value = module.layer.weight.detach().double()

    def on_train_batch_end(self, trainer, module, *_):
        if trainer.global_step > self.step:
            decay = min(self.decay, (1 + self.n) / (10 + self.n))
            self.value = decay * self.value + (1 - decay) * module.layer.weight.detach().double()
            self.step, self.n = trainer.global_step, self.n + 1


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_the_average_follows_its_recursion_once_per_optimizer_step(line, make_trainer, loader, accumulate):
    ema, oracle = EMA(0.7), Recursion(0.7)
    make_trainer(ema, oracle, accumulate_grad_batches=accumulate).fit(line, loader, loader)
    assert ema.updates == -(-10 // accumulate)
    torch.testing.assert_close(ema.average["layer.weight"].double(), oracle.value, atol=1e-6, rtol=1e-6)
    assert "frozen" not in ema.average


def test_validation_sees_the_average_and_leaves_training_bit_identical(line, make_line, make_trainer, loader):
    ema, plain = EMA(0.9), make_line()
    options = {"val_check_interval": 2, "num_sanity_val_steps": 1, "max_epochs": 2}
    make_trainer(ema, **options).fit(line, loader, loader)
    make_trainer(**options).fit(plain, loader, loader)
    assert line.losses == plain.losses
    assert all(torch.equal(a, b) for a, b in zip(line.parameters(), plain.parameters(), strict=True))
    assert torch.equal(line.seen[-1], ema.average["layer.weight"])
    assert not torch.equal(line.seen[-1], plain.seen[-1])


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_the_average_stays_float32_in_low_precision(line, make_trainer, loader, precision):
    ema = EMA(0.9)
    make_trainer(ema, precision=precision, val_check_interval=5).fit(
        line.bfloat16() if precision == "bf16-true" else line, as_type(loader, precision), as_type(loader, precision)
    )
    assert all(weight.dtype == torch.float32 for weight in ema.average.values())
    assert line.seen[-1].equal(ema.average["layer.weight"].to(line.layer.weight.dtype))


def as_type(loader, precision):
    if precision == "bf16-true":
        loader = copy.deepcopy(loader)
        loader.dataset.tensors = tuple(t.bfloat16() for t in loader.dataset.tensors)
    return loader


def test_fp16_steps_that_the_scaler_skips_do_no_harm():
    ema, module = EMA(0.9), torch.nn.Linear(2, 2)
    ema.average = {name: weight.detach().clone() for name, weight in module.named_parameters()}
    before = copy.deepcopy(ema.average)
    ema.update(module)  # the weights did not move
    assert all(ema.average[name].equal(before[name]) for name in before)


def test_resuming_equals_the_uninterrupted_run(make_line, make_trainer, loader, tmp_path):
    whole, ema = make_line(), EMA(0.95)
    make_trainer(ema, max_epochs=4, val_check_interval=5).fit(whole, loader, loader)

    half = make_line()
    first = make_trainer(EMA(0.95), max_epochs=2, val_check_interval=5)
    first.fit(half, loader, loader)
    first.save_checkpoint(tmp_path / "half.ckpt")
    resumed, later = make_line(), EMA(0.95)
    again = make_trainer(later, max_epochs=4, val_check_interval=5)
    again.fit(resumed, loader, loader, ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert half.losses + resumed.losses == whole.losses
    assert later.updates == ema.updates
    assert all(later.average[name].equal(ema.average[name]) for name in ema.average)


def test_a_checkpoint_holds_both_sets_of_weights_and_tests_with_the_average(
    line, make_line, make_trainer, loader, tmp_path
):
    ema, path = EMA(0.95), tmp_path / "a.ckpt"
    run = make_trainer(ema)
    run.fit(line, loader, loader)
    run.save_checkpoint(path)
    saved = torch.load(path, weights_only=True)
    assert saved["state_dict"]["layer.weight"].equal(line.layer.weight)
    assert saved["ema"]["weights"]["layer.weight"].equal(ema.average["layer.weight"])
    assert saved["ema"]["updates"] == 10

    other = make_line()
    make_trainer(EMA(0.95)).test(other, loader, ckpt_path=path, verbose=False, weights_only=True)
    assert other.seen[0].equal(ema.average["layer.weight"])
    assert other.layer.weight.equal(line.layer.weight)


def test_a_save_within_validation_keeps_the_trained_weights(line, make_trainer, loader, tmp_path):
    path = tmp_path / "a.ckpt"

    class SaveWithin(L.Callback):
        def on_validation_batch_end(self, trainer, *_):
            trainer.save_checkpoint(path)

    make_trainer(EMA(0.95), SaveWithin(), num_sanity_val_steps=0).fit(line, loader, loader)
    assert torch.load(path, weights_only=True)["state_dict"]["layer.weight"].equal(line.layer.weight)


def test_a_crash_in_validation_gives_the_trained_weights_back(line, make_line, make_trainer, loader):
    plain = make_line()
    make_trainer(limit_val_batches=0).fit(plain, loader, loader)

    def crash(batch, batch_idx):
        raise RuntimeError("crash")

    line.validation_step = crash
    with pytest.raises(RuntimeError, match="crash"):
        make_trainer(EMA(0.95), num_sanity_val_steps=0).fit(line, loader, loader)
    assert line.layer.weight.equal(plain.layer.weight)


def test_averaged_lends_the_average_to_a_sampler(line, make_trainer, loader):
    ema = EMA(0.95)
    make_trainer(ema).fit(line, loader, loader)
    trained = line.layer.weight.detach().clone()
    with ema.averaged(line):
        assert line.layer.weight.equal(ema.average["layer.weight"])
    assert line.layer.weight.equal(trained)


def test_a_decay_of_one_is_refused():
    with pytest.raises(ValueError, match=r"decay=1\.0"):
        EMA(1.0)


def test_weights_frozen_since_train_as_what_is_kept_of_them(line, make_trainer, loader):
    ema = EMA(0.95)
    ema.average = {"layer.weight": torch.full((1, 3), 0.5), "layer.bias": torch.zeros(1)}
    line.layer.weight.requires_grad_(False)
    make_trainer(ema).fit(line, loader, loader)
    assert line.layer.weight.eq(0.5).all()
    assert ema.average.keys() == {"layer.bias"}
