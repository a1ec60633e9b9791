"""Names of bases that are neither files nor folders: the hub's, offline, and those of weights that ship."""

import hashlib
import json

import huggingface_hub.constants
import pytest
import reduced
import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from zoo.bases import hub, load_base, shipped
from zoo.bases.write import write_base
from zoo.diffusion import NoiseSchedule


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """A hub that cannot be reached, with an empty cache."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_id_of_the_hub_comes_out_of_the_cache_without_a_network(offline, base):
    model = offline / "models--some--one-v1.5"
    write_base(base, model / "snapshots" / "abc")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc")
    assert load_base("some/one-v1.5").hash == base.hash


def test_without_a_network_an_id_says_what_else_may_be_given(offline):
    with pytest.raises(ValueError, match=r"some/one is neither a folder nor a file here.*cannot be reached"):
        load_base("some/one")


def test_only_what_a_base_needs_is_asked_for(monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda name, **more: asked.update(more, name=name) or tmp_path
    )
    assert hub.fetch("some/one") == tmp_path
    there = [
        "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors", "v1-5.ckpt",
        "unet/diffusion_pytorch_model.non_ema.safetensors", "unet/diffusion_pytorch_model.bin", "unet/config.json",
        "safety_checker/model.safetensors", "safety_checker/config.json", "text_encoder/model.safetensors",
        "scheduler/scheduler_config.json", "README.md",
    ]  # fmt: skip
    kept = huggingface_hub.utils.filter_repo_objects(
        there, allow_patterns=asked["allow_patterns"], ignore_patterns=asked["ignore_patterns"]
    )
    assert list(kept) == [
        there[0],
        "unet/config.json",
        "text_encoder/model.safetensors",
        "scheduler/scheduler_config.json",
    ]


class Small(nn.Module):
    """Stands for the model that trains a base."""

    def __init__(self, found):
        super().__init__()
        self.codec, self.text, self.unet = found.codec, found.text, found.unet
        self.schedule = NoiseSchedule("scaled_linear")


@pytest.fixture
def shelf(tmp_path, monkeypatch, base):
    """Shipped weights: one base, and one that is none; and a model that starts from other weights."""
    folder = tmp_path / "weights" / "small-sd"
    folder.mkdir(parents=True)
    half = {key: value.half() if value.ndim > 1 else value for key, value in Small(base).state_dict().items()}
    save_file({key: value.clone() for key, value in half.items()}, folder / "model.safetensors")
    (folder / "model.yaml").write_text(yaml.safe_dump({"class_path": "zoo.models.LatentDiffusion", "init_args": {}}))
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
             for name in ("model.safetensors", "model.yaml")]  # fmt: skip
    (folder / "SHA256SUMS").write_text("".join(lines))
    (tmp_path / "weights" / "hands").mkdir()
    (tmp_path / "weights" / "hands" / "model.yaml").write_text("class_path: zoo.models.HHMR\ninit_args: {}\n")

    def other(config):
        found = reduced.base()
        with torch.no_grad():
            for weight in Small(found).parameters():
                weight += 1
        return Small(found)

    monkeypatch.setattr(shipped, "build", other)
    monkeypatch.setattr("zoo.bases.load.shelf", lambda: tmp_path / "weights")
    monkeypatch.setattr(shipped, "shelf", lambda: tmp_path / "weights")
    return tmp_path / "weights"


def test_weights_that_ship_are_a_base_by_name_and_by_folder(shelf, base):
    assert load_base("small-sd").hash == base.hash
    assert load_base(str(shelf / "small-sd")).hash == base.hash


def test_weights_of_another_method_are_no_base(shelf):
    with pytest.raises(ValueError, match=r"holds the weights of HHMR, which is no base\. Known bases: small-sd"):
        load_base(str(shelf / "hands"))
    with pytest.raises(FileNotFoundError, match=r"Did you mean small-sd\?"):
        load_base("smal-sd")


def test_damaged_weights_are_refused(shelf):
    path = shelf / "small-sd" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ValueError, match="is damaged: its sha256 is not that in SHA256SUMS"):
        load_base("small-sd")


def test_the_shelf_is_the_projects_own_folder_of_weights():
    from checkpoints.load import SHIPPED

    assert shipped.shelf() == SHIPPED
    assert "hhmr" not in shipped.shipped_names()
    assert json.dumps(shipped.shipped_names())
