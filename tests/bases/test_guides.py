"""Guidance copies: exported as a ControlNet, imported from one, and the same pictures as diffusers' pipeline makes."""

import json

import pytest
import reduced
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline

from zoo.bases import load_base, read_guide, start_guide
from zoo.bases.write import write_base, write_guide, write_original
from zoo.condition import Condition
from zoo.denoisers.dual_unet import DualUNet
from zoo.diffusion import Estimate
from zoo.guidance.classifier_free import ClassifierFree
from zoo.samplers import DDIM


@pytest.fixture(scope="module")
def written(tmp_path_factory, base, guide):
    folder = tmp_path_factory.mktemp("guide")
    write_base(base, folder / "sd")
    write_guide(guide, folder / "net")
    return folder


def test_the_exported_folder_is_a_controlnet_and_reads_back(written, base, guide):
    assert sorted(path.name for path in (written / "net").iterdir()) == [
        "config.json",
        "diffusion_pytorch_model.safetensors",
    ]
    assert reduced.same(ControlNetModel.from_pretrained(written / "net", low_cpu_mem_usage=False), guide)
    assert reduced.same(read_guide(str(written / "net"), base.unet, 8), guide)


def picture(base, dual, text, control, noise, sampler, scale):
    """A picture by our parts."""
    asked, nothing = base.text([text]).tokens, base.text.null(1).tokens

    def denoiser(tokens):
        def denoise(x, t):
            noise = dual(x, t, Condition(tokens=tokens, control=control))
            return Estimate(base.schedule.to_x0(noise, x, t, "eps"), x)

        return denoise

    guided = ClassifierFree(scale)(denoiser(asked), denoiser(nothing), base.schedule)
    return base.codec.decode(sampler(guided, noise, base.schedule))


@pytest.mark.parametrize("steps", [4, 7])
@torch.no_grad()
def test_our_picture_is_the_one_that_diffusers_pipeline_makes(written, steps):
    """Same files, prompt, mesh image and seed; both read from the written folders, none of it passed between them."""
    text, control = "a hand, holding a cup", torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    pipeline = StableDiffusionControlNetPipeline.from_pretrained(
        written / "sd",
        controlnet=ControlNetModel.from_pretrained(written / "net", low_cpu_mem_usage=False),
        low_cpu_mem_usage=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        text, control, height=64, width=64, num_inference_steps=steps, guidance_scale=7.5,
        generator=torch.Generator().manual_seed(5), output_type="pt",
    ).images  # fmt: skip

    base = load_base(str(written / "sd"))
    dual = DualUNet(base.unet).eval()
    untrained = picture(base, dual, text, control, torch.zeros(1, 4, 8, 8), DDIM(1), 1.0)
    start_guide(dual, str(written / "net"))
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    ours = picture(base, dual, text, control, noise, DDIM(steps, spacing="leading", offset=1), 7.5)
    assert ours.std() > 0.02
    assert (ours - theirs).abs().max() < 1e-3
    # what the tolerance can tell apart: other times, another end, no copy
    for other in (DDIM(steps), DDIM(steps, spacing="leading")):
        assert (picture(base, dual, text, control, noise, other, 7.5) - theirs).abs().max() > 1e-3
    guided = picture(base, dual, text, control, torch.zeros(1, 4, 8, 8), DDIM(1), 1.0)
    assert (guided - untrained).abs().max() > 1e-3


def test_both_copies_of_a_dual_unet_start_from_what_is_imported(written, guide):
    base = reduced.base()
    dual = DualUNet(base.unet, separate=True)
    start_guide(dual, str(written / "net"))
    assert reduced.same(dual.guide, guide)
    assert reduced.same(dual.guide_local, guide)
    with pytest.raises(ValueError, match=r"Set the dual U-Net's hint to \[16, 32, 96, 256\]"):
        start_guide(DualUNet(base.unet, hint=(16, 16, 16, 16)), str(written / "net"))


def test_a_copy_of_another_size_is_refused_and_says_in_what(written):
    other = reduced.base(heads=4)
    with pytest.raises(ValueError, match=r"does not fit the base's U-Net: attention_head_dim 8 for 4"):
        read_guide(str(written / "net"), other.unet)
    with pytest.raises(ValueError, match="8 times as large as the latents, but pictures are 4"):
        read_guide(str(written / "net"), None, 4)


def test_what_is_no_guidance_copy_is_refused(tmp_path, written):
    with pytest.raises(ValueError, match="of a UNet2DConditionModel, not of a ControlNetModel"):
        read_guide(str(written / "sd" / "unet"))
    with pytest.raises(FileNotFoundError, match="neither a folder nor a file"):
        read_guide(str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match=r"config\.json is not there"):
        read_guide(str(tmp_path))
    config = json.loads((written / "net" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"controlnet_conditioning_channel_order": "bgr"}))
    with pytest.raises(ValueError, match="channel_order bgr"):
        read_guide(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        read_guide(str(tmp_path))


def test_a_file_in_the_original_layout_keeps_what_tensors_do_not_tell(tmp_path):
    base = reduced.base(heads=2, groups=16, kind="linear", text_heads=4)
    guide = reduced.dual(base).guide
    for prefix in ("control_model.", "VAS."):
        file = tmp_path / f"{prefix}safetensors"
        write_original(base, file, guide, prefix)
        found = load_base(str(file))
        assert found.hash == base.hash
        assert (found.schedule.kind, found.unet.net.config.sample_size) == ("linear", 8)
        x, t = torch.randn(1, 4, 8, 8), torch.tensor([9])
        condition = base.text(["a hand"])
        torch.testing.assert_close(found.text(["a hand"]).tokens, condition.tokens, rtol=0, atol=0)
        torch.testing.assert_close(found.unet(x, t, condition), base.unet(x, t, condition), rtol=0, atol=0)
        assert reduced.same(read_guide(str(file), found.unet, 8), guide)


def test_what_is_there_is_not_overwritten_unless_asked(tmp_path, guide):
    write_guide(guide, tmp_path / "net")
    before = (tmp_path / "net" / "config.json").stat().st_mtime_ns
    with pytest.raises(FileExistsError, match="Give another --to, or --overwrite"):
        write_guide(guide, tmp_path / "net")
    assert (tmp_path / "net" / "config.json").stat().st_mtime_ns == before
    write_guide(guide, tmp_path / "net", overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(FileExistsError, match="will not empty it"):
        write_guide(guide, tmp_path / "mine", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "net"]
