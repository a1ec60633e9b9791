from contextlib import nullcontext

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0, CustomDiffusionAttnProcessor

from zoo.denoisers.attention_maps import AttentionOf, attention_of, captured, cost

TOKENS, CONTEXT = 7, 12


def unet(widths=(32, 64), layers=1, seed=0):
    """Attention on all levels but the last, and in the middle, as Stable Diffusion has it."""
    torch.manual_seed(seed)
    inner = len(widths) - 1
    net = UNet2DConditionModel(
        sample_size=16,
        down_block_types=("CrossAttnDownBlock2D",) * inner + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * inner,
        block_out_channels=widths,
        layers_per_block=layers,
        attention_head_dim=4,
        cross_attention_dim=CONTEXT,
        norm_num_groups=16,
    ).eval()
    for weights in net.parameters():  # attention that differs from place to place and from token to token
        weights.data.mul_(1.5)
    return net


def asked(rows=2, side=16, seed=1):
    source = torch.Generator().manual_seed(seed)
    return (
        torch.randn(rows, 4, side, side, generator=source),
        torch.randint(1000, (rows,), generator=source),
        3 * torch.randn(rows, TOKENS, CONTEXT, generator=source),
    )


def by_hand(net, x_t, t, states, names):
    """The maps from the weights of the projections and what an ordinary forward pass gave them."""
    inputs, hooks = {}, []
    for name in names:
        layer = net.get_submodule(name)
        take = lambda module, args, kwargs, name=name: inputs.update({name: args[0]})  # noqa: E731
        hooks.append(layer.register_forward_pre_hook(take, with_kwargs=True))
    with torch.no_grad():
        net(x_t, t, states)
    for hook in hooks:
        hook.remove()
    maps = []
    for name, x in inputs.items():
        layer = net.get_submodule(name)
        for row in range(len(x)):
            q, k = x[row] @ layer.to_q.weight.T, states[row] @ layer.to_k.weight.T
            for head in range(layer.heads):
                d = q.shape[1] // layer.heads
                part = slice(head * d, (head + 1) * d)
                maps.append((row, torch.softmax(q[:, part] @ k[:, part].T / d**0.5, dim=1)))
    side = round(len(maps[0][1]) ** 0.5)
    return torch.stack(
        [torch.stack([m for r, m in maps if r == row]).mean(0).view(side, side, -1) for row in range(len(x_t))]
    )


DOWN = "down_blocks.{}.attentions.{}.transformer_blocks.0.attn2"
MID = "mid_block.attentions.0.transformer_blocks.0.attn2"
UP = "up_blocks.{}.attentions.{}.transformer_blocks.0.attn2"


@pytest.mark.parametrize(
    ("places", "resolution", "names"),
    [
        (("down", "up"), 16, [DOWN.format(0, 0), UP.format(2, 0), UP.format(2, 1)]),
        (("down", "up"), 8, [DOWN.format(1, 0), UP.format(1, 0), UP.format(1, 1)]),
        (("down",), 8, [DOWN.format(1, 0)]),
        (("up",), 8, [UP.format(1, 0), UP.format(1, 1)]),
        (("down", "mid", "up"), 4, [MID]),
    ],
)
def test_maps_are_those_of_the_projections_and_the_same_without_the_rest_of_the_network(places, resolution, names):
    net, given = unet((32, 32, 64)), asked()
    expected = by_hand(net, *given, names)
    with captured(net, (16, 16), resolution, places) as kept, torch.no_grad():
        net(*given)
    alone = attention_of(net, *given, resolution, places)
    assert alone.shape == (2, resolution, resolution, TOKENS)
    torch.testing.assert_close(kept.calls[0], expected)
    torch.testing.assert_close(alone, expected)
    torch.testing.assert_close(alone.sum(-1), torch.ones(2, resolution, resolution))
    assert expected.std(dim=(1, 2)).amax() > 1e-3  # there is something to see


def test_nothing_after_the_last_layer_that_counts_is_computed():
    net, ran = unet((32, 32, 64)), []
    for name, module in net.named_modules():
        module.register_forward_pre_hook(lambda module, args, name=name: ran.append(name))
    attention_of(net, *asked(), 8)
    last = UP.format(1, 1)
    assert f"{last}.to_k" in ran
    assert f"{last}.to_v" not in ran
    assert not any(name.startswith(("up_blocks.2", "up_blocks.1.upsamplers", "conv_out")) for name in ran)
    ran.clear()
    attention_of(net, *asked(), 8, ("down",))
    assert not any(name.startswith(("mid_block", "up_blocks", "down_blocks.2")) for name in ran)


def test_the_network_says_the_same_while_its_maps_are_kept_and_other_layers_keep_their_attention():
    net, given = unet((32, 32, 64)), asked()
    before = net.attn_processors
    with torch.no_grad():
        plain = net(*given).sample
        with captured(net, (16, 16), 8):
            torch.testing.assert_close(net(*given).sample, plain)
            changed = {name for name, one in net.attn_processors.items() if one is not before[name]}
    places = (DOWN.format(1, 0), UP.format(1, 0), UP.format(1, 1))
    assert changed == {f"{name}.processor" for name in places}
    assert all(net.attn_processors[name] is one for name, one in before.items())


@pytest.mark.parametrize("processor", [AttnProcessor, AttnProcessor2_0])
def test_attention_comes_back_after_an_error(processor):
    net = unet()
    net.set_attn_processor(processor())
    net.enable_gradient_checkpointing()
    net.requires_grad_(True)
    before = net.attn_processors
    with pytest.raises(RuntimeError):
        attention_of(net, torch.randn(2, 5, 16, 16), *asked()[1:])  # five channels are one too many
    assert all(net.attn_processors[name] is one for name, one in before.items())
    assert all(module.gradient_checkpointing for module in net.modules() if hasattr(module, "gradient_checkpointing"))
    assert all(weights.requires_grad for weights in net.parameters())
    with pytest.raises(KeyError, match="halfway"), captured(net, (16, 16)):
        raise KeyError("halfway")
    assert all(net.attn_processors[name] is one for name, one in before.items())


def test_an_interrupted_call_leaves_nothing_in_the_next():
    net, given = unet(), asked()
    with captured(net, (16, 16)) as kept, torch.no_grad():
        hook = net.mid_block.register_forward_pre_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            net(*given)
        hook.remove()
        net(*given)
    assert len(kept.calls) == 1
    torch.testing.assert_close(kept.calls[0], attention_of(net, *given))


def test_every_call_has_its_own_maps_of_any_number_of_rows():
    net = unet()
    one, three = asked(1, seed=2), asked(3, seed=3)
    with captured(net, (16, 16)) as kept, torch.no_grad():
        net(*one)
        net(*three)
    assert [len(maps) for maps in kept.calls] == [1, 3]
    torch.testing.assert_close(kept.calls[1], attention_of(net, *three))
    for row in range(3):
        alone = attention_of(net, *(x[row : row + 1] for x in three))
        torch.testing.assert_close(kept.calls[1][row : row + 1], alone)


def gradient(net, x_t, t, states, whole=False):
    x_t = x_t.clone().requires_grad_()
    if whole:
        with captured(net, (16, 16)) as kept:
            net(x_t, t, states)
        maps = kept.calls[0]
    else:
        maps = attention_of(net, x_t, t, states)
    (found,) = torch.autograd.grad(maps[..., 2].amax((1, 2)).sum(), x_t)
    return found


def test_gradients_reach_the_latents_and_no_weight():
    net, given = unet(), asked()
    found = gradient(net, *given)
    torch.testing.assert_close(found, gradient(net, *given, whole=True))
    assert all(weights.grad is None and weights.requires_grad for weights in net.parameters())
    direction = torch.nn.functional.normalize(found.flatten(), dim=0).view_as(found)

    def value(far):
        return attention_of(net, given[0] + far * direction, *given[1:])[..., 2].amax((1, 2)).sum()

    torch.testing.assert_close((value(1e-2) - value(-1e-2)) / 2e-2, found.norm(), rtol=1e-2, atol=1e-4)
    with torch.no_grad():
        x_t = given[0].clone().requires_grad_()
    maps = attention_of(net, x_t, *given[1:])
    maps.sum().backward()  # also a plain backward pass
    assert all(weights.grad is None for weights in net.parameters())


@pytest.mark.parametrize("trained", [True, False])
def test_gradient_checkpointing_changes_no_gradient(trained):
    net, given = unet().requires_grad_(trained), asked()
    expected = gradient(net, *given)
    net.enable_gradient_checkpointing()
    net.train()
    torch.testing.assert_close(gradient(net, *given), expected)
    torch.testing.assert_close(gradient(net, *given, whole=True), expected)
    assert net.is_gradient_checkpointing


def test_maps_are_float32_under_autocast_and_with_weights_of_half_precision():
    net, given = unet(), asked()
    expected = attention_of(net, *given)
    for context in (torch.autocast("cpu", torch.bfloat16), nullcontext()):
        with context:
            x_t = given[0].clone().requires_grad_()
            maps = attention_of(net, x_t, *given[1:])
        assert maps.dtype == torch.float32
        torch.testing.assert_close(maps.sum(-1), torch.ones(maps.shape[:-1]))
        torch.testing.assert_close(maps, expected, rtol=0.2, atol=0.02)
        (found,) = torch.autograd.grad(maps[..., 2].amax(), x_t)
        assert found.dtype == torch.float32
        assert found.isfinite().all()
        assert found.any()
        net = net.to(torch.bfloat16)


def test_masked_tokens_are_not_read():
    net, given = unet(), asked()
    mask = torch.ones(2, TOKENS, dtype=torch.bool)
    mask[1, 3:] = False
    with captured(net, (16, 16)) as kept, torch.no_grad():
        net(*given, encoder_attention_mask=mask.float())
    assert kept.calls[0][1, ..., 3:].amax() == 0
    assert kept.calls[0][0, ..., 3:].amin() > 0


def test_other_layers_may_be_asked_for_in_latents_that_do_not_halve_evenly():
    net = unet((32, 32, 64))
    assert attention_of(net, *asked(side=18), 9).shape == (2, 9, 9, TOKENS)
    assert AttentionOf(net, 16, ("down",))(*asked()).shape == (2, 16, 16, TOKENS)


def test_a_resolution_that_is_not_there_names_those_that_are():
    with pytest.raises(ValueError, match="of 8x8 were asked for; latents of 16x16 are read at 16x16 in down, up"):
        attention_of(unet(), *asked(), 8)


def test_attention_that_a_capture_would_leave_out_is_refused():
    net = unet()
    net.set_attn_processor(CustomDiffusionAttnProcessor(train_kv=False, train_q_out=False))
    with pytest.raises(ValueError, match="CustomDiffusionAttnProcessor, which a capture would leave out"):
        attention_of(net, *asked())
    net.set_attn_processor(AttnProcessor2_0())
    with captured(net, (16, 16)), pytest.raises(ValueError, match="being captured already"):
        attention_of(net, *asked())


def test_half_of_stable_diffusions_forward_pass_is_needed():
    sizes = {"block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768, "attention_head_dim": 8}
    needed, whole = cost(sizes, (64, 64))
    assert whole == pytest.approx(0.803e12, rel=2e-3)
    assert needed == pytest.approx(0.398e12, rel=2e-2)
