"""AttentionHand around its base: what is learned, what is kept, what a sample depends on."""

import pytest
import tiny_pictures
import torch
from tiny_pictures import OFF, SIZE, draws, part, scenes

from zoo.bases import load_base
from zoo.condition import Condition
from zoo.guidance.classifier_free import ClassifierFree
from zoo.guidance.text_attention import TextAttention
from zoo.models.attentionhand_batch import both_pictures
from zoo.models.latents import estimator, sample_latents
from zoo.samplers import DDIM, DDPM


def asked(batch):
    return {"text": batch["text"], "mesh": batch["mesh"]}


@torch.no_grad()
def plain_sample(base, texts, seeds, scale):
    """The base's own sample, without any copy."""
    for module in (base.codec, base.text, base.unet):
        module.requires_grad_(False)  # attention takes another path, with other last bits, where weights may learn
    condition = Condition(base.text.states(base.text.tokenize(texts)))
    denoise, free = (
        estimator(lambda x, t, c=c: base.unet(x, t, c), base.schedule, base.unet)
        for c in (condition, base.text.null(len(texts)))
    )
    cpu, guidance = torch.device("cpu"), [ClassifierFree(scale)]
    return base.codec.decode(
        sample_latents(denoise, free, (4, 8, 8), seeds, DDIM(steps=3), guidance, base.schedule, cpu)
    )


@pytest.mark.parametrize("scale", [1.0, 7.5])
def test_a_copy_that_has_not_learned_leaves_every_bit_of_the_bases_pictures(hand, base_folder, scale):
    batch = scenes()
    model = hand(seed=None, tas=OFF, fresh=True).eval()
    expected = plain_sample(load_base(base_folder), batch["text"], [3, 4], scale)
    assert torch.equal(model.sample(asked(batch), [3, 4], scale=scale), expected)
    tiny_pictures.touch(model)
    assert torch.equal(model.sample(asked(batch), [3, 4], scale=scale, strength=0.0), expected)
    assert not torch.equal(model.sample(asked(batch), [3, 4], scale=scale), expected)


@pytest.mark.parametrize("separate", [False, True])
def test_only_the_copy_has_gradients_is_optimised_and_is_kept(hand, separate):
    model, rows = hand(separate=separate), both_pictures(scenes())
    losses = model.step_losses(rows, rows.texts, *draws(model))
    (losses["global"] + losses["local"]).backward()
    graded = {name for name, weight in model.named_parameters() if weight.grad is not None}
    learned = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert graded == learned
    assert {name.split(".")[1] for name in learned} == ({"guide", "guide_local"} if separate else {"guide"})
    assert model.state_dict().keys() == learned | {"base_hash"}
    assert bytes(model.state_dict()["base_hash"].tolist()).hex() == model.base_hash


@pytest.mark.parametrize("branches", [["global"], ["global", "local"]])
def test_strength_is_for_sampling_and_leaves_learning_alone(hand, branches):
    model, rows = hand(branches=branches, tas=OFF), both_pictures(scenes())
    before = model.step_losses(rows, rows.texts, *draws(model))
    model.dual.scales = model.dual._scales(0.3)
    assert all(
        torch.equal(before[name], loss) for name, loss in model.step_losses(rows, rows.texts, *draws(model)).items()
    )
    assert not torch.equal(model.sample(asked(scenes()), [3, 4]), model.sample(asked(scenes()), [3, 4], strength=1.0))


def test_a_state_goes_into_the_same_base_strictly_and_leaves_it_alone(hand, base_folder):
    one, other = hand(fresh=True), hand(seed=2, fresh=True)
    frozen = {name: value.clone() for name, value in other.dual.base.state_dict().items()}
    other.load_state_dict(one.state_dict())
    for name, value in one.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    assert all(torch.equal(frozen[name], value) for name, value in other.dual.base.state_dict().items())
    assert other.base_hash == load_base(base_folder).hash


def test_a_state_of_another_base_or_of_two_copies_is_refused(hand):
    model = hand()
    state = model.state_dict()
    state["base_hash"] = state["base_hash"] ^ 1
    with pytest.raises(ValueError, match=r"These weights steer a base with hash .* --model\.base"):
        model.load_state_dict(state)
    with pytest.raises(RuntimeError, match="guide_local"):
        model.load_state_dict(hand(separate=True).state_dict())
    state = model.state_dict()
    del state["dual.guide.conv_in.weight"]
    with pytest.raises(RuntimeError, match=r"Missing key.*conv_in"):
        model.load_state_dict(state)


RANDOM = TextAttention(alpha="random", refinement="random", iterations=2)


@pytest.mark.parametrize(
    ("sampler", "tas"),
    [(DDIM(steps=2), TextAttention()), (DDIM(steps=2, eta=1.0), RANDOM), (DDPM(steps=2), OFF)],
)
def test_a_row_depends_on_its_own_seed_alone(hand, sampler, tas):
    model, batch = hand(tas=tas).eval(), scenes(3)
    whole = model.sample(asked(batch), [5, 6, 7], sampler)
    assert not whole.requires_grad
    one = model.sample(asked(part(batch, 1)), [6], sampler)
    torch.testing.assert_close(one, whole[1:2], atol=2e-5, rtol=0)
    again = model.sample(asked(batch), [5, 6, 8], sampler)
    assert torch.equal(again[:2], whole[:2])
    assert not torch.allclose(again[2], whole[2], atol=1e-3)
    assert (whole.amin() >= 0) & (whole.amax() <= 1)


def test_at_scale_one_the_null_text_is_not_asked(hand, monkeypatch):
    model, batch, seen = hand(tas=OFF), scenes(), []
    inside = model.dual.forward
    monkeypatch.setattr(model.dual, "forward", lambda *a, **k: seen.append(a[2].tokens) or inside(*a, **k))
    model.sample(asked(batch), [0, 1], scale=1.0)
    assert len(seen) == 3
    states = model.states(batch["text"])
    assert all(torch.equal(tokens, states) for tokens in seen)


def test_text_attention_can_be_switched_for_a_sample(hand):
    model, batch = hand(tas=TextAttention(at="train")), scenes()
    without = model.sample(asked(batch), [0, 1])
    assert torch.equal(without, model.sample(asked(batch), [0, 1], attend=False))
    assert not torch.equal(without, model.sample(asked(batch), [0, 1], attend=True))


def test_the_local_branch_samples_with_its_own_copy(hand):
    model, batch = hand(separate=True, tas=OFF, fresh=True), scenes()
    torch.nn.init.zeros_(model.dual.guide_local.controlnet_mid_block.weight)
    one, other = (model.sample(asked(batch), [0, 1], branch=branch) for branch in ("global", "local"))
    assert not torch.equal(one, other)


def test_memory_is_saved_without_another_picture(hand):
    batch = scenes()
    high, mid = (hand(memory=memory).sample(asked(batch), [1, 2]) for memory in ("high", "mid"))
    torch.testing.assert_close(high, mid, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("texts", "seeds", "meshes"), [(2, 1, 2), (2, 2, 1), (1, 2, 2), (2, 2, None)]
)  # fmt: skip
def test_rows_that_do_not_match_are_refused(hand, texts, seeds, meshes):
    batch = scenes()
    given = {"text": batch["text"][:texts]} | ({} if meshes is None else {"mesh": batch["mesh"][:meshes]})
    with pytest.raises(ValueError, match="needs one of each a row"):
        hand().sample(given, list(range(seeds)))


def test_sizes_are_checked_with_the_flag_to_change(hand):
    with pytest.raises(ValueError, match=r"multiple of 8. Set --model\.size"):
        hand(size=60)
    with pytest.raises(ValueError, match=r"32 x 32 pixels; the model makes 64 x 64. Set --data\.size 64"):
        hand().training_step(scenes(size=32), 0)
    batch = scenes(size=32)
    with pytest.raises(ValueError, match="the model makes 64 x 64"):
        hand().sample(asked(batch), [0, 1])


def test_branches_that_make_no_sense_are_refused(hand):
    for branches in ([], ["global", "global"]):
        with pytest.raises(ValueError, match=r"Set --model\.branches"):
            hand(branches=branches)
    with pytest.raises(ValueError, match="separate copy is for two branches"):
        hand(branches=["local"], separate=True)


def test_frozen_parts_stay_as_they_are_used(hand):
    model = hand().train()
    assert model.dual.guide.training
    assert not any(part.training for part in (model.codec, model.text, model.dual.base))
    assert model.size == SIZE
