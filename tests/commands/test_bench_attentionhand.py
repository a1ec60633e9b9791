"""AttentionHand's speed cases: that each runs, and that it does the same as what it is compared with."""

import dataclasses

import pytest
import torch

from zoo.bases.base import Base
from zoo.commands import bench_attentionhand
from zoo.commands.bench_attentionhand import against_recipe, against_released, cases, counted, sampling, stepper
from zoo.commands.bench_attentionhand_setting import Setting
from zoo.commands.bench_harness import Case
from zoo.commands.bench_released import ReleasedStep
from zoo.commands.bench_runs import run_cases
from zoo.denoisers.latent_unet import LatentUNet
from zoo.diffusion import NoiseSchedule
from zoo.encoders.clip_text import ClipText
from zoo.encoders.codec import KLCodec
from zoo.guidance.text_attention_presets import RELEASED
from zoo.registry import UsageError


def tiny_base():
    torch.manual_seed(0)
    codec = KLCodec((8, 8, 8, 8), layers=1, groups=4)
    unet = LatentUNet(4, (16, 16), layers=1, heads=2, context=16, groups=4, side=8)
    return Base(codec, ClipText(16, layers=1, heads=2), unet, NoiseSchedule("scaled_linear"), hash="00" * 32)


@pytest.fixture
def setting(monkeypatch):
    monkeypatch.setattr(bench_attentionhand, "STEPS", 2)
    monkeypatch.setattr("zoo.commands.bench_diffusers.STEPS", 2)
    return Setting(torch.device("cpu"), 2, tiny_base, 8)


def test_our_step_is_the_released_codes_by_its_rules(setting):
    model = setting.model(tas=dataclasses.replace(RELEASED, iterations=3), local_noise="global").train()
    given = setting.rows(model.size)
    losses = model.step_losses(*given)
    (losses["global"] + losses["local"]).backward()
    step = ReleasedStep(model, 3)
    assert float(step(*given)) == pytest.approx(float((losses["global"] + losses["local"]).detach()), rel=1e-4)
    for ours, theirs in zip(model.dual.guide.parameters(), step.dual.guide.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-2, atol=1e-5)


def test_text_attention_by_the_released_codes_rules_moves_the_latents_alike(setting):
    model = setting.model(tas=dataclasses.replace(RELEASED, iterations=3)).train()
    with torch.no_grad():
        for name, weight in model.dual.base.net.named_parameters():
            if "attn2.to_q" in name or "attn2.to_k" in name:
                weight *= 6  # so that attention differs from place to place, and its gradient is large
    _, texts, t, noise = setting.rows(model.size)
    states, positions = model.states(texts), model.positions(texts)
    found = model.tas.move(model.attention, noise[0], t, states, positions, model.schedule, model.lengths(texts)).x_t
    assert (found - noise[0]).abs().amax((1, 2, 3)).min() > 1e-2
    step = ReleasedStep(model, 3)
    for i, own in enumerate(positions):
        moved = step.moved(noise[0, i : i + 1], t[i : i + 1], states[i : i + 1], own)
        torch.testing.assert_close(found[i : i + 1], moved.detach(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("iterations", [1, 2])
def test_steps_are_compared_with_the_released_code_before_they_are_timed(setting, iterations):
    case = against_released(setting, iterations, 2)
    assert case.disagreement() < case.tolerance
    case.peer()
    assert case.slow


def test_text_attention_costs_what_the_recipe_does_not_do(setting):
    with_tas, without = against_recipe(setting, 1), against_recipe(setting, 0)
    assert counted(with_tas).flops > counted(without).flops
    assert without.disagreement() < without.tolerance


def test_a_step_of_cached_latents_is_the_same_and_cheaper(setting, tmp_path):
    cached = dataclasses.replace(setting, cached=tmp_path)
    plain, kept, again = (
        stepper(some, some.model(tas=dataclasses.replace(RELEASED, iterations=2))) for some in (setting, cached, cached)
    )
    first = float(kept())
    assert first == float(again())
    assert first == pytest.approx(float(plain()), rel=1e-2)
    costs = [counted(Case("x", "s", step)).flops for step in (kept, plain)]
    assert costs[0] < costs[1]


def test_pictures_are_those_of_diffusers_pipeline(setting):
    case = sampling(setting, 2)
    assert case.disagreement() < 1e-3
    assert case.ours().std() > 0.01


def test_cases_are_run_by_their_words_and_counted(setting, capsys):
    records, agreed = run_cases("tiny", dict(cases(setting, 2)), setting.device, ["step0", "sample1"], 0.0)
    said = capsys.readouterr().out
    assert agreed, said
    assert [record["word"] for record in records] == ["step0", "sample1"]
    assert all(record["tflop"] > 0 for record in records)
    with pytest.raises(UsageError, match=r"step9 is not a case on cpu.*Known: step50"):
        run_cases("tiny", dict(cases(setting)), setting.device, "step9", 0.0)
