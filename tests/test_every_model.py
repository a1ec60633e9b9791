"""Each name of the zoo builds, learns from a batch with and without images, and samples."""

from typing import Any

import pytest
import torch
import yaml

import zoo
from datamodules.openhand.pose_stream import PoseStream
from zoo.batch import Given, HandBatch
from zoo.hands.openhand import OpenHand
from zoo.hands.poses import PosePrior
from zoo.models.hhmr import conditions_of
from zoo.registry import find

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
TINY: dict[str, dict[str, Any]] = {"hhmr": _SMALL, "hhmr-paper": _SMALL}


def batch() -> HandBatch:
    data = PoseStream(OpenHand(), PosePrior(), size=64).batch(0, 4)
    data["has_image"] = torch.tensor([True, False, True, False])
    data["image"] = torch.rand(2, 3, 64, 64)
    return data


@pytest.mark.parametrize("name", zoo.names())
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
