"""One file with all parts: Stable Diffusion's, ControlNet's, and AttentionHand's own checkpoint."""

import layout
import pytest
import reduced
import torch
from safetensors.torch import save_file

from zoo.bases import load_base, read_guide
from zoo.bases.names import codec_name, guide_name, unet_name
from zoo.bases.original import base_of, guide_of, idle_lines, open_original
from zoo.bases.report import Misfit, table
from zoo.bases.write import write_original


def saved(path, state, **more):
    torch.save({"state_dict": state, **more}, path)
    return path


def test_names_at_the_published_size_are_the_originals():
    """Spot checks against names that Stable Diffusion 1.5 and ControlNet are known by."""
    assert unet_name("down_blocks.1.attentions.0.proj_in.weight", 2) == "input_blocks.4.1.proj_in.weight"
    assert unet_name("down_blocks.0.downsamplers.0.conv.bias", 2) == "input_blocks.3.0.op.bias"
    assert unet_name("up_blocks.0.upsamplers.0.conv.weight", 2) == "output_blocks.2.1.conv.weight"
    assert unet_name("up_blocks.1.upsamplers.0.conv.weight", 2) == "output_blocks.5.2.conv.weight"
    assert unet_name("up_blocks.3.resnets.2.conv_shortcut.weight", 2) == "output_blocks.11.0.skip_connection.weight"
    assert unet_name("mid_block.resnets.1.time_emb_proj.weight", 2) == "middle_block.2.emb_layers.1.weight"
    assert guide_name("controlnet_cond_embedding.conv_out.weight", 2) == "input_hint_block.14.weight"
    assert guide_name("controlnet_down_blocks.11.bias", 2) == "zero_convs.11.0.bias"
    assert codec_name("decoder.up_blocks.0.resnets.0.conv1.weight", 4) == "decoder.up.3.block.0.conv1.weight"
    assert codec_name("encoder.mid_block.attentions.0.to_out.0.bias", 4) == "encoder.mid.attn_1.proj_out.bias"


@pytest.mark.parametrize(("widths", "layers"), [((32, 64), 1), ((8, 16, 16, 16), 2), ((8, 8, 16), 3)])
def test_names_and_sizes_come_back_at_other_depths(widths, layers):
    from diffusers import ControlNetModel

    from zoo.bases.sizes import codec_sizes, unet_sizes
    from zoo.denoisers.latent_unet import LatentUNet
    from zoo.encoders.codec import KLCodec

    net = LatentUNet(4, widths, layers, heads=4, context=24, groups=8).net
    assert unet_sizes(layout.unet_state(net, "")) == (4, widths, layers, 24)
    layout.unet_state(net)
    assert unet_sizes(layout.guide_state(ControlNetModel.from_unet(net), "")) == (4, widths, layers, 24)
    codec = KLCodec(widths, layers, 3, groups=8).net
    assert codec_sizes(layout.codec_state(codec, "")) == (widths, layers, 3)


def test_a_safetensors_file_and_a_checkpoint_give_the_same_base(tmp_path, base):
    state = layout.base_state(base)
    save_file({key: value.contiguous().clone() for key, value in state.items()}, tmp_path / "a.safetensors")
    saved(tmp_path / "a.ckpt", state)
    torch.save(state, tmp_path / "b.ckpt")
    for name in ("a.safetensors", "a.ckpt", "b.ckpt"):
        found = load_base(str(tmp_path / name))
        assert reduced.same(found.unet, base.unet)
        assert reduced.same(found.codec, base.codec)
        assert reduced.same(found.text, base.text)
        assert found.hash == base.hash
        assert found.schedule.kind == "scaled_linear"
        assert not found.unet.training


def test_half_precision_and_the_plain_prefix_of_the_text_change_nothing_but_rounding(tmp_path, base):
    state = {key: value.half() if value.is_floating_point() and key != "betas" else value
             for key, value in layout.base_state(base).items()}  # fmt: skip
    short = {key.replace("transformer.text_model.", "transformer."): value for key, value in state.items()}
    found = load_base(str(saved(tmp_path / "half.ckpt", short)))
    assert found.hash == base.hash
    assert next(found.unet.parameters()).dtype == torch.float32


def test_another_weight_is_another_base(base):
    other = reduced.base()
    with torch.no_grad():
        other.unet.net.conv_in.bias[0] += 0.01
    from zoo.bases import identity

    assert identity(other) != base.hash


@pytest.mark.parametrize("prefix", ["VAS.", "control_model."])
def test_attentionhands_checkpoint_gives_guide_and_base_and_says_what_it_left(tmp_path, base, guide, prefix):
    state = layout.attentionhand_state(base, guide)
    state = {key.replace("VAS.", prefix): value for key, value in state.items()}
    file = open_original(saved(tmp_path / "attentionhand.ckpt", state, epoch=3, global_step=7))
    found, lines = base_of(file)
    copy, line = guide_of(file)
    assert found.hash == base.hash
    assert reduced.same(copy, guide)
    said = table([*lines, line, *idle_lines(file)])
    assert "second U-Net (TAS)" in said
    assert "read and not needed, because attention maps come from the frozen U-Net itself" in said
    assert "embeddings.position_ids not needed" in said
    assert "assumed, as in version 1.5: 8 heads, 32 groups, latents of 64, predicts the noise\n" in said
    assert (
        "embeddings.position_ids not needed; assumed, as in version 1.5: 1 heads, quick GELU, padding with end" in said
    )
    assert line.note == "assumed, as in version 1.5: 8 heads, 32 groups"
    counted = sum(each.read for each in [*lines, line, *idle_lines(file)])
    assert counted == len(state) - 1  # the positions


def test_what_tensors_do_not_tell_is_assumed_and_said_only_where_the_file_does_not_say_it(tmp_path, base, guide):
    state = {key: value for key, value in layout.base_state(base).items() if key != "betas"}
    _, lines = base_of(open_original(saved(tmp_path / "a.ckpt", state)))
    assert lines[0].note.endswith("predicts the noise, scaled_linear schedule of 1000 steps")
    write_original(base, tmp_path / "b.safetensors", guide)
    told = open_original(tmp_path / "b.safetensors")
    assert not any(line.note for line in [*base_of(told)[1], guide_of(told)[1]])


def test_what_is_missing_unexpected_and_of_another_shape_is_listed(tmp_path, base, guide):
    state = layout.attentionhand_state(base, guide)
    del state["model.diffusion_model.middle_block.0.in_layers.0.weight"], state["VAS.zero_convs.2.0.bias"]
    state["model.diffusion_model.input_blocks.1.0.skip.weight"] = torch.zeros(1)
    state["first_stage_model.encoder.conv_in.weight"] = torch.zeros(32, 1, 3, 3)
    file = open_original(saved(tmp_path / "a.ckpt", state))
    with pytest.raises(Misfit, match=r"U-Net: 1 missing \(middle_block\.0\.in_layers\.0\.weight\)") as caught:
        base_of(file)
    for told in (
        "1 unexpected (input_blocks.1.0.skip.weight)",
        "encoder.conv_in.weight [32, 1, 3, 3] for [32, 3, 3, 3]",
    ):
        assert told in str(caught.value)
    with pytest.raises(Misfit, match=r"guidance copy: 1 missing \(zero_convs\.2\.0\.bias\)"):
        guide_of(file)


def test_tensors_of_no_part_are_named_in_a_warning(tmp_path, base):
    state = layout.base_state(base) | {"lora.up": torch.zeros(2)}
    with pytest.warns(UserWarning, match=r"1 tensors that belong to no part.*lora\.up"):
        load_base(str(saved(tmp_path / "a.ckpt", state)))


def test_a_file_without_a_part_says_which_parts_it_has(tmp_path, base):
    state = {key: value for key, value in layout.base_state(base).items() if not key.startswith("cond_stage")}
    with pytest.raises(ValueError, match=r"has not the text encoder.*it has the U-Net, the autoencoder"):
        load_base(str(saved(tmp_path / "a.ckpt", state)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cond_stage_model.model.ln_final.weight": torch.zeros(8)}, "Stable Diffusion 2"),
        ({"conditioner.embedders.0.transformer.x": torch.zeros(8)}, "Stable Diffusion XL"),
        ({"model.diffusion_model.joint_blocks.0.x": torch.zeros(8)}, "diffusion transformer"),
        ({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(32, 9, 3, 3)}, "reads 9 channels and writes 4"),
        ({"first_stage_model.quantize.embedding.weight": torch.zeros(8, 4)}, "VQ autoencoder"),
        ({"betas": torch.linspace(0.1, 0.2, 1000)}, "noise schedule from 0.1 to 0.2"),
    ],
)
def test_other_models_are_refused_with_the_reason(tmp_path, base, change, said):
    with pytest.raises(ValueError, match=said):
        load_base(str(saved(tmp_path / "a.ckpt", layout.base_state(base) | change)))


def test_one_part_of_a_folder_is_refused(tmp_path, base):
    with pytest.raises(ValueError, match="one part of a diffusers folder"):
        load_base(str(saved(tmp_path / "a.ckpt", base.unet.net.state_dict())))


def test_a_guidance_copy_that_reads_no_mesh_image_is_refused(tmp_path, guide):
    state = {key: value for key, value in layout.guide_state(guide).items() if "hint" not in key}
    with pytest.raises(ValueError, match="it has no input_hint_block, which reads the mesh image"):
        read_guide(str(saved(tmp_path / "guide.pth", state)))


def test_a_guidance_copy_by_itself_is_read_with_and_without_its_prefix(tmp_path, base, guide):
    for prefix in ("control_model.", ""):
        path = saved(tmp_path / "guide.pth", layout.guide_state(guide, prefix))
        assert reduced.same(read_guide(str(path), base.unet, 8), guide)


def test_the_published_sizes_are_read_off_the_published_names_and_shapes():
    """686, 248 and 340 tensors: as many as Stable Diffusion 1.5's U-Net and autoencoder and ControlNet's copy have."""
    from zoo.bases.guides import empty_guide
    from zoo.bases.sizes import codec_sizes, unet_sizes
    from zoo.denoisers.latent_unet import LatentUNet
    from zoo.encoders.codec import KLCodec

    with torch.device("meta"):
        unet, codec = LatentUNet().net, KLCodec().net
    copy = empty_guide(4, (320, 640, 1280, 1280), 2, 8, 768, 32)
    state = {unet_name(key, 2): value for key, value in unet.state_dict().items()}
    assert (len(state), unet_sizes(state)) == (686, (4, (320, 640, 1280, 1280), 2, 768))
    state = {guide_name(key, 2): value for key, value in copy.state_dict().items()}
    assert (len(state), unet_sizes(state)) == (340, (4, (320, 640, 1280, 1280), 2, 768))
    state = {codec_name(key, 4): value for key, value in codec.state_dict().items()}
    assert (len(state), codec_sizes(state)) == (248, ((128, 256, 512, 512), 2, 4))
