"""What a run leaves of an earlier one, and of itself, when it does not get as far as its first checkpoint."""

import os
import signal
from pathlib import Path

import pytest
from toys import FIT, QUIET, config_of, steps_of

from zoo.commands.aside import lock, set_aside, unlock

BAD = (
    ("--data.batch_size", "0"),  # refused by a constructor
    ("--data.root", "nowhere"),  # when the data is set up
)


def files_of(out):
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(Path(out).rglob("*")) if path.is_file()}


@pytest.mark.parametrize("bad", BAD)
def test_overwrite_costs_nothing_when_an_option_is_bad(zoo_says, bad):
    assert zoo_says(*FIT, "--out", "o")[0] == 0
    before = files_of("o")
    assert zoo_says(*FIT, "--out", "o", "--overwrite", *bad)[0] != 0
    assert files_of("o") == before
    assert zoo_says(*FIT, "--out", "o", "--overwrite", "--seed", "4")[0] == 0
    assert config_of("o")["seed_everything"] == 4
    assert sorted(path.name for path in Path("o").iterdir()) == ["checkpoints", "config.yaml"]


@pytest.mark.parametrize("bad", [BAD[1], ("--model.width", "9")])
def test_a_run_that_cannot_go_on_keeps_its_settings(zoo_says, bad):
    assert zoo_says(*FIT, "--out", "o")[0] == 0
    before = files_of("o")
    code, said = zoo_says("fit", "--ckpt", "o", "--out", "o", "--trainer.max_steps", "4", *QUIET, *bad)
    assert code != 0, said
    assert files_of("o") == before


def test_a_run_in_a_linked_folder_is_overwritten_through_the_link(zoo_says):
    Path("disk").mkdir()
    Path("o").symlink_to("disk")
    assert zoo_says(*FIT, "--out", "o")[0] == 0
    assert zoo_says(*FIT, "--out", "o", "--overwrite", "--trainer.max_steps", "3")[0] == 0
    assert (Path("o").is_symlink(), steps_of("disk")) == (True, 3)


def test_scoring_a_run_does_not_write_over_it(zoo_says):
    assert zoo_says(*FIT, "--out", "o")[0] == 0
    before = files_of("o")
    for overwrite in ((), ("--overwrite",)):
        code, said = zoo_says("test", "--ckpt", "o", "--out", "o", *QUIET, *overwrite)
        assert code == 2
        assert "--out o is the run of --ckpt o/checkpoints/last.ckpt, and test would write over its settings" in said
        assert files_of("o") == before


def test_overwrite_does_not_delete_what_the_run_goes_on_from(zoo_says):
    assert zoo_says(*FIT, "--out", "o")[0] == 0
    code, said = zoo_says(*FIT, "--ckpt", "o", "--out", "o", "--overwrite", "--trainer.max_steps", "4")
    assert code == 2
    assert "--overwrite would delete o/checkpoints/last.ckpt" in said
    assert steps_of("o") == 2


def stopped(number):
    def step(self, batch, index):
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    return step


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_stopped_before_its_first_step_leaves_nothing_in_the_way(zoo_says, monkeypatch, number):
    with monkeypatch.context() as patch:
        patch.setattr("toys.Toy.training_step", stopped(number))
        assert zoo_says(*FIT, "--out", "o", "--tracker", "csv")[0] != 0
    assert not Path("o").exists()
    assert zoo_says(*FIT, "--out", "o", "--tracker", "csv")[0] == 0


def test_a_killed_run_without_a_checkpoint_is_simply_begun_again(zoo_says):
    assert zoo_says(*FIT, "--out", "o")[0] == 0
    os.rename("o/checkpoints/last.ckpt", "o/checkpoints/.last.ckpt.part")  # killed while it saved for the first time
    Path("o/log.csv").write_text("step,name,value\n")
    code, said = zoo_says(*FIT, "--out", "o", "--seed", "9")
    assert (code, said.count("\n")) == (1, 1)
    assert said.endswith("--out o is not empty. Give another folder, or --overwrite to replace what is there.\n")
    assert zoo_says(*FIT, "--out", "o")[0] == 0
    assert list(files_of("o")) == ["checkpoints/last.ckpt", "config.yaml"]


@pytest.mark.parametrize("mine", ["notes.txt", "checkpoints/mine.pt"])
def test_a_killed_run_with_something_of_the_users_is_left_alone(zoo_says, mine):
    assert zoo_says(*FIT, "--out", "o")[0] == 0
    Path("o/checkpoints/last.ckpt").unlink()
    Path("o", mine).write_text("mine")
    assert zoo_says(*FIT, "--out", "o")[0] == 1
    assert Path("o", mine).read_text() == "mine"


def test_what_a_killed_run_had_moved_aside_comes_back(zoo_says):
    assert zoo_says(*FIT, "--out", "o")[0] == 0
    before = files_of("o")
    names = [path.name for path in Path("o").iterdir()]
    Path("o/.before").mkdir()
    for name in names:
        os.rename(f"o/{name}", f"o/.before/{name}")
    Path("o/config.yaml").write_text("of the killed run")
    assert zoo_says(*FIT, "--out", "o")[0] == 1
    assert files_of("o") == before


def test_the_settings_of_a_run_that_went_on_repeat_the_whole_of_it(zoo_says):
    assert zoo_says(*FIT, "--out", "o")[0] == 0
    assert zoo_says("fit", "--ckpt", "o", "--out", "o", "--trainer.max_steps", "4", *QUIET)[0] == 0
    assert (config_of("o")["ckpt"], config_of("o")["trainer"]["max_steps"]) == (None, 4)
    assert zoo_says("fit", "--config", "o/config.yaml", "--out", "again")[0] == 0
    assert steps_of("again") == 4
    assert zoo_says("fit", "--ckpt", "o", "--out", "p", "--trainer.max_steps", "6", *QUIET)[0] == 0
    assert config_of("p")["ckpt"] == "o"


def broken(self, batch, index):
    Path("o/mine").mkdir(exist_ok=True)
    Path("o/mine/log.txt").write_text("of somebody's logger")
    raise ValueError("no step")


def test_however_often_a_run_does_not_begin_the_one_before_stays(zoo_says, monkeypatch):
    assert zoo_says(*FIT, "--out", "o")[0] == 0
    before = files_of("o")
    with monkeypatch.context() as patch:
        patch.setattr("toys.Toy.training_step", broken)
        for _ in range(2):
            assert zoo_says(*FIT, "--out", "o", "--overwrite")[0] != 0
            assert {name: text for name, text in files_of("o").items() if not name.startswith("mine")} == before


def test_a_checkpoint_that_a_killed_run_had_moved_aside_is_found(zoo_says):
    assert zoo_says(*FIT, "--out", "o")[0] == 0
    set_aside(Path("o"))
    Path("o/config.yaml").write_text("of the killed run")
    assert zoo_says("fit", "--ckpt", "o", "--out", "o", "--trainer.max_steps", "4", *QUIET)[0] == 0
    assert steps_of("o") == 4


def test_a_folder_in_which_another_process_works_is_refused(zoo_says):
    assert zoo_says(*FIT, "--out", "o")[0] == 0
    held, before = lock(Path("o")), files_of("o")
    for words in ((), ("--overwrite",)):
        code, said = zoo_says(*FIT, "--out", "o", *words)
        assert (code, said.count("another process works")) == (1, 1)
    assert files_of("o") == before
    unlock(Path("o"), held)
    assert zoo_says(*FIT, "--out", "o", "--overwrite")[0] == 0


def test_other_data_does_not_pass_for_what_a_run_has_learned_from(zoo_says):
    assert zoo_says(*FIT, "--out", "o")[0] == 0
    path = Path("o/config.yaml")
    path.write_text(path.read_text().replace("toys.ToyData", "datamodules.FreiHAND"))
    code, said = zoo_says(
        "fit", "--ckpt", "o", "--out", "o", "--data", "toys.ToyData", "--trainer.max_steps", "4", *QUIET
    )
    assert code == 2
    assert "--out o has learned from FreiHAND" in said
