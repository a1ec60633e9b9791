"""AttentionHand starts from the authors' checkpoint; its copy, exported, makes the same pictures in diffusers."""

import layout
import pytest
import reduced
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline

import checkpoints
from zoo.__main__ import main
from zoo.bases import read_guide
from zoo.guidance.base import Guidance
from zoo.models import AttentionHand
from zoo.samplers import DDIM

TEXTS = ["a hand, holding a cup", "a red glove"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The authors' checkpoint, converted; and a model of ours that starts from it, released."""
    folder, base = tmp_path_factory.mktemp("exchange"), reduced.base()
    state = layout.attentionhand_state(base, reduced.dual(base, spread=0.03).guide)
    torch.save({"state_dict": state}, folder / "attentionhand.ckpt")
    assert main(["convert", "base", str(folder / "attentionhand.ckpt"), "--to", str(folder / "sd")]) == 0
    settings = {"base": str(folder / "sd"), "guide": str(folder / "attentionhand.ckpt"), "size": 64, "resolution": 8}
    model = AttentionHand(**settings)
    config = {"class_path": "zoo.models.AttentionHand", "init_args": {**settings, "guide": None}}
    checkpoints.save(folder / "ours", config, model.state_dict(), "# Reduced")
    assert main(["convert", "guide", str(folder / "ours"), "--to", str(folder / "net")]) == 0
    return folder


def test_the_exported_copy_is_the_one_that_the_authors_checkpoint_held(folder):
    found = checkpoints.load(folder / "ours")
    assert reduced.same(read_guide(str(folder / "net")), found.dual.guide)
    assert reduced.same(read_guide(str(folder / "attentionhand.ckpt")), found.dual.guide)


def test_a_model_with_one_copy_has_no_local_one(folder, capsys):
    words = ["convert", "guide", str(folder / "ours"), "--branch", "local", "--to", str(folder / "local")]
    assert main(words) == 2
    assert "has one copy for both branches. Leave --branch out." in capsys.readouterr().err


@pytest.fixture(scope="module")
def asked():
    return {"text": TEXTS, "mesh": torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))}


@pytest.fixture(scope="module")
def pipeline(folder):
    """Diffusers' own, of nothing but what was exported."""
    found = StableDiffusionControlNetPipeline.from_pretrained(
        folder / "sd",
        controlnet=ControlNetModel.from_pretrained(folder / "net", low_cpu_mem_usage=False),
        low_cpu_mem_usage=False,
    )
    found.set_progress_bar_config(disable=True)
    return found


@pytest.mark.parametrize(
    ("steps", "strength"), [(5, 1.0), (7, 0.6)]
)  # a number that divides 1000, and one that does not
def test_without_text_attention_pictures_are_those_of_diffusers_pipeline(folder, pipeline, asked, steps, strength):
    """Same files, texts, mesh images and seeds; 2e-6 apart where this was written."""
    theirs = pipeline(
        TEXTS, asked["mesh"], height=64, width=64, num_inference_steps=steps, guidance_scale=7.5,
        controlnet_conditioning_scale=strength, generator=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
        output_type="pt",
    ).images  # fmt: skip
    model, sampler = checkpoints.load(folder / "ours"), DDIM(steps, spacing="leading", offset=1)
    ours = model.sample(asked, [5, 6], sampler, 7.5, strength=strength, attend=False)
    assert ours.std() > 0.02
    assert (ours - theirs).abs().max() < 2e-5
    # what the tolerance can tell apart: text attention, another end
    for end, attend in ((1, True), (0, False)):
        sampler = DDIM(steps, spacing="leading", offset=end)
        other = model.sample(asked, [5, 6], sampler, 7.5, strength=strength, attend=attend)
        assert (other - theirs).abs().max() > 1e-3


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_pictures_keep_no_gradients_of_their_steps(folder, asked, mode):
    model, wanted = checkpoints.load(folder / "ours"), []

    class Seen(Guidance):
        def __call__(self, denoise, unconditional, schedule):
            def seen(x, t):
                found = denoise(x, t)
                wanted.append(found.x0.requires_grad)
                return found

            return seen

    for attend in (False, True):
        with mode():
            assert not model.sample(asked, [5, 6], DDIM(2), guidance=[Seen()], attend=attend).requires_grad
    assert wanted == [False] * 4
