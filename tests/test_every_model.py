"""Each name of the zoo builds, learns from a batch with and without images, and samples."""

from typing import Any

import pytest
import torch
import yaml

import zoo
from checkpoints.save import save
from datamodules.openhand.pose_stream import PoseStream
from zoo.batch import Given, HandBatch
from zoo.hands.openhand import OpenHand
from zoo.hands.poses import PosePrior
from zoo.models.hhmr import conditions_of
from zoo.registry import build, find

_SMALL = {
    "conditioner.image": {
        "class_path": "ImageMapper",
        "init_args": {"dim": 16, "backbone": "resnet18", "size": 64, "depth": 1, "heads": 2, "width": 16},
    },
    "conditioner.skeleton2d.dim": 16,
    "conditioner.skeleton3d.dim": 16,
    "denoiser.condition": 16,
    "denoiser.sizes": [49, 16],
    "denoiser.widths": [8, 16, 16],
    "denoiser.heads": 2,
    "denoiser.self_attention": [2],
    "denoiser.cross_attention": [0, 2],
    "sampler.steps": 2,
}
_SMALL_SD = {
    "codec.widths": [8, 8, 16, 16], "codec.groups": 4, "text.width": 32, "text.layers": 2, "text.heads": 1,
    "text.vocab": 600, "unet.widths": [16, 32], "unet.heads": 2, "unet.context": 32, "unet.groups": 8, "unet.side": 8,
    "size": 64, "sampler.steps": 2,
}  # fmt: skip
_SMALL_GUIDE = {"size": 64, "resolution": 8, "sampler.steps": 2}
TINY: dict[str, dict[str, Any]] = {
    "hhmr": _SMALL,
    "hhmr-paper": _SMALL,
    "tiny-sd": _SMALL_SD,
    "attentionhand": _SMALL_GUIDE,
    "attentionhand-paper": _SMALL_GUIDE,
    "attentionhand-released": {**_SMALL_GUIDE, "tas.iterations": 2, "words.grammar": "Suffix"},
}
HANDS = [name for name in zoo.names() if name.startswith("hhmr")]
GUIDES = [name for name in zoo.names() if name.startswith("attentionhand")]


def batch() -> HandBatch:
    data = PoseStream(OpenHand(), PosePrior(), size=64).batch(0, 4)
    data["has_image"] = torch.tensor([True, False, True, False])
    data["image"] = torch.rand(2, 3, 64, 64)
    return data


@pytest.fixture(scope="module")
def toy_base(tmp_path_factory):
    """The configuration of tiny-sd at reduced size, as released weights."""
    config = yaml.safe_load(find("model", "tiny-sd").read_text())
    for key, value in TINY["tiny-sd"].items():
        *parents, last = key.split(".")
        place = config["init_args"]
        for parent in parents:
            place = place.setdefault(parent, {"class_path": "DDIM"}).setdefault("init_args", {})
        place[last] = value
    torch.manual_seed(0)
    return str(save(tmp_path_factory.mktemp("base") / "toy", config, build(config).state_dict(), "A toy."))


def scenes() -> dict[str, Any]:
    torch.manual_seed(1)
    pictures = dict(zip(("image", "image_local", "mesh", "mesh_local"), torch.rand(4, 2, 3, 64, 64), strict=True))
    there = torch.ones(2, dtype=torch.bool)
    return {**pictures, "has_image": there, "has_mesh_image": there, "text": ["a hand", "an open hand"]}


@pytest.mark.parametrize("name", ["tiny-sd", *GUIDES])
def test_every_picture_model_learns_and_samples(name, toy_base, monkeypatch):
    torch.manual_seed(0)
    model = zoo.create(name, **({"base": toy_base} if name in GUIDES else {}), **TINY[name])
    for silent in ("log", "log_dict"):
        monkeypatch.setattr(model, silent, lambda *_, **__: None)
    monkeypatch.setattr("zoo.models.latent_diffusion.progress", lambda _: 0.9)  # the U-Net's turn
    monkeypatch.setattr(type(model), "trainer", None)
    data = scenes()
    loss = model.training_step(data, 0)
    loss.backward()
    assert loss.isfinite()
    assert any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in model.parameters())
    images = model.eval().sample({"text": data["text"], "mesh": data["mesh"]}, [0, 1])
    assert images.shape == (2, 3, 64, 64)
    assert images.isfinite().all()


def test_a_base_that_is_not_given_is_asked_for():
    for name in ("attentionhand-paper", "attentionhand-released"):
        with pytest.raises(
            FileNotFoundError, match=r"--model\.base stable-diffusion-1\.5 .*diffusers.*safetensors.*hub"
        ):
            zoo.create(name)


def test_every_name_is_covered():
    assert {*HANDS, "tiny-sd", *GUIDES} == set(zoo.names()) == TINY.keys()


@pytest.mark.parametrize("name", HANDS)
def test_every_model_learns_and_samples(name):
    torch.manual_seed(0)
    model, data = zoo.create(name, **TINY[name]), batch()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    t, noise = torch.tensor([10, 300, 600, 999]), torch.randn_like(data["vertices"])
    losses = []
    for _ in range(15):
        torch.manual_seed(1)
        loss = torch.stack(list(model.step_losses(data, t, noise).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.97 * losses[0]
    model.eval()
    for given in (conditions_of(data), Given()):
        assert model.sample(given, n=2, batch_size=4)["vertices"].isfinite().all()


@pytest.mark.parametrize("name", zoo.names())
def test_a_config_is_short_and_names_its_class(name):
    text = find("model", name).read_text()
    assert len(text.splitlines()) <= 40
    assert yaml.safe_load(text)["class_path"].startswith("zoo.")


def test_the_published_size_builds_from_its_name():
    model = zoo.create("hhmr-paper")
    assert model.denoiser.sizes == (778, 389, 195, 98)
    assert model.conditioner.parts["image"].patches == 64
    assert model.schedule.steps == 1000
