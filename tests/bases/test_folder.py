"""Folders of diffusers: written by us, by diffusers itself, and old ones."""

import json
import shutil

import pytest
import reduced
import torch
from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from zoo.bases import load_base
from zoo.bases.write import write_base
from zoo.encoders.clip_keys import to_hugging_face


@pytest.fixture(scope="module")
def written(tmp_path_factory, base):
    folder = tmp_path_factory.mktemp("base") / "sd"
    write_base(base, folder)
    return folder


@pytest.fixture
def folder(tmp_path, written):
    return shutil.copytree(written, tmp_path / "sd")


def change(path, **settings):
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_a_written_folder_reads_back_as_the_same_base(written, base):
    found = load_base(str(written))
    assert reduced.same(found.unet, base.unet)
    assert reduced.same(found.codec, base.codec)
    assert reduced.same(found.text, base.text)
    assert found.hash == base.hash
    assert (found.schedule.kind, found.codec.scale) == ("scaled_linear", 0.18215)
    assert found.unet.net.config.sample_size == 8


def test_the_scale_that_training_found_is_kept(tmp_path):
    base = reduced.base()
    base.codec.scale = 0.25
    write_base(base, tmp_path / "sd")
    assert load_base(str(tmp_path / "sd")).codec.scale == 0.25
    assert AutoencoderKL.load_config(tmp_path / "sd" / "vae")["scaling_factor"] == 0.25


def test_diffusers_and_transformers_read_the_written_parts(written, base):
    from transformers import CLIPTextModel, CLIPTokenizer

    assert reduced.same(UNet2DConditionModel.from_pretrained(written / "unet", low_cpu_mem_usage=False), base.unet.net)
    assert reduced.same(AutoencoderKL.from_pretrained(written / "vae", low_cpu_mem_usage=False), base.codec.net)
    betas = DDIMScheduler.from_pretrained(written / "scheduler").betas
    torch.testing.assert_close(betas, base.schedule.beta, rtol=1e-5, atol=0)
    texts = ["A hand holding an umbrella, close-up!", "", "naïve café  ABC it's"]
    tokens = CLIPTokenizer.from_pretrained(written / "tokenizer")(
        texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    ).input_ids
    torch.testing.assert_close(tokens, base.text.tokenize(texts))
    with torch.no_grad():
        states = CLIPTextModel.from_pretrained(written / "text_encoder").eval()(tokens).last_hidden_state
        torch.testing.assert_close(states, base.text(texts).tokens, rtol=1e-4, atol=1e-5)


def test_a_folder_that_diffusers_wrote_itself_in_old_spelling_reads_the_same(folder, base):
    """Folders of version 1.5 have PNDM's settings, pickled weights, and the autoencoder's names of before 0.18."""
    PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").save_pretrained(
        folder / "scheduler"
    )
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    for now, then in old.items():
        state = {key.replace(f".attentions.0.{now}.", f".attentions.0.{then}."): value for key, value in state.items()}
    save_file(state, folder / "vae" / "diffusion_pytorch_model.safetensors")
    text = to_hugging_face(base.text.state_dict()) | {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    torch.save(text, folder / "text_encoder" / "pytorch_model.bin")
    (folder / "text_encoder" / "model.safetensors").unlink()
    for key in ("scaling_factor", "force_upcast", "shift_factor", "latents_mean", "latents_std", "use_quant_conv"):
        settings = json.loads((folder / "vae" / "config.json").read_text())
        settings.pop(key, None)
        (folder / "vae" / "config.json").write_text(json.dumps(settings))
    assert any(key.endswith("query.weight") for key in state)
    assert load_base(str(folder)).hash == base.hash


def test_missing_parts_are_listed(folder):
    shutil.rmtree(folder / "vae")
    with pytest.raises(FileNotFoundError, match=r"it has no vae/config\.json\. Copy the whole folder"):
        load_base(str(folder))


def test_missing_weights_are_named(folder):
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="unet has no weights: none of diffusion_pytorch_model"):
        load_base(str(folder))


@pytest.mark.parametrize(
    ("part", "settings", "said"),
    [
        ("unet", {"attention_head_dim": [5, 10, 20, 20]}, "as Stable Diffusion 2 has"),
        ("unet", {"use_linear_projection": True}, "use_linear_projection True"),
        ("unet", {"addition_embed_type": "text_time"}, "addition_embed_type text_time"),
        ("unet", {"in_channels": 9}, "reads 9 channels and writes 4"),
        ("unet", {"block_out_channels": [32, 96]}, r"\[64\] for \[96\]"),
        ("unet", {"down_block_types": ["DownBlock2D", "DownBlock2D"]}, "down_block_types"),
        ("vae", {"latents_mean": [0.0]}, "latents_mean"),
        ("text_encoder", {"hidden_act": "relu"}, "relu"),
        ("scheduler", {"prediction_type": "v_prediction"}, "predicts v_prediction"),
        ("scheduler", {"beta_end": 0.5}, "none of scaled_linear"),
        ("scheduler", {"beta_schedule": "sigmoid"}, "sigmoid"),
    ],
)
def test_what_version_1_has_not_is_refused_with_the_reason(folder, part, settings, said):
    name = "scheduler_config" if part == "scheduler" else "config"
    change(folder / part / f"{name}.json", **settings)
    with pytest.raises(ValueError, match=said):
        load_base(str(folder))


def test_two_text_encoders_are_refused(folder):
    shutil.copytree(folder / "text_encoder", folder / "text_encoder_2")
    with pytest.raises(ValueError, match="Stable Diffusion XL"):
        load_base(str(folder))


def test_a_name_that_is_nothing_says_what_names_there_are():
    with pytest.raises(FileNotFoundError, match=r"--model\.base no-such is not there.*owner/name"):
        load_base("no-such")
    with pytest.raises(FileNotFoundError, match="is not there"):
        load_base("weights/no-such.ckpt")
