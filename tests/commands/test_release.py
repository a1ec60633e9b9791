"""What the card of released weights says comes from the run, or is asked for."""

import json

import pytest
import torch
import yaml
from toys import Toy

import checkpoints
from zoo.__main__ import main
from zoo.commands.provenance import borrowed, judged_on, trained_on

SCORES = {"pa_mpvpe_mm/skeleton3d": 1.23456, "step": 7}
OPENHAND = {"class_path": "datamodules.OpenHandData", "init_args": {"images": False, "samples": 1500}}
FREIHAND = {"class_path": "datamodules.FreiHAND", "init_args": {"images": True}}


@pytest.fixture
def run(toy_zoo, tmp_path):
    """The folder of a run, and of its test."""
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    hyper = {"_class_path": "toys.Toy", "width": 5}
    state = {"state_dict": Toy(width=5).state_dict(), "hyper_parameters": hyper, "global_step": 321}
    torch.save(state, tmp_path / "run" / "checkpoints" / "last.ckpt")
    settle(tmp_path / "run", OPENHAND)
    model = {"class_path": "toys.Toy", "init_args": {"sampler": {"class_path": "toys.Leap", "init_args": {"steps": 3}}}}
    settle(tmp_path / "test", {**OPENHAND, "init_args": {"test_samples": 48}}, model=model)
    (tmp_path / "test" / "metrics.json").write_text(json.dumps(SCORES))
    return tmp_path / "run"


def settle(folder, data, **more):
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": data, "ckpt": None, "trainer": {}, **more}))


def release(run, *words, scores="test"):
    return main([
        "release", "toy", f"--ckpt={run}", "--time=1 s", f"--scores={run.parent / scores}",
        f"--to={run.parent / 'weights'}", f"--command=python -m zoo fit --data.root {run}/data", *words,
    ])  # fmt: skip


def entry(run):
    return checkpoints.manifest(run.parent / "weights")["toy"]


def test_the_card_says_what_run_and_test_say(run, capsys):
    assert release(run) == 0
    made = entry(run)
    assert (made["steps"], made["command"], made["licence"]) == (
        321,
        "python -m zoo fit --data.root data",
        "Apache-2.0",
    )
    assert made["data"] == "OpenHand (embedded hand, MIT), made on the spot; no recorded images"
    assert made["scored_on"] == "48 held-out hands of OpenHand, Leap 3, one sample a hand, mm"
    files = [path for path in (run.parent / "weights").rglob("*") if path.is_file()]
    assert len(files) == 5
    assert not [path for path in files if str(run.parent).encode() in path.read_bytes()]
    assert release(run) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert release(run, "--overwrite") == 0


def test_weights_of_other_data_need_a_licence(run, capsys):
    settle(run, FREIHAND)
    assert release(run) == 2
    assert "learned from freihand, whose terms decide" in capsys.readouterr().err
    assert not (run.parent / "weights").exists()
    assert release(run, "--licence=research only") == 0
    assert entry(run)["licence"] == "research only"
    assert entry(run)["data"] == "freihand, with its images"


def test_what_nothing_tells_is_asked_for(run, capsys):
    (run / "config.yaml").unlink()
    assert release(run) == 2
    assert "does not say what it was trained on. Say it with --data" in capsys.readouterr().err
    assert release(run, "--data=hands") == 2
    assert "--licence" in capsys.readouterr().err
    (run.parent / "test" / "config.yaml").unlink()
    assert release(run, "--data=hands", "--licence=MIT") == 2
    assert "Say it with --scored_on" in capsys.readouterr().err
    assert release(run, "--data=hands", "--licence=MIT", "--scored_on=9 hands") == 0
    assert (entry(run)["data"], entry(run)["licence"], entry(run)["scored_on"]) == ("hands", "MIT", "9 hands")
    assert release(run, "--data=hands", "--licence=MIT", "--overwrite", scores="nowhere") == 2
    assert "is not a metrics.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"images": True, "samples": 4000}, "4,000 of its hands in drawn pictures; no recorded images"),
        ({"weights": None, "images": True}, "made on the spot; no recorded images"),
        (
            {"weights": {"freihand": 1, "ho3d": None, "interhand": 2}, "images": False},
            "freihand and interhand, without",
        ),
    ],
)
def test_data_in_words(data, said):
    kind = "Mix" if "weights" in data else "OpenHandData"
    assert said in trained_on({"data": {"class_path": f"datamodules.{kind}", "init_args": data}})


@pytest.mark.parametrize(
    ("run", "model", "said"),
    [
        ({}, {}, None),
        ({"ckpt": "hhmr"}, {"base": "hhmr", "guide": None, "part": {"pretrained": False}}, None),
        ({"ckpt": "/home/me/theirs"}, {}, "ckpt theirs"),
        ({}, {"base": "owner/sd"}, "base owner/sd"),
        ({}, {"guide": "controlnet"}, "guide controlnet"),
        ({}, {"image": {"init_args": {"pretrained": True}}}, "pretrained True"),
    ],
)
def test_weights_that_others_began_are_borrowed(run, model, said):
    assert borrowed({"data": OPENHAND, **run}, {"init_args": model}, ["hhmr"]) == said


def test_a_test_of_a_part_does_not_say_of_how_many():
    assert judged_on({"data": FREIHAND, "trainer": {"limit_test_batches": None}}, "hands") == (
        "the hands in the test split of freihand"
    )
    assert judged_on({"data": FREIHAND, "trainer": {"limit_test_batches": 2}}, "hands") is None
