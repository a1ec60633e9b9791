from dataclasses import replace

import pytest
import torch

from tests.denoisers.tiny_unet import noisy, tiny_dual, tiny_unet, touch
from zoo.denoisers import DualUNet, LatentUNet


def saved_bytes(run, but):
    """Bytes that autograd keeps for a computation, and its gradient's functions; weights in `but` do not count."""
    own = {p.untyped_storage().data_ptr() for p in but.parameters()}
    kept = {}

    def keep(x):
        if x.untyped_storage().data_ptr() not in own:
            kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        out = run()
    return sum(kept.values()), out


def theirs(dual, x_t, t, condition, scale=1.0):
    """The same by diffusers' own forward passes."""
    down, mid = dual.guide(x_t, t, condition.tokens, condition.control, conditioning_scale=scale, return_dict=False)
    return dual.base.net(
        x_t, t, condition.tokens, down_block_additional_residuals=down, mid_block_additional_residual=mid
    ).sample


def test_the_copy_at_the_published_size_has_the_published_count():
    with torch.device("meta"):
        guide = DualUNet(LatentUNet()).guide
    assert sum(p.numel() for p in guide.parameters()) == 361_279_120


@pytest.mark.parametrize("options", [{}, {"separate": True}, {"scale": 0.3}, {"scale": [0.1, 0.2, 0.3, 0.4, 0.5]}])
@pytest.mark.parametrize("branch", ["global", "local"])
def test_an_untrained_copy_changes_no_bit(options, branch):
    dual = tiny_dual(**options)
    x_t, t, condition = noisy()
    assert torch.equal(dual(x_t, t, condition, branch), dual.base(x_t, t, condition))


@pytest.mark.parametrize("side", [8, 9])
@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_a_trained_copy_is_diffusers_control_net(side, scale):
    dual = touch(tiny_dual(tiny_unet(widths=(32, 64, 64), layers=2), scale=scale))
    x_t, t, condition = noisy(2, side, side)
    out = dual(x_t, t, condition)
    torch.testing.assert_close(out, theirs(dual, x_t, t, condition, scale), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(out, dual.base(x_t, t, condition), atol=1e-2)


def test_one_scale_for_each_residual():
    dual = touch(tiny_dual())
    x_t, t, condition = noisy()
    one, scales = dual.residuals(x_t, t, condition), (0.0, 0.5, 1.0, 2.0, -1.0)
    many = dual.residuals(x_t, t, condition, scale=scales)
    for s, a, b in zip(scales, (*one.down, one.mid), (*many.down, many.mid), strict=True):
        torch.testing.assert_close(s * a, b)
    assert torch.equal(dual(x_t, t, condition, scale=0.0), dual.base(x_t, t, condition))
    with pytest.raises(ValueError, match="2 control scales were given; this U-Net takes one, or 5"):
        tiny_dual(scale=(1.0, 2.0))


def test_gradients_reach_the_copy_only_and_move_its_zero_convolutions():
    dual = tiny_dual()
    x_t, t, condition = noisy()
    optimizer = torch.optim.SGD([p for p in dual.parameters() if p.requires_grad], lr=0.1)
    zeros = [p for name, p in dual.guide.named_parameters() if "controlnet_down" in name or "controlnet_mid" in name]
    assert all((p == 0).all() for p in zeros)
    before = {name: x.clone() for name, x in dual.state_dict().items()}
    (dual(x_t, t, condition) - torch.randn_like(x_t)).square().mean().backward()
    assert all(p.grad is None for p in dual.base.parameters())
    assert {name.partition(".")[0] for name, p in dual.named_parameters() if p.grad is not None} == {"guide"}
    optimizer.step()
    assert all((p != 0).any() for p in zeros)
    assert all(torch.equal(x, before[name]) for name, x in dual.state_dict().items() if name.startswith("base."))
    for _ in range(2):  # the last layer of the hint starts at zero too
        optimizer.zero_grad()
        dual(x_t, t, condition).square().mean().backward()
        optimizer.step()
    assert all((p.grad != 0).any() for p in dual.guide.parameters())


def test_gradients_are_those_of_the_plain_way():
    dual = touch(tiny_dual())
    x_t, t, condition = noisy()
    gradients = []
    for run in (dual, lambda *given: theirs(dual, *given)):
        dual.zero_grad()
        run(x_t, t, condition).square().mean().backward()
        gradients.append([p.grad.clone() for p in dual.guide.parameters()])
    for ours, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)


def test_gradients_of_the_latents_pass_both_halves_where_they_are_wanted():
    dual = touch(tiny_dual())
    x_t, t, condition = noisy()
    found = []
    for run in (dual, lambda *given: theirs(dual, *given)):
        x = x_t.clone().requires_grad_()
        found.append(torch.autograd.grad(run(x, t, condition).square().mean(), x)[0])
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_the_frozen_encoder_keeps_no_activations():
    dual = tiny_dual()
    x_t, t, condition = noisy()
    kept, half = saved_bytes(lambda: dual.encode(x_t, t, condition), dual)
    assert kept == 0
    assert not half.hidden.requires_grad
    ours, _ = saved_bytes(lambda: dual(x_t, t, condition), dual)
    dual.base.requires_grad_(True)
    plain, _ = saved_bytes(lambda: theirs(dual, x_t, t, condition), dual)
    assert ours < 0.8 * plain


def test_checkpointing_keeps_less_and_learns_the_same():
    x_t, t, condition = noisy()
    kept, gradients = [], []
    for options in ({}, {"checkpointing": True}, {"checkpointing": True, "checkpoint_base": True}):
        dual = touch(tiny_dual(**options))
        count, out = saved_bytes(lambda dual=dual: dual(x_t, t, condition), dual)
        kept.append(count)
        out.square().mean().backward()
        gradients.append([p.grad for p in dual.guide.parameters()])
    assert kept[0] * 0.85 > kept[1] > kept[2] / 0.85
    for plain, *recomputed in zip(*gradients, strict=True):
        for gradient in recomputed:
            torch.testing.assert_close(plain, gradient)


def test_branches_share_their_weights_unless_they_are_separate():
    x_t, t, condition = noisy()
    shared, separate = touch(tiny_dual()), tiny_dual(separate=True)
    assert torch.equal(shared(x_t, t, condition, "global"), shared(x_t, t, condition, "local"))
    for name, x in separate.guide.state_dict().items():
        assert torch.equal(x, separate.guide_local.state_dict()[name])
    separate(x_t, t, condition, "local").square().mean().backward()
    assert all(p.grad is None for p in separate.guide.parameters())
    assert any(p.grad is not None for p in separate.guide_local.parameters())
    touch(separate)
    assert not torch.allclose(separate(x_t, t, condition, "global"), separate(x_t, t, condition, "local"))


@pytest.mark.parametrize("branch", ["global", "local"])
def test_a_hint_computed_once_gives_the_same(branch):
    dual = touch(tiny_dual(separate=True))
    x_t, t, condition = noisy()
    hint = dual.hint(condition.control, branch)
    assert hint.shape == (2, 32, 8, 8)
    assert torch.equal(dual(x_t, t, replace(condition, control=None), branch, hint), dual(x_t, t, condition, branch))


def test_both_halves_of_classifier_free_guidance_are_steered():
    dual = touch(tiny_dual())
    x_t, t, condition = noisy()
    without_text = replace(condition, tokens=torch.zeros_like(condition.tokens))
    assert not torch.allclose(dual(x_t, t, without_text), dual.base(x_t, t, without_text), atol=1e-2)


def test_rows_do_not_depend_on_one_another():
    dual = touch(tiny_dual())
    x_t, t, condition = noisy(3)
    whole = dual(x_t, t, condition)
    for i in range(3):
        row = torch.tensor([i])
        torch.testing.assert_close(dual(x_t[row], t[row], condition.rows(row)), whole[row], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("autocast", [False, True])
def test_a_base_of_half_precision_trains_a_copy_of_full_precision(autocast):
    dual = touch(tiny_dual())
    x_t, t, condition = noisy()
    exact = dual(x_t, t, condition)
    dual.base.bfloat16()
    assert {p.dtype for p in dual.guide.parameters()} == {torch.float32}
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = dual(x_t, t, condition)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, exact, rtol=0.2, atol=0.2)
    out.square().mean().backward()
    assert {p.grad.dtype for p in dual.guide.parameters()} == {torch.float32}
    assert all(p.grad.isfinite().all() for p in dual.guide.parameters())
    assert {p.dtype for p in tiny_dual(tiny_unet().bfloat16()).guide.parameters()} == {torch.float32}


def test_the_base_stays_in_evaluation_mode():
    dual = tiny_dual().train()
    assert dual.guide.training
    assert not any(module.training for module in dual.base.modules())


def test_the_state_of_the_copy_goes_from_model_to_model():
    trained, fresh = touch(tiny_dual(separate=True)), tiny_dual(separate=True)
    state = trained.guide_state()
    assert {name.partition(".")[0] for name in state} == {"guide", "guide_local"}
    assert {name for name in trained.state_dict() if not name.startswith("base.")} == set(state)
    fresh.load_guide_state(state)
    x_t, t, condition = noisy()
    for branch in ("global", "local"):
        assert torch.equal(fresh(x_t, t, condition, branch), trained(x_t, t, condition, branch))


def test_a_state_that_does_not_fit_is_refused_with_what_is_wrong():
    dual = tiny_dual()
    before = {name: x.clone() for name, x in dual.guide_state().items()}
    with pytest.raises(ValueError, match="unexpected guide_local"):
        dual.load_guide_state(tiny_dual(separate=True).guide_state())
    with pytest.raises(ValueError, match=r"missing guide.conv_in.weight; .* more"):
        dual.load_guide_state({})
    other = {name: x.new_ones(1, *x.shape) for name, x in before.items()}
    with pytest.raises(ValueError, match=r"guide.conv_in.bias is \(1, 32\), not \(32,\)"):
        dual.load_guide_state(other)
    assert all(torch.equal(x, before[name]) for name, x in dual.guide_state().items())


def test_a_missing_control_is_refused():
    x_t, t, condition = noisy()
    with pytest.raises(ValueError, match="no control"):
        tiny_dual()(x_t, t, replace(condition, control=None))


def test_a_control_of_another_size_is_refused():
    x_t, t, condition = noisy()
    with pytest.raises(ValueError, match=r"96 x 128 pixels was given for latents of 8 x 8: .* 64 x 64"):
        tiny_dual()(x_t, t, replace(condition, control=torch.rand(2, 3, 128, 96)))
