"""What a run that goes on, or starts from weights, takes from them, and what from its own options."""

import pytest
import torch
from toys import FIT, QUIET, Toy, config_of

import checkpoints

PACED = ("--model", "toys.Paced", "--model.optimizer", "AdamW", "--model.optimizer.lr", "0.5")


def optimizer_of(out):
    return torch.load(f"{out}/checkpoints/last.ckpt", weights_only=True)["optimizer_states"][0]["param_groups"][0]


def go_on(zoo_says, *words):
    return zoo_says("fit", "--ckpt", "o", "--out", "o", "--trainer.max_steps", "3", *QUIET, *words)


def test_options_of_the_optimizer_are_obeyed_when_a_run_goes_on(zoo_says):
    assert zoo_says(*FIT, *PACED, "--out", "o", "--model.optimizer.weight_decay", "0.25")[0] == 0
    code, said = go_on(zoo_says, "--model.optimizer.lr", "2.0", "--model.optimizer.betas", "[0.5, 0.5]")
    assert code == 0, said
    found = optimizer_of("o")
    assert (found["initial_lr"], tuple(found["betas"]), found["weight_decay"]) == (2.0, (0.5, 0.5), 0.25)
    assert found["lr"] == 2.0 * 0.5**3  # where the schedule was
    assert config_of("o")["model"]["init_args"]["optimizer"]["init_args"]["lr"] == 2.0


def test_a_learning_rate_without_a_schedule_is_obeyed(zoo_says):
    assert zoo_says(*FIT, "--out", "o")[0] == 0
    assert go_on(zoo_says, "--model.lr", "0.125")[0] == 0
    assert optimizer_of("o")["lr"] == 0.125


def test_a_run_goes_on_with_its_own_optimizer(zoo_says):
    assert zoo_says(*FIT, *PACED, "--out", "o")[0] == 0
    code, said = go_on(zoo_says, "--model.optimizer", "SGD", "--model.optimizer.lr", "0.1")
    assert (code, said.count("\n")) == (2, 1)
    assert "--model.optimizer SGD: the run of --ckpt o goes on with AdamW, as it was begun." in said
    assert go_on(zoo_says)[0] == 0
    assert optimizer_of("o")["lr"] == 0.5 * 0.5**3


@pytest.mark.parametrize("command", ["fit", "validate"])
def test_weights_of_another_method_are_called_so(zoo_says, command):
    assert zoo_says(*FIT, "--model", "toys.BlindToy", "--out", "o")[0] == 0
    code, said = zoo_says(command, "--model", "toy", "--ckpt", "o", "--out", "p", *QUIET)
    assert (code, said.count("\n")) == (2, 1)
    assert "--ckpt o holds weights of BlindToy, and the model is Toy. Leave --model out" in said


def test_shipped_weights_are_not_called_by_another_name(zoo_says, toy_zoo, tmp_path):
    (toy_zoo / "model" / "large.yaml").write_text("class_path: toys.Toy\ninit_args: {width: 99}\n")
    toy = checkpoints.save(tmp_path / "toy", {"class_path": "toys.Toy", "init_args": {}}, Toy().state_dict(), "# Toy")
    code, said = zoo_says("fit", "--model", "large", "--ckpt", str(toy), "--trainer.max_steps", "1", *QUIET)
    assert (code, said.count("\n")) == (2, 1)
    assert f"--ckpt {toy} holds weights of toy, not of large. Leave --model out" in said
    code, said = zoo_says(*FIT, "--ckpt", str(toy), "--out", "o")
    assert code == 0, said
    assert f"fit toy on openhand, 1 x cpu, precision 32-true, 16 parameters, model and weights of {toy}" in said


@pytest.mark.parametrize(("words", "share"), [((), 0.0), (("--model.codec_share", "0.5"), 0.5)])
def test_what_released_weights_have_learned_stays_unless_told_otherwise(zoo_says, tmp_path, words, share):
    weights = tmp_path / "weights"
    config = {"class_path": "toys.TwoPhases", "init_args": {"codec_share": 0.3}}
    checkpoints.save(weights, config, Toy().state_dict(), "# Toy")
    assert zoo_says("fit", "--ckpt", str(weights), "--trainer.max_steps", "1", "--out", "o", *words, *QUIET)[0] == 0
    assert config_of("o")["model"]["init_args"]["codec_share"] == share
    code, said = zoo_says("fit", "--config", "o/config.yaml", "--out", "again")
    assert code == 0, said
    assert config_of("again")["model"]["init_args"]["codec_share"] == share
    assert zoo_says("validate", "--ckpt", str(weights), "--out", "v", *QUIET)[0] == 0
    assert config_of("v")["model"]["init_args"]["codec_share"] == 0.3
