from dataclasses import replace

import pytest
import torch
from torch import nn
from toys import Toy

import checkpoints
from checkpoints.kinds import HANDS, KINDS, kind_of
from checkpoints.load import SHIPPED, Weights, offline, sha256
from checkpoints.precision import halved, whole
from zoo.samplers import DDIM

CONFIG = {"class_path": "toys.Toy", "init_args": {"width": 6}}
FACTS = {"licence": "Apache-2.0", "data": "toys", "scored_on": "2 toys", "command": "python -m zoo fit"}
SCORES = {"pa_mpvpe_mm/skeleton3d": 1.23456, "pa_f5/skeleton3d": 0.5, "apd_mm/none": 20.0, "step": 7}


@pytest.mark.parametrize("name", checkpoints.names() or [pytest.param("", marks=pytest.mark.skip("no weights yet"))])
def test_shipped_weights_are_whole_small_listed_and_give_what_they_are_for(name):
    folder, entry = SHIPPED / name, checkpoints.manifest()[name]
    sums = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums == {path.name: sha256(path) for path in folder.iterdir() if path.name != "SHA256SUMS"}
    file = SHIPPED / entry["file"]
    assert (entry["bytes"], entry["sha256"]) == (file.stat().st_size, sha256(file))
    kind = kind_of(checkpoints.read(name).config)
    assert entry["bytes"] <= kind.largest + 100_000
    assert {"licence", "data", "hand", "scores", "time", "hardware", "command"} <= entry.keys()
    method = checkpoints.load(name)
    assert {value.dtype for value in method.parameters()} == {torch.float32}
    if kind.shows == "pictures":
        given = {"text": ["an open hand"], "mesh": torch.zeros(1, 3, method.size, method.size)}
        images = method.sample(given, [0], DDIM(steps=1))
        assert images.shape == (1, 3, method.size, method.size)
        assert images.std() > 0.01
        return
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
    monkeypatch.setattr("checkpoints.kinds.HANDS", replace(HANDS, largest=10))
    with pytest.raises(ValueError, match=r"at most 0 MB \(a mesh network alone\)"):
        shipped(tmp_path)
    assert not (tmp_path / "weights" / "toy").exists()


def test_picture_methods_have_their_own_limits_and_scores(toy_zoo, tmp_path, monkeypatch):
    assert KINDS["LatentDiffusion"].largest + KINDS["AttentionHand"].largest <= 80_000_000
    monkeypatch.setitem(KINDS, "Toy", KINDS["AttentionHand"])
    monkeypatch.setattr("checkpoints.shipping.load", checkpoints.read)  # a toy has no base
    state = {**Toy(width=6).state_dict(), "base_hash": torch.arange(224, 256, dtype=torch.uint8)}
    assert torch.equal(whole(halved(state))["base_hash"], state["base_hash"])
    scores = {"loss": 0.123456, "hand_iou/made": 0.8, "step": 7}
    folder = checkpoints.ship("toy", Weights(CONFIG, state), FACTS, scores, folder=tmp_path / "weights")
    assert checkpoints.manifest(tmp_path / "weights")["toy"]["scores"] == {"loss": 0.1235, "hand_iou/made": 0.8}
    card = (folder / "README.md").read_text()
    assert "| hand_iou/made | 0.8 |" in card
    assert 'sample --ckpt toy --prompt "A hand." --mesh hand.obj`' in card
    assert checkpoints.read(folder).state["base_hash"].dtype == torch.uint8


def test_weights_that_do_not_load_leave_nothing_behind(toy_zoo, tmp_path):
    folder = shipped(tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "weights").rglob("*") if path.is_file()}
    weights = Weights(CONFIG, dict(Toy(width=7).state_dict()))
    for name in ("toy", "other"):
        with pytest.raises((ValueError, RuntimeError), match=r"size mismatch|do not fit"):
            checkpoints.ship(name, weights, FACTS, SCORES, folder=folder.parent, replace=True)
    assert {path: path.read_bytes() for path in (tmp_path / "weights").rglob("*") if path.is_file()} == before
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == ["toy"]


def test_released_weights_keep_no_place_of_the_machine(toy_zoo, tmp_path):
    own = {"cache": str(tmp_path / "latents"), "guide": "controlnet", "size": 8}
    assert offline({"init_args": own})["init_args"] == {"cache": None, "guide": None, "size": 8}
    (tmp_path / "base").mkdir()
    with pytest.raises(ValueError, match=r"need base /.*/base, which is on this machine alone\. Say with --base"):
        shipped(tmp_path, init_args={"base": str(tmp_path / "base")})
    with pytest.raises(ValueError, match=r"need file ~/x, which is on this machine alone\. Keep such weights"):
        shipped(tmp_path, init_args={"parts": [{"init_args": {"file": "~/x"}}]})


@pytest.mark.parametrize("key", ["base", "file", "path", "root"])
def test_released_weights_keep_no_place_below_the_current_folder(toy_zoo, tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "math").mkdir()
    with pytest.raises(ValueError, match=f"need {key} math, which is on this machine alone"):
        shipped(tmp_path, init_args={"parts": [{"init_args": {key: "math"}}]})
    monkeypatch.setattr("checkpoints.shipping.load", checkpoints.read)  # a toy has no attention
    shipped(tmp_path, init_args={"width": 6, "attention": "math", key: "elsewhere"})
