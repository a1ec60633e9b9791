import pytest
import torch

from tests.xformers_rules import stand_in
from zoo.attention import Attention, attend, resolve_backend


@pytest.mark.parametrize("masked", [False, True])
def test_sdpa_is_the_written_out_formula(masked):
    q, k, v = torch.randn(2, 4, 5, 8), torch.randn(2, 4, 7, 8), torch.randn(2, 4, 7, 8)
    mask = torch.tensor([[True] * 7, [True, False, True, False, False, True, True]]) if masked else None
    torch.testing.assert_close(attend(q, k, v, mask, "sdpa"), attend(q, k, v, mask, "math"))


def test_keys_that_are_all_alike_give_the_mean_of_the_values():
    v = torch.randn(1, 1, 4, 3)
    out = attend(torch.randn(1, 1, 2, 3), torch.zeros(1, 1, 4, 3), v)
    torch.testing.assert_close(out, v.mean(2, keepdim=True).expand_as(out))


def test_self_attention_does_not_care_about_order():
    layer, x = Attention(8, 2), torch.randn(1, 5, 8)
    torch.testing.assert_close(layer(x)[:, [3, 1, 4, 0, 2]], layer(x[:, [3, 1, 4, 0, 2]]))


def test_auto_is_sdpa():
    assert resolve_backend("auto") == "sdpa"


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="must divide"):
        Attention(10, 4)


@pytest.mark.parametrize("keys", [7, 8, 13])
def test_xformers_gets_masks_that_its_kernels_take(keys, monkeypatch):
    stand_in(monkeypatch)
    q, k, v = (torch.randn(2, 4, n, 8) for n in (5, keys, keys))
    mask = torch.arange(keys) % 3 < torch.tensor([[1], [3]])
    torch.testing.assert_close(attend(q, k, v, mask, "xformers"), attend(q, k, v, mask, "math"))
    torch.testing.assert_close(attend(q, k, v, None, "xformers"), attend(q, k, v, None, "math"))


@pytest.mark.gpu
def test_xformers_is_the_written_out_formula():
    q, k, v = (torch.randn(2, 4, n, 32, device="cuda", dtype=torch.float16) for n in (40, 23, 23))
    mask = torch.rand(2, 23, device="cuda") > 0.3
    mask[:, 0] = True
    torch.testing.assert_close(attend(q, k, v, mask, "xformers"), attend(q, k, v, mask, "math"), rtol=1e-2, atol=1e-2)


def test_training_in_bfloat16_gives_what_full_precision_gives():
    q, k, v = (torch.randn(2, 2, 5, 8).bfloat16().requires_grad_() for _ in range(3))
    whole = [x.detach().float().requires_grad_() for x in (q, k, v)]
    found, wanted = attend(q, k, v), attend(*whole)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, atol=1e-2, rtol=1e-2)
    found.sum().backward()
    wanted.sum().backward()
    for one, other in zip((q, k, v), whole, strict=True):
        torch.testing.assert_close(one.grad.float(), other.grad, atol=2e-2, rtol=2e-2)
