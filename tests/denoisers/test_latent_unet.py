from dataclasses import replace

import pytest
import torch

from tests.denoisers.tiny_unet import TINY, noisy, tiny_unet
from tests.xformers_rules import stand_in
from zoo.denoisers import LatentUNet, Residuals

STABLE_DIFFUSION = {
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": (320, 640, 1280, 1280),
    "center_input_sample": False,
    "cross_attention_dim": 768,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}


def random_residuals(net, x_t, t, condition):
    half = net.encode(x_t, t, condition)
    return Residuals(tuple(torch.randn_like(skip) for skip in half.skips), torch.randn_like(half.hidden))


def test_the_defaults_are_stable_diffusion():
    with torch.device("meta"):
        net = LatentUNet().net
    assert {name: net.config[name] for name in STABLE_DIFFUSION} == STABLE_DIFFUSION
    assert sum(p.numel() for p in net.parameters()) == 859_520_964


@pytest.mark.parametrize("widths", [(32, 32), (32, 64, 32), (32, 32, 64, 64)])
@pytest.mark.parametrize("side", [8, 9, 13])
def test_the_two_halves_are_the_forward_of_diffusers(widths, side):
    net = tiny_unet(widths=widths, layers=2)
    x_t, t, condition = noisy(2, side, side + 3)
    residuals = random_residuals(net, x_t, t, condition)
    assert torch.equal(net(x_t, t, condition), net.net(x_t, t, condition.tokens).sample)
    theirs = net.net(
        x_t,
        t,
        condition.tokens,
        down_block_additional_residuals=residuals.down,
        mid_block_additional_residual=residuals.mid,
    ).sample
    assert torch.equal(net(x_t, t, condition, residuals), theirs)
    assert not torch.allclose(theirs, net(x_t, t, condition), atol=1e-2)


def test_masked_tokens_are_not_read():
    net = tiny_unet()
    x_t, t, condition = noisy()
    mask = torch.arange(7) < 4
    shorter = replace(condition, tokens=condition.tokens[:, :4])
    masked = net(x_t, t, replace(condition, mask=mask.expand(2, 7)))
    torch.testing.assert_close(masked, net(x_t, t, shorter))
    theirs = net.net(x_t, t, condition.tokens, encoder_attention_mask=mask.expand(2, 7)).sample
    assert torch.equal(masked, theirs)


@pytest.mark.parametrize("masked", [False, True])
def test_all_ways_to_attend_agree(masked, monkeypatch):
    stand_in(monkeypatch)
    x_t, t, condition = noisy()
    condition = replace(condition, mask=(torch.arange(7) < 4).expand(2, 7)) if masked else condition
    written_out = tiny_unet(attention="math")(x_t, t, condition)
    for way in ("auto", "sdpa", "xformers"):
        torch.testing.assert_close(tiny_unet(attention=way)(x_t, t, condition), written_out)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine where xformers cannot run")
def test_xformers_is_refused_where_it_does_not_work():
    with pytest.raises(ValueError, match="attention sdpa"):
        tiny_unet(attention="xformers")


def test_recomputed_activations_give_the_same_gradients():
    x_t, t, condition = noisy()
    gradients = []
    for checkpointing in (False, True):
        net = tiny_unet(checkpointing=checkpointing)
        assert net.net.is_gradient_checkpointing == checkpointing
        net(x_t, t, condition).square().sum().backward()
        gradients.append([p.grad for p in net.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_weights_of_half_precision_take_and_give_latents_of_full_precision():
    net = tiny_unet()
    x_t, t, condition = noisy()
    exact = net(x_t, t, condition)
    rounded = net.bfloat16()(x_t, t, condition)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.1, atol=0.1)


def test_a_condition_without_tokens_is_refused():
    x_t, t, condition = noisy()
    with pytest.raises(ValueError, match="no tokens"):
        tiny_unet()(x_t, t, replace(condition, tokens=None))


def test_residuals_of_another_network_are_refused():
    net = tiny_unet()
    x_t, t, condition = noisy()
    residuals = random_residuals(net, x_t, t, condition)
    with pytest.raises(ValueError, match="3 residuals were given for 4 skip"):
        net(x_t, t, condition, Residuals(residuals.down[:-1], residuals.mid))


@pytest.mark.parametrize("wrong", [{"groups": 7}, {"heads": 5}])
def test_widths_that_groups_or_heads_do_not_divide_are_refused(wrong):
    with pytest.raises(ValueError, match="must divide every width, but not 32"):
        LatentUNet(**TINY | wrong)
