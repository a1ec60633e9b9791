import errno
import json
import signal
from pathlib import Path

import pytest
import yaml
from toys import FIT, QUIET, config_of, steps_of

from zoo import registry
from zoo.commands import folder


def test_a_model_of_hands_refuses_whole_pictures_before_it_starts(zoo_says, monkeypatch):
    from toys import ToyData

    monkeypatch.setattr(ToyData, "rows", property(lambda _: "scenes", lambda *_: None), raising=False)
    code, said = zoo_says(*FIT, "--out", "wrong")
    assert code == 2
    assert "toy reads hands, but openhand gives scenes. Give --data.rows hands" in said
    assert not Path("wrong").exists()


def test_fit_writes_a_run_folder_that_says_all_it_needs_to_repeat_it(zoo_says, tmp_path):
    code, said = zoo_says(*FIT, "--out", "first", "--seed", "3", "--model.width", "6")
    assert code == 0, said
    assert said.splitlines()[0] == ("fit toy on openhand, 1 x cpu, precision 32-true, 24 parameters, files in first")
    config = config_of("first")
    assert config["model"]["init_args"] == {
        "width": 6, "lr": 0.5, "sampler": {"class_path": "toys.Leap", "init_args": {"steps": 5}}
    }  # fmt: skip
    assert (config["seed_everything"], config["out"]) == (3, None)
    code, said = zoo_says("fit", "--config", "first/config.yaml", "--out", "second")
    assert code == 0, said
    again = config_of("second")
    assert again == config


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["fti"], "fti is not a command. Did you mean fit?"),
        (["fit"], "fit needs --model NAME. Known: toy."),
        (["fit", "--model", "tyo"], "--model=tyo is not in the zoo. Did you mean toy? Known: toy."),
        (["fit", "--model", "Tyo"], "--model=Tyo is not known. Did you mean toy? Known: toy."),
        (["fit", "--model", "toy", "--data=opnhand"], "--data=opnhand is not in the zoo. Did you mean openhand?"),
        (
            ["fit", "--model", "toy", "--model.widht", "4"],
            "--model.widht is not an option. Did you mean --model.width?",
        ),
        (["fit", "--model", "toy", "--data.rooot=x"], "--data.rooot is not an option. Did you mean --data.root?"),
        (["fit", "--model", "toy", "--trainer.max_setps=3"], "not an option. Did you mean --trainer.max_steps?"),
        (["fit", "--model", "toy", "--tracer", "csv"], "--tracer is not an option. Did you mean --tracker?"),
        (["fit", "--model", "toy", "--tracker", "wadnb"], "--tracker got wadnb, which is not one of"),
        (["fit", "--model", "toy", "--model.width", "wide"], "--model.width got wide, which is not an int."),
        (["fit", "--model", "toy", "--model.sampler", "Laep"], "--model.sampler=Laep is not known. Did you mean Leap?"),
        (["fit", "--model", "toy", "--model.sampler.stesp=3"], "Did you mean --model.sampler.steps?"),
        (["fit", "--model", "toy", "--config", "no.yaml"], "--config no.yaml is not a file."),
        (["fit", "--model", "toy", "--data.seed", "3"], "--data.seed would be ignored"),
        (["fit", "--model", "toy", "--data.seed=3"], "Give --seed N"),
        (["fit", "--model", "toy", "left"], "'left' is left over"),
        (["list", "--al"], "--al is not an option."),
        (["data", "darw"], "data darw is not a command. Did you mean draw?"),
        (["sample", "--task", "paint"], "--task got paint, which is not one of"),
        (["sample", "--limit", "few"], "--limit got few, which is not an int."),
        (["sample", "--side", "up"], "--side got up, which is not one of left, right."),
        (["sample", "--seed", "-1"], "--seed -1 is no seed. Give a number from 0."),
        (["sample", "--task", "fit"], "sample --task fit needs --input"),
    ],
)
def test_wrong_usage_is_one_sentence_that_says_how_to_mend_it(zoo_says, argv, sentence):
    code, said = zoo_says(*argv)
    assert code == 2, said
    assert sentence in said
    assert "Traceback" not in said
    assert said.count("\n") == 1


def test_a_config_beats_run_defaults_and_flags_beat_both(zoo_says, toy_zoo, tmp_path):
    (toy_zoo / "model" / "runs").mkdir()
    (toy_zoo / "model" / "runs" / "toy.yaml").write_text("trainer: {max_steps: 1, max_epochs: 1, accelerator: cpu}")
    config = tmp_path / "mine.yaml"
    config.write_text("trainer: {max_steps: 2, max_epochs: 2}\nmodel: {init_args: {width: 5, lr: 0.25}}\n")
    code, said = zoo_says(
        "fit", "--config", str(config), "--model", "toy", "--model.lr", "0.125", "--trainer.max_epochs=3", "--out", "o",
        *QUIET,
    )  # fmt: skip
    assert code == 0, said
    saved = config_of("o")
    assert (saved["trainer"]["max_steps"], saved["trainer"]["max_epochs"]) == (2, 3)
    assert (saved["model"]["init_args"]["width"], saved["model"]["init_args"]["lr"]) == (5, 0.125)


def test_a_part_is_swapped_by_its_short_name(zoo_says):
    code, said = zoo_says(*FIT, "--model.sampler", "Stroll", "--model.sampler.steps", "9", "--out", "o")
    assert code == 0, said
    sampler = config_of("o")["model"]["init_args"]["sampler"]
    assert sampler == {"class_path": "toys.Stroll", "init_args": {"steps": 9}}


def test_one_seed_decides_the_data_too(zoo_says, monkeypatch):
    seen = []
    monkeypatch.setattr("toys.ToyData.setup", lambda self, stage: seen.append(self.seed))
    assert zoo_says(*FIT, "--out", "o", "--seed", "11")[0] == 0
    assert seen[0] == 11


def test_print_config_help_and_class_help_need_no_run(zoo_says):
    code, said = zoo_says("fit", "--model=toy", "--print_config")
    assert code == 0
    assert yaml.safe_load(said)["model"]["class_path"] == "toys.Toy"
    code, said = zoo_says("fit", "--help")
    assert code == 0
    assert "--tracker" in said
    code, said = zoo_says("fit", "--model.help", "toy")
    assert code == 0
    assert "--model.width" in said
    assert zoo_says("sample", "--help")[0] == 0
    assert zoo_says()[0] == 0
    assert not folder.Path(folder.PARENT).exists()


def test_a_full_output_folder_is_refused_and_left_as_it_was(zoo_says, tmp_path):
    precious = tmp_path / "work" / "o"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years")
    code, said = zoo_says(*FIT, "--out", "o")
    assert (code, said.count("\n")) == (1, 1)
    assert "--out o is not empty. Give another folder" in said
    code, said = zoo_says(*FIT, "--out", "o", "--overwrite")
    assert "does not look like the folder of a run" in said
    assert (precious / "thesis.txt").read_text() == "years"


def test_a_run_folder_is_overwritten_only_when_asked_and_resumed_with_ckpt(zoo_says):
    assert zoo_says(*FIT, "--out", "o")[0] == 0
    assert zoo_says(*FIT, "--out", "o")[0] == 1
    code, said = zoo_says(*FIT, "--out", "o", "--ckpt", "o", "--trainer.max_steps", "4")
    assert code == 0, said
    assert steps_of("o") == 4
    assert zoo_says(*FIT, "--out", "o", "--overwrite")[0] == 0
    assert steps_of("o") == 2


def test_a_run_goes_on_as_it_was_told(zoo_says):
    told = ("--seed", "5", "--trainer.accumulate_grad_batches", "2", "--trainer.gradient_clip_val", "0.5")
    assert zoo_says(*FIT, "--out", "o", *told)[0] == 0
    code, said = zoo_says(
        "fit", "--ckpt", "o", "--out", "o", "--trainer.max_steps", "3", "--trainer.gradient_clip_val", "0.7"
    )
    assert code == 0, said
    found = config_of("o")
    assert found["seed_everything"] == 5
    trainer = found["trainer"]
    assert (trainer["accumulate_grad_batches"], trainer["gradient_clip_val"], trainer["max_steps"]) == (2, 0.7, 3)
    assert steps_of("o") == 3


def test_a_run_that_is_over_does_not_pretend_to_go_on(zoo_says):
    assert zoo_says(*FIT, "--out", "o")[0] == 0
    code, said = zoo_says("fit", "--ckpt", "o", "--out", "p", *QUIET)
    assert code == 2
    assert "had reached its run's limits (max_steps 2" in said
    assert "nothing was trained" in said


def test_overwrite_keeps_what_the_run_reads(zoo_says, tmp_path):
    assert zoo_says(*FIT, "--out", "o")[0] == 0
    code, said = zoo_says(*FIT, "--config", "o/config.yaml", "--out", "o", "--overwrite")
    assert code == 2
    assert "--overwrite would delete o/config.yaml" in said
    assert steps_of("o") == 2


def test_weights_that_nobody_trained_are_called_so(zoo_says):
    assert "untrained: --ckpt gives it weights" in zoo_says("validate", "--model", "toy", "--out", "v", *QUIET)[1]
    code, said = zoo_says(*FIT, "--out", "o")
    assert (code, "untrained" in said) == (0, False)
    assert "untrained" not in zoo_says("validate", "--ckpt", "o", "--out", "w", *QUIET)[1]


def test_a_checkpoint_says_which_model_it_is(zoo_says):
    assert zoo_says(*FIT, "--out", "o", "--model.width", "7")[0] == 0
    code, said = zoo_says("validate", "--ckpt", "o", "--out", "v", *QUIET)
    assert code == 0, said
    assert config_of("v")["model"]["init_args"]["width"] == 7


def test_a_run_is_scored_on_and_goes_on_with_its_own_data(zoo_says):
    epoch = ("--trainer.max_steps", "4")
    assert zoo_says(*FIT, "--out", "o", "--data", "other", "--data.batch_size", "4", *epoch)[0] == 0
    for words in (("validate", *QUIET), (*FIT, "--trainer.max_steps", "8")):
        code, said = zoo_says(*words, "--ckpt", "o", "--out", words[0])
        assert code == 0, said
        assert config_of(words[0])["data"]["init_args"]["batch_size"] == 4
    code, said = zoo_says("validate", *QUIET, "--ckpt", "o", "--out", "v", "--data", "openhand")
    assert config_of("v")["data"]["init_args"]["batch_size"] == 8, said


def test_a_run_that_cannot_start_leaves_its_folder_to_the_next_try(zoo_says):
    assert zoo_says(*FIT, "--data.root", "nowhere", "--out", "o")[0] == 1
    assert not Path("o").exists()
    assert zoo_says(*FIT, "--out", "o")[0] == 0


def test_a_missing_checkpoint_or_dataset_is_a_sentence(zoo_says):
    code, said = zoo_says(*FIT, "--ckpt", "nothing")
    assert (code, said.count("\n")) == (1, 1)
    assert "--ckpt nothing is neither a file, nor a folder, nor a known name" in said
    code, said = zoo_says(*FIT, "--data.root", "nowhere", "--out", "o")
    assert code == 1
    assert said.splitlines()[-1] == "zoo: nowhere holds no data. Pass --data.root with the folder that does."


def test_what_a_constructor_refuses_is_its_own_sentence(zoo_says):
    code, said = zoo_says(*FIT, "--data.batch_size", "0", "--out", "o")
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("zoo: batch_size=0")
    assert said.endswith("Set --data.NAME of the one that is less.\n")


def test_traceback_brings_the_traceback_back(zoo_says):
    with pytest.raises(FileNotFoundError, match="nowhere holds no data"):
        zoo_says(*FIT, "--data.root", "nowhere", "--out", "o", "--traceback")


def test_no_space_left_is_explained_and_nothing_half_written_remains(zoo_says, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "config.yaml")

    monkeypatch.setattr("os.replace", full)
    code, said = zoo_says(*FIT, "--out", "o")
    assert code == 1
    assert "No space is left on the disk while writing config.yaml" in said
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_exit_code_of_an_interrupted_run_is_handed_on(zoo_says, monkeypatch, number):
    def interrupted(self, batch, index):
        raise SystemExit(128 + number)

    monkeypatch.setattr("toys.Toy.training_step", interrupted)
    assert zoo_says(*FIT, "--out", "o")[0] == 128 + number


def test_list_names_what_there_is(zoo_says):
    code, said = zoo_says("list")
    assert code == 0
    for word in ("toy                A toy.", "openhand           Toy numbers.", "DDIM", "doctor"):
        assert word in said
    assert "Sampler " not in said


def test_json_of_a_class_is_a_model(zoo_says):
    spec = json.dumps({"class_path": "toys.Toy", "init_args": {"width": 2}})
    assert zoo_says("fit", f"--model={spec}", "--trainer.max_steps", "1", "--out", "o", *QUIET)[0] == 0


def test_the_folder_of_an_unnamed_class_is_named_after_it(toy_zoo):
    assert registry.name_of("model", "elsewhere.Walrus") == "walrus"
    assert registry.name_of("model", "toys.Toy") == "toy"
