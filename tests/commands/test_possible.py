"""Options that pass the parser and cannot work."""

import pytest
from toys import FIT, config_of

import zoo
from zoo.__main__ import main
from zoo.commands import train

BAR = ("--trainer.enable_progress_bar", "false")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--trainer.accumulate_grad_batches", "0"), "_grad_batches 0: a step needs a batch. Give 1 or more."),
        (("--trainer.precision", "bf16-true"), "--trainer.precision bf16-true: data and losses are in 32 bits"),
        (("--trainer.precision", "16-true"), "Known: 32-true, bf16-mixed, 16-mixed."),
        (("--trainer.precision", "64"), "--trainer.precision 64: data"),
        (("--trainer.precision", "17"), "--trainer.precision got 17, which is none of these: 64, 32, 16, transformer"),
        (("--model.sampler", "null"), "--model.sampler null: Toy needs one. Leave the option out, or give it a value."),
        (("--learn.parts", "net"), "parts got net, which is none of these: a list of str as [first, second], null."),
        (("--learn.parts", "[]"), "--learn.parts [] would learn nothing. Name parts, or leave it out"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_one_sentence(zoo_says, monkeypatch, words, sentence):
    monkeypatch.setattr(train, "CALLBACKS", [("learn", train.Learn, {}), *train.CALLBACKS])
    code, said = zoo_says(*FIT, "--out", "o", *words)
    assert code != 0
    assert sentence in said
    assert said.count("\n") == 1
    assert not train.Path("o").exists()


def test_a_part_that_a_model_needs_is_not_null(capsys):
    assert main(["fit", "--model", "hhmr", "--model.denoiser", "null"]) == 2
    assert "--model.denoiser null: HHMR needs one." in capsys.readouterr().err


@pytest.mark.parametrize("name", zoo.names())
def test_no_model_of_the_zoo_is_refused(name, monkeypatch):
    def stop(*_):
        raise InterruptedError

    monkeypatch.setattr(train, "settle_image_branch", stop)  # what is called after the check
    with pytest.raises(InterruptedError):
        train.train(["fit", "--model", name])


def test_a_run_without_a_progress_bar(zoo_says, monkeypatch):
    monkeypatch.setattr(train, "CALLBACKS", [("progress", train.RunProgress, {}), *train.CALLBACKS])
    words = [word for word in FIT if word not in BAR]
    assert "100% step 2" in zoo_says(*words, "--out", "o")[1]
    code, said = zoo_says(*words, "--out", "p", *BAR)
    assert (code, "100%" in said) == (0, False), said
    assert config_of("p")["trainer"]["enable_progress_bar"] is False
