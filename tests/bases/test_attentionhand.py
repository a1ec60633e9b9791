"""AttentionHand, its guidance copy exported, makes the picture that diffusers' own pipeline makes from the folders."""

import layout
import pytest
import reduced
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline

import checkpoints
from zoo.__main__ import main
from zoo.models import AttentionHand
from zoo.samplers import DDIM

TEXT, STEPS, SCALE = "a hand, holding a cup", 5, 7.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The authors' checkpoint, converted; and a model of ours that starts from it, released."""
    folder, base = tmp_path_factory.mktemp("exchange"), reduced.base()
    state = layout.attentionhand_state(base, reduced.dual(base).guide)
    torch.save({"state_dict": state}, folder / "attentionhand.ckpt")
    assert main(["convert", "base", str(folder / "attentionhand.ckpt"), "--to", str(folder / "sd")]) == 0
    settings = {"base": str(folder / "sd"), "guide": str(folder / "attentionhand.ckpt"), "size": 64, "resolution": 8}
    model = AttentionHand(**settings)
    config = {"class_path": "zoo.models.AttentionHand", "init_args": {**settings, "guide": None}}
    checkpoints.save(folder / "ours", config, model.state_dict(), "# Reduced")
    assert main(["convert", "guide", str(folder / "ours"), "--to", str(folder / "net")]) == 0
    return folder


@torch.no_grad()
def test_same_seed_and_inputs_give_the_pipelines_picture(folder):
    mesh = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    pipeline = StableDiffusionControlNetPipeline.from_pretrained(
        folder / "sd",
        controlnet=ControlNetModel.from_pretrained(folder / "net", low_cpu_mem_usage=False),
        low_cpu_mem_usage=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        TEXT, mesh, height=64, width=64, num_inference_steps=STEPS, guidance_scale=SCALE,
        generator=torch.Generator().manual_seed(5), output_type="pt",
    ).images  # fmt: skip
    model = checkpoints.load(folder / "ours")
    sampler = DDIM(STEPS, spacing="leading", offset=1)
    ours = model.sample({"text": [TEXT], "mesh": mesh}, [5], sampler, SCALE)
    assert ours.std() > 0.02
    assert (ours - theirs).abs().max() < 1e-3
    assert (model.sample({"text": [TEXT], "mesh": mesh}, [6], sampler, SCALE) - theirs).abs().max() > 1e-3


def test_a_model_with_one_copy_has_no_local_one(folder, capsys):
    words = ["convert", "guide", str(folder / "ours"), "--branch", "local", "--to", str(folder / "local")]
    assert main(words) == 2
    assert "has one copy for both branches. Leave --branch out." in capsys.readouterr().err
