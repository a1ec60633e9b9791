import json

import pytest
import torch
import yaml
from torch import nn
from toys import Toy

import checkpoints
from checkpoints.load import SHIPPED, Weights, offline, sha256
from checkpoints.precision import halved, whole
from checkpoints.shipping import LARGEST
from zoo.__main__ import main

CONFIG = {"class_path": "toys.Toy", "init_args": {"width": 6}}
FACTS = {"licence": "Apache-2.0", "data": "toys", "scored_on": "2 toys", "command": "python -m zoo fit"}
SCORES = {"pa_mpvpe_mm/skeleton3d": 1.23456, "pa_f5/skeleton3d": 0.5, "apd_mm/none": 20.0, "step": 7}


@pytest.mark.parametrize("name", checkpoints.names() or [pytest.param("", marks=pytest.mark.skip("no weights yet"))])
def test_shipped_weights_are_whole_small_listed_and_give_hands(name):
    folder, entry = SHIPPED / name, checkpoints.manifest()[name]
    sums = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums == {path.name: sha256(path) for path in folder.iterdir() if path.name != "SHA256SUMS"}
    file = SHIPPED / entry["file"]
    assert (entry["bytes"], entry["sha256"]) == (file.stat().st_size, sha256(file))
    assert entry["bytes"] <= LARGEST + 100_000
    assert {"licence", "data", "hand", "scores", "time", "hardware", "command"} <= entry.keys()
    method = checkpoints.load(name)
    assert {value.dtype for value in method.parameters()} == {torch.float32}
    hands = method.sample({}, generator=torch.Generator().manual_seed(0), batch_size=2)
    span = hands["vertices"].norm(dim=-1).amax(-1)
    assert ((span > 0.08) & (span < 0.3)).all()


def test_every_entry_of_the_manifest_has_its_folder():
    assert sorted(checkpoints.manifest()) == checkpoints.names()


def test_half_precision_keeps_what_batchnorm_counted_to_the_bit():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    net[1].running_var.fill_(3e-9)  # float16 makes this zero
    net[1].num_batches_tracked.fill_(70_001)  # and this infinite
    half = halved(net.state_dict())
    assert half["0.weight"].dtype == torch.float16
    back = whole(half)
    for name in ("1.running_var", "1.running_mean", "1.num_batches_tracked", "1.weight", "0.bias"):
        assert torch.equal(back[name], net.state_dict()[name])
        assert back[name].dtype == net.state_dict()[name].dtype


@pytest.mark.parametrize("scale", [1e6, 1e-8])
def test_matrices_that_half_precision_would_ruin_stay_whole(scale):
    value = scale * torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(halved({"x": value})["x"], value)


def test_nothing_is_fetched_when_weights_are_loaded():
    config = {"class_path": "x", "init_args": {"image": {"init_args": {"pretrained": True, "size": 8}}}}
    assert offline(config)["init_args"]["image"]["init_args"] == {"pretrained": False, "size": 8}


def shipped(tmp_path, **more):
    weights = Weights({**CONFIG, **more}, dict(Toy(width=6).state_dict()))
    return checkpoints.ship("toy", weights, FACTS, SCORES, folder=tmp_path / "weights", replace=True)


def test_shipping_writes_weights_a_card_and_the_manifest(toy_zoo, tmp_path):
    folder = shipped(tmp_path)
    assert checkpoints.load(folder).width == 6
    entry = checkpoints.manifest(tmp_path / "weights")["toy"]
    assert entry["scores"] == {"pa_mpvpe_mm/skeleton3d": 1.2346, "apd_mm/none": 20.0}
    assert entry["sha256"] == sha256(folder / "model.safetensors")
    card = (folder / "README.md").read_text()
    assert "| pa_mpvpe_mm | 1.23 |" in card
    assert "- Trained on: toys" in card
    shipped(tmp_path)  # again, which replaces


def test_weights_for_a_hand_that_is_not_ours_or_too_large_do_not_ship(toy_zoo, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"need zoo\.Mano, whose files"):
        shipped(tmp_path, init_args={"hand": {"class_path": "zoo.Mano", "init_args": {"path": "x"}}})
    monkeypatch.setattr("checkpoints.shipping.LARGEST", 10)
    with pytest.raises(ValueError, match="at most 0 MB"):
        shipped(tmp_path)
    assert not (tmp_path / "weights" / "toy").exists()


def test_release_reads_scores_and_steps_and_refuses_to_replace(toy_zoo, tmp_path, capsys):
    model, path = Toy(width=5), tmp_path / "last.ckpt"
    hyper = {"_class_path": "toys.Toy", "width": 5}
    torch.save({"state_dict": model.state_dict(), "hyper_parameters": hyper, "global_step": 321}, path)
    (tmp_path / "metrics.json").write_text(json.dumps(SCORES))
    words = [
        "release", "toy", "--ckpt", str(path), "--command", "python -m zoo fit", "--time", "1 s",
        "--scores", str(tmp_path), "--to", str(tmp_path / "weights"),
    ]  # fmt: skip
    assert main(words) == 0
    entry = yaml.safe_load((tmp_path / "weights" / "manifest.yaml").read_text())["toy"]
    assert (entry["steps"], entry["command"], entry["hand"]) == (321, "python -m zoo fit", "OpenHand")
    assert main(words) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
