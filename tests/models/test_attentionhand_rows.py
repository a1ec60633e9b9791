"""Paper and released code, row by row (rows D1, D2, ... of the table of differences): what concerns the whole model.

Rows about text attention alone (D3 to D7, D9) are in tests/guidance, those about pictures (D18) in tests/datamodules.
"""

import inspect

import pytest
import torch
import yaml
from tiny_pictures import draws, part, scenes

from zoo.condition import Condition
from zoo.guidance.text_attention import residual_noise
from zoo.models import AttentionHand
from zoo.models.attentionhand_batch import both_pictures
from zoo.registry import find

NAMES = {"paper": "attentionhand-paper", "released": "attentionhand-released"}


@pytest.fixture
def preset(hand):
    """A preset of the zoo at reduced size; fifty steps would take their time, and NLTK is not everywhere."""

    def build(which, **options):
        if which == "released":
            options = {"tas.iterations": 2, "words.grammar": "Suffix"} | options
        return hand(preset=NAMES[which], **options)

    return build


def spied(model, monkeypatch):
    """What text attention is asked and answers, (x_t, states, positions, moved x_t), each branch by itself."""
    calls, inside = [], type(model.tas).move

    def move(self, attention, x_t, t, states, tokens, *rest, **more):
        answer = inside(self, attention, x_t, t, states, tokens, *rest, **more)
        n = 2 if len(x_t) == 4 else len(x_t)  # both branches may go in one batch
        calls.extend((x_t[i : i + n], states[i : i + n], list(tokens[i : i + n]), answer.x_t[i : i + n])
                     for i in range(0, len(x_t), n))  # fmt: skip
        return answer

    monkeypatch.setattr(type(model.tas), "move", move)
    return calls


def step(model, batch=None, **options):
    rows = both_pictures(scenes() if batch is None else batch)
    t, noise = draws(model, len(rows.texts))
    return rows, t, noise, model.step_losses(rows, options.get("texts", rows.texts), t, noise)


def predicted(model, x_t, t, texts, mesh, branch):
    return model.dual(x_t, t, Condition(model.states(texts), control=mesh), branch)


@pytest.mark.parametrize("which", NAMES)
def test_d1_local_latents_are_those_of_local_pictures_or_by_mistake_of_whole_ones(preset, monkeypatch, which):
    model = preset(which)
    calls = spied(model, monkeypatch)
    rows, t, noise, _ = step(model)
    source = {"paper": "local", "released": "global"}[which]
    assert torch.equal(calls[0][0], model.schedule.add_noise(model.encode(rows.pictures["global"]), noise[0], t))
    assert torch.equal(calls[1][0], model.schedule.add_noise(model.encode(rows.pictures[source]), noise[1], t))


@pytest.mark.parametrize("which", NAMES)
def test_d2_the_target_is_the_residual_noise_or_the_noise_as_drawn(preset, monkeypatch, which):
    model = preset(which)
    calls = spied(model, monkeypatch)
    rows, t, noise, losses = step(model)
    for own, branch in enumerate(("global", "local")):
        source = "global" if which == "released" else branch
        clean, moved = model.encode(rows.pictures[source]), calls[own][-1]
        assert not torch.equal(moved, calls[own][0])
        target = residual_noise(moved, clean, t, model.schedule) if which == "paper" else noise[own]
        assert (which == "paper") == (not torch.allclose(target, noise[own], atol=1e-4))
        error = predicted(model, moved, t, rows.texts, rows.meshes[branch], branch) - target
        torch.testing.assert_close(losses[branch], 0.5 * error.square().mean(), rtol=1e-4, atol=1e-6)


def test_d3_words_for_hands_are_found_by_offset_or_one_token_too_early(preset):
    paper, released = preset("paper"), preset("released")
    words = paper.text.tokens.pieces("a hand")
    first = next(i for i, piece in enumerate(words, 1) if piece.span.start == 2)
    assert paper.positions(["a hand"]) == [list(range(first, len(words) + 1))]  # the tiny vocabulary spells it
    assert released.positions(["a hand"]) == [[1]]  # the number of the word among words


@pytest.mark.parametrize(
    ("which", "over", "alpha", "steps"), [("paper", "all", "falling", 1), ("released", "hand", "inner", 50)]
)
def test_d4_to_d7_the_presets_of_the_zoo_are_those_of_text_attention(hand, which, over, alpha, steps):
    tas = hand(preset=NAMES[which]).tas
    assert (tas.over, tas.alpha, tas.iterations, tas.temperature, tas.axis) == (over, alpha, steps, 100.0, "tokens")


@pytest.mark.parametrize("which", NAMES)
def test_d8_the_attention_is_that_of_the_frozen_base_and_there_is_no_second_network(preset, which):
    model = preset(which)
    assert model.attention.net is model.dual.base.net
    assert model.attention.places == ["down", "up"]
    assert {name.partition(".")[0] for name, _ in model.named_parameters()} == {"codec", "text", "dual"}


def test_d8_the_published_maps_have_sixteen_places_a_side():
    for name in NAMES.values():
        assert "resolution" not in yaml.safe_load(find("model", name).read_text())["init_args"]
    defaults = inspect.signature(AttentionHand.__init__).parameters
    assert (defaults["resolution"].default, defaults["places"].default) == (16, ("down", "up"))


def test_d10_what_the_local_branch_is_told_and_looks_for(preset, monkeypatch):
    texts = ["a hand holding a cup", ""]
    paper = preset("paper")
    assert paper.told(texts, "local") == texts
    assert paper.positions(texts, "local") == paper.positions(texts)
    assert paper.positions(texts)[1] == []
    short = preset("paper", local_prompt="hand")
    assert short.told(texts, "local") == ["hand", ""]  # a dropped text stays empty
    assert short.positions(["hand", ""], "local") == [list(range(1, short.lengths(["hand"])[0])), []]
    released = preset("released")
    calls = spied(released, monkeypatch)
    rows, *_ = step(released)
    (_, whole, global_words, _), (_, local, local_words, _) = calls
    assert torch.equal(whole, local)  # both read the whole text
    assert local_words == [[released.text.tokens.room]] * len(rows.texts)  # but the place is that of no word
    assert global_words != local_words


@pytest.mark.parametrize("which", NAMES)
def test_d11_a_batch_of_two_is_two_batches_of_one(preset, which):
    model, batch = preset(which), scenes()
    rows, t, noise, both = step(model, batch)
    single = [
        model.step_losses(both_pictures(part(batch, i)), rows.texts[i : i + 1], t[i : i + 1], noise[:, i : i + 1])
        for i in range(2)
    ]
    for name, value in both.items():
        mean = torch.stack([losses[name] for losses in single]).mean()
        torch.testing.assert_close(value, mean, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("at", ["train", "sample", "both", "none"])
def test_d12_text_attention_acts_where_it_is_told_to(preset, monkeypatch, at):
    model = preset("paper", **{"tas.at": at})
    calls = spied(model, monkeypatch)
    step(model)
    assert len(calls) == (2 if at in ("train", "both") else 0)
    calls.clear()
    batch = scenes()
    model.sample({"text": batch["text"], "mesh": batch["mesh"]}, [0, 1])
    assert len(calls) == (2 if at in ("sample", "both") else 0)  # once each sampling step


@pytest.mark.parametrize(("which", "at"), [("paper", "both"), ("released", "train")])
def test_d12_the_presets_and_the_branch_at_sampling(preset, monkeypatch, which, at):
    model, batch, seen = preset(which), scenes(), []
    assert model.tas.at == at
    inside = model.dual.residuals
    monkeypatch.setattr(model.dual, "residuals", lambda *a, **k: seen.append(a[3]) or inside(*a, **k))
    model.sample({"text": batch["text"], "mesh": batch["mesh"]}, [0, 1])
    assert set(seen) == {"global"}


def test_d13_branches_are_weighed_and_half_and_half_by_default(preset):
    for which in NAMES:
        assert tuple(preset(which).weights) == (0.5, 0.5)
    plain = step(preset("paper"))[-1]
    weighed = step(preset("paper", weights=[0.1, 3.0]))[-1]
    torch.testing.assert_close(weighed["global"], plain["global"] * 0.2)
    torch.testing.assert_close(weighed["local"], plain["local"] * 6.0)


@pytest.mark.parametrize("which", NAMES)
def test_d14_training_and_sampling_see_the_same_mesh_picture(preset, monkeypatch, which):
    model, batch, seen = preset(which), scenes(), []
    inside = model.dual.hint
    monkeypatch.setattr(
        model.dual, "hint", lambda control, branch="global": seen.append(control) or inside(control, branch)
    )
    step(model, batch)
    model.sample({"text": batch["text"], "mesh": batch["mesh"]}, [0, 1])
    trained, sampled = seen
    assert torch.equal(trained, torch.cat([batch["mesh"], batch["mesh_local"]]))  # as it comes, RGB in [0, 1]
    assert torch.equal(sampled, batch["mesh"])


def test_d15_the_picture_is_the_decoded_sample(preset, monkeypatch):
    model, batch, seen = preset("paper"), scenes(), []
    inside = model.codec.decode
    monkeypatch.setattr(model.codec, "decode", lambda z: seen.append(z) or inside(z))
    images = model.sample({"text": batch["text"], "mesh": batch["mesh"]}, [0, 1])
    assert [z.shape for z in seen] == [(2, 4, 8, 8)]
    assert torch.equal(images, inside(seen[0]))


def test_d16_texts_are_dropped_in_training_only(preset, monkeypatch):
    for which, share in (("paper", 0.5), ("released", 0.0)):
        assert preset(which).drop_text == share
    batch = scenes(4)
    for share in (0.0, 1.0):
        model, told = preset("paper", drop_text=share), []
        inside = model.states
        monkeypatch.setattr(
            model, "states", lambda texts, inside=inside, told=told: told.append(texts) or inside(texts)
        )
        monkeypatch.setattr(model, "log", lambda *_, **__: None)
        monkeypatch.setattr(model, "log_dict", lambda *_, **__: None)
        model.training_step(batch, 0)
        assert told == [[""] * 4 if share else batch["text"]] * 2
        told.clear()
        model.validation_step(batch, 1)
        assert told == [batch["text"]] * 2


@pytest.mark.parametrize("which", NAMES)
def test_d17_text_attention_leaves_no_gradient_in_the_base(preset, monkeypatch, which):
    model = preset(which)
    calls = spied(model, monkeypatch)
    losses = step(model)[-1]
    assert not any(call[-1].requires_grad for call in calls)
    (losses["global"] + losses["local"]).backward()
    frozen = [*model.dual.base.parameters(), *model.codec.parameters(), *model.text.parameters()]
    assert all(weight.grad is None and not weight.requires_grad for weight in frozen)


@pytest.mark.parametrize("which", NAMES)
def test_settings_that_the_two_share(preset, which):
    model = preset(which)
    assert model.scale == 9.0
    assert (model.schedule.kind, model.schedule.steps) == ("scaled_linear", 1000)
    optimizer = model.optimizer(model.dual.guide.parameters())
    assert type(optimizer).__name__ == "AdamW"
    assert optimizer.defaults["lr"] == 1e-5
    assert set(model.dual.scales) == {1.0}
