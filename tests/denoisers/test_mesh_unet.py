import pytest
import torch

from zoo.condition import Condition
from zoo.denoisers import MeshUNet
from zoo.hands.openhand import OpenHand

HAND = OpenHand()
SMALL = {"sizes": (49, 16), "widths": (8, 16, 16), "blocks": 1, "heads": 2, "self_attention": (1, 2), "condition": 12}


def condition(rows: int, seed: int = 0) -> Condition:
    g = torch.Generator().manual_seed(seed)
    mask = torch.tensor([[True, True, False, True, False]]).expand(rows, -1)
    return Condition(torch.randn(rows, 5, 12, generator=g), mask, torch.randn(rows, 12, generator=g))


def network(**changes: object) -> MeshUNet:
    torch.manual_seed(0)
    net = MeshUNet(HAND, **{**SMALL, "time": 16, "dropout": 0.0, **changes}).eval()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn_like(p))  # away from the zeros it starts from
    return net


X, T = torch.randn(2, 778, 3), torch.tensor([3, 700])


def test_an_untrained_network_predicts_the_wrist():
    for more in ({}, {"overview": 8}, {"spectral_skip": 8}):
        net = MeshUNet(HAND, **SMALL, **more)
        assert (net(X, T, condition(2)) == 0).all()


@pytest.mark.parametrize(
    "changes",
    [{}, {"block": "sa_only"}, {"pooled": True}, {"cross_attention": (0, 2)}, {"overview": 8}, {"spectral_skip": 8}],
)
def test_every_variant_keeps_the_shape_and_trains_every_weight(changes):
    net = network(**changes).train()
    out = net(X, T, condition(2))
    assert out.shape == X.shape
    out.square().sum().backward()
    unused = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert unused == []


def test_the_ablation_has_no_graph_convolution():
    names = [type(m).__name__ for m in network(block="sa_only").modules()]
    assert "ChebConv" not in names
    assert "ChebConv" in [type(m).__name__ for m in network().modules()]


def test_conv_fast_and_pyg_give_the_same_network():
    fast, pyg = network(), network(conv="pyg")
    pyg.load_state_dict(fast.state_dict())
    torch.testing.assert_close(fast(X, T, condition(2)), pyg(X, T, condition(2)), rtol=1e-4, atol=1e-5)


def test_attention_sdpa_and_math_give_the_same_network():
    sdpa, plain = network(attention="sdpa"), network(attention="math")
    plain.load_state_dict(sdpa.state_dict())
    torch.testing.assert_close(sdpa(X, T, condition(2)), plain(X, T, condition(2)), rtol=1e-4, atol=1e-5)


def test_the_condition_and_the_time_matter_and_masked_tokens_do_not():
    net, c = network(), condition(2)
    assert c.tokens is not None
    hidden = torch.where(c.mask[..., None], c.tokens, 100.0)
    torch.testing.assert_close(net(X, T, c), net(X, T, Condition(hidden, c.mask, c.pooled)))
    assert (net(X, T, c) - net(X, T, condition(2, seed=1))).abs().max() > 1e-4
    assert (net(X, T, c) - net(X, T.flip(0), c)).abs().max() > 1e-4


def test_rows_do_not_see_each_other():
    net, c = network(), condition(2)
    alone = net(X[:1], T[:1], Condition(c.tokens[:1], c.mask[:1], c.pooled[:1]))
    torch.testing.assert_close(net(X, T, c)[:1], alone, rtol=1e-4, atol=1e-5)


def test_the_published_size_builds_with_the_levels_of_the_paper():
    net = MeshUNet(HAND)
    assert net.sizes == (778, 389, 195, 98)
    assert sum(p.numel() for p in net.parameters()) > 5e6


def test_widths_that_do_not_fit_the_levels_name_both_flags():
    with pytest.raises(ValueError, match=r"widths needs one more than --model\.denoiser\.sizes"):
        MeshUNet(HAND, widths=(8, 16))


def test_xformers_that_does_not_work_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setattr("zoo.attention.xformers_problem", lambda: "xformers needs a CUDA device")
    with pytest.raises(ValueError, match=r"attention sdpa"):
        MeshUNet(HAND, **SMALL, attention="xformers")
