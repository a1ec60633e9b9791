"""What the card of released weights says comes from the run, or is asked for."""

import json

import pytest
import torch
import yaml
from toys import Toy

import checkpoints
from zoo.__main__ import main
from zoo.commands.provenance import borrowed, dataset, is_ours, judged_on, trained_on

SCORES = {"pa_mpvpe_mm/skeleton3d": 1.23456, "step": 7}
OPENHAND = {"class_path": "datamodules.OpenHandData", "init_args": {"images": False, "samples": 1500}}
TERMS = "whose terms decide how its weights may be passed on"
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
    test = {**OPENHAND, "init_args": {"test_samples": 48}}
    settle(tmp_path / "test", test, model=model, ckpt=str(tmp_path / "run"))
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
    assert f"{run} does not say what it learned from. Name the licence" in capsys.readouterr().err
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
        ({"ckpt": "/home/me/theirs"}, {}, "went on from theirs, which does not say what it learned from"),
        ({}, {"base": "owner/sd"}, f"learned from base owner/sd, {TERMS}"),
        ({}, {"guide": "controlnet"}, f"learned from guide controlnet, {TERMS}"),
        ({}, {"image": {"init_args": {"pretrained": True}}}, f"learned from pretrained True, {TERMS}"),
        ({}, {"a": {"pretrained": True}, "b": {"pretrained": False}}, f"learned from pretrained True, {TERMS}"),
        ({}, {"parts": [{"part": 1}, {"init_args": {"base": "owner/sd"}}]}, f"learned from base owner/sd, {TERMS}"),
    ],
)
def test_weights_that_others_began_are_borrowed(run, model, said):
    assert borrowed({"data": OPENHAND, **run}, {"init_args": model}, ["hhmr"]) == said


def test_weights_that_went_on_from_a_run_learned_what_it_did(run, capsys):
    settle(run.parent / "next", OPENHAND, ckpt=str(run))
    after = yaml.safe_load((run.parent / "next" / "config.yaml").read_text())
    assert borrowed(after, {}, []) is None
    settle(run, FREIHAND)
    assert borrowed(after, {}, []) == f"went on from run, which learned from freihand, {TERMS}"
    settle(run, OPENHAND, model={"init_args": {"image": {"pretrained": True}}})
    assert borrowed(after, {}, []) == f"went on from run, which learned from pretrained True, {TERMS}"
    settle(run, OPENHAND, ckpt=str(run))  # began with weights that it then replaced
    assert borrowed(after, {}, []).endswith("which does not say what it learned from")


@pytest.mark.parametrize(
    ("given", "ours", "name"),
    [
        ({"weights": None}, True, "openhand"),
        (
            {"weights": None, "options": {"poses": {"images": False}}, "roots": {"openhand": "pictures"}},
            True,
            "openhand",
        ),
        ({"weights": None, "options": {"poses/data": "freihand"}}, False, "openhand and freihand"),
        ({"weights": None, "options": {"poses.data": "freihand"}}, False, "openhand and freihand"),
        ({"weights": None, "options": {"poses": {"data": "freihand"}}}, False, "openhand and freihand"),
        ({"weights": {"openhand": 1.0}}, True, "openhand"),
        ({"weights": {"openhand": 1.0, "freihand": "null"}}, True, "openhand"),
        ({"weights": {"openhand": 1, "more": 2}, "options": {"more/data": "openhand-scenes"}}, True, None),
        ({"weights": {"openhand": 1.0}, "options": {"openhand/data": "ho3d"}}, False, "ho3d"),
        ({"weights": {"openhand": 1, "strange": 1}}, False, "openhand and strange"),
    ],
)
def test_a_mixture_is_ours_when_all_that_its_parts_read_is(given, ours, name):
    mix = {"class_path": "datamodules.Mix", "init_args": given}
    assert is_ours(mix) is ours
    assert name in (None, dataset(mix))
    assert ("OpenHand (embedded hand, MIT)" in trained_on({"data": mix})) is ours


def test_a_mixture_that_was_given_no_parts_has_those_that_provenance_knows():
    from datamodules.mix import _FREE_OPTIONS, FREE
    from zoo.commands.provenance import _FREE

    assert {name: _FREE_OPTIONS[name].get("data", name) for name in FREE} == _FREE


def test_scores_of_other_weights_are_not_taken_for_these(run, capsys):
    told = {"class_path": "datamodules.OpenHandData", "init_args": {"test_samples": 48}}
    model = {"class_path": "toys.Toy", "init_args": {}}
    settle(run.parent / "test", told, model=model, ckpt="hhmr")
    assert release(run) == 2
    said = capsys.readouterr().err
    assert "is of the weights hhmr, and last.ckpt is released" in said
    assert "--scored_on" in said
    settle(run.parent / "test", told, model=model)
    assert release(run) == 2
    assert "of untrained weights" in capsys.readouterr().err
    assert release(run, "--scored_on=the weights before") == 0
    settle(run.parent / "test", told, model=model, ckpt=str(run / "checkpoints" / "last.ckpt"))
    assert release(run, "--overwrite") == 0
    assert entry(run)["scored_on"].startswith("48 held-out hands")


def test_released_weights_bring_data_and_licence_of_their_manifest(run, capsys):
    settle(run, FREIHAND)
    assert release(run, "--licence=research only") == 0
    kept = entry(run)
    words = ["release", "again", f"--ckpt={run.parent / 'weights' / 'toy'}", "--time=1 s", "--command=none"]
    words += [f"--scores={run.parent / 'test'}", "--scored_on=few", f"--to={run.parent / 'weights'}"]
    assert main(words) == 0
    again = checkpoints.manifest(run.parent / "weights")["again"]
    assert (again["data"], again["licence"]) == (kept["data"], "research only")
    manifest = run.parent / "weights" / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace(kept["sha256"], "0"))  # of other weights
    assert main([*words, "--overwrite"]) == 2
    assert "does not say what it was trained on" in capsys.readouterr().err


def test_weights_that_ship_are_released_under_their_own_licence(run):
    words = [f"--to={run.parent / 'weights'}", f"--scores={run.parent / 'test'}", "--scored_on=few"]
    assert main(["release", "again", "--ckpt=hhmr", "--time=1 s", "--command=none", *words]) == 0
    again, hhmr = checkpoints.manifest(run.parent / "weights")["again"], checkpoints.manifest()["hhmr"]
    assert (again["data"], again["licence"]) == (hhmr["data"], hhmr["licence"])


def test_a_test_of_a_part_does_not_say_of_how_many():
    assert judged_on({"data": FREIHAND, "trainer": {"limit_test_batches": None}}, "hands") == (
        "the hands in the test split of freihand"
    )
    assert judged_on({"data": FREIHAND, "trainer": {"limit_test_batches": 1.0, "fast_dev_run": False}}, "hands")
    for part in (
        {"limit_test_batches": 2},
        {"limit_test_batches": 1},
        {"limit_test_batches": 0.5},
        {"fast_dev_run": True},
        {"fast_dev_run": 3},
        {"overfit_batches": 0.1},
    ):
        assert judged_on({"data": FREIHAND, "trainer": part}, "hands") is None
