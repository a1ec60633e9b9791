import pytest
import torch

from zoo.encoders import ClipText, ClipTokens

SIZE = {"width": 16, "layers": 2, "heads": 2, "context": 77, "vocab": 600}


@pytest.fixture
def text() -> ClipText:
    torch.manual_seed(0)
    return ClipText(**SIZE).eval()


def test_the_published_size_is_vit_l_14s():
    with torch.device("meta"):
        text = ClipText()
    assert sum(p.numel() for p in text.parameters()) == 123_060_480
    assert (text.dim, len(text.net.transformer.resblocks), text.net.heads) == (768, 12, 12)


def test_a_text_becomes_a_state_for_each_token(text):
    condition = text(["a hand", ""])
    assert condition.tokens.shape == (2, 77, 16)
    assert (condition.mask, condition.pooled) == (None, None)


def test_the_states_come_out_of_the_final_norm(text):
    states = text(["a hand"]).tokens
    assert states.mean(-1).abs().max() < 1e-5
    assert torch.allclose(states.var(-1, correction=0), torch.ones(1, 77), atol=1e-2)


def test_a_token_knows_only_those_before_it(text):
    short, long = text(["a hand", "a hand waves to us"]).tokens
    n = len(text.tokens.pieces("a hand"))
    assert torch.allclose(short[: n + 1], long[: n + 1], atol=1e-6)
    assert not torch.allclose(short[n + 1 :], long[n + 1 :], atol=1e-2)


def test_the_null_condition_is_that_of_empty_texts(text):
    assert torch.allclose(text.null(3).tokens, text([""] * 3).tokens, atol=1e-6)


def test_a_row_does_not_depend_on_its_neighbours(text):
    alone, together = text(["two hands"]), text(["two hands", "a long text about a fist"])
    assert torch.allclose(alone.tokens[0], together.tokens[0], atol=1e-6)


def test_training_reaches_every_weight(text):
    text.train()(["a hand holds a cup", "fist"]).tokens.square().mul(torch.arange(16.0)).sum().backward()
    assert [name for name, p in text.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_checkpointing_changes_no_gradient(text):
    twin = ClipText(**SIZE, checkpointing=True)
    twin.load_state_dict(text.state_dict())
    for net in (text.train(), twin.train()):
        net(["a hand"]).tokens[:, :, 0].sum().backward()
    for a, b in zip(text.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-6)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("grad", [True, False])
def test_autocast_is_close_to_full_precision(text, train, grad):
    full = text(["a hand"]).tokens
    with torch.set_grad_enabled(grad), torch.autocast("cpu", torch.bfloat16):
        half = text.train(train)(["a hand"]).tokens
    assert (half.float() - full).abs().max() < 0.1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_half_precision_work(text, dtype):
    full = text(["a hand"]).tokens
    assert (text.to(dtype)(["a hand"]).tokens.float() - full).abs().max() < 0.1


def test_tokens_go_where_the_module_is():
    with torch.device("meta"):
        text = ClipText(**SIZE)
    assert text.tokenize(["a hand"]).device.type == "meta"


@pytest.mark.gpu
def test_it_works_on_a_gpu(text):
    full = text(["a hand"]).tokens
    assert torch.allclose(text.cuda()(["a hand"]).tokens.cpu(), full, atol=1e-3)
    with torch.autocast("cuda", torch.float16):
        assert (text(["a hand"]).tokens.cpu().float() - full).abs().max() < 0.1


def test_the_activation_is_chosen(text):
    gelu = ClipText(**SIZE, quick_gelu=False).eval()
    gelu.load_state_dict(text.state_dict())
    assert not torch.allclose(gelu(["a hand"]).tokens, text(["a hand"]).tokens, atol=1e-4)


def test_the_padding_is_part_of_the_condition_so_it_is_stable_diffusions(text):
    open_clips = ClipText(**SIZE, padding="zero").eval()
    open_clips.load_state_dict(text.state_dict())
    assert text.tokens == ClipTokens(77, 600, "end")
    ours, theirs = text(["a hand"]).tokens[0], open_clips(["a hand"]).tokens[0]
    read = len(text.tokens.pieces("a hand")) + 2
    assert torch.allclose(ours[:read], theirs[:read], atol=1e-6)
    assert (ours[read:] - theirs[read:]).abs().min(dim=0).values.max() > 1e-2


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="3 heads do not divide a width of 16"):
        ClipText(width=16, heads=3)
