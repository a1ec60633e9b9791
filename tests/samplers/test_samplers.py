from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler

from zoo.diffusion import Estimate, NoiseSchedule
from zoo.samplers import DDIM, DDPM
from zoo.samplers.ddim import ddim_step

SAMPLERS = [DDIM(10), DDIM(10, eta=0.7), DDIM(1), DDIM(25, spacing="leading"), DDPM(10), DDPM(20, variance="beta")]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_a_denoiser_that_knows_the_answer_is_believed(sampler):
    target = torch.randn(3, 4, 3)
    sample = sampler(lambda x, t: Estimate(target, x), torch.randn_like(target), NoiseSchedule())
    torch.testing.assert_close(sample, target, rtol=1e-4, atol=1e-4)


def gaussian(mean: float, std: float, schedule: NoiseSchedule):
    """The best possible denoiser of N(mean, std^2)."""

    def denoise(x, t):
        a, s = schedule.at(t, x)
        gain = std**2 * a / (a**2 * std**2 + s**2)
        return Estimate(mean + gain * (x - a * mean), x)

    return denoise


@pytest.mark.parametrize("sampler", [DDIM(100), DDIM(100, eta=0.5), DDIM(100, eta=1.0), DDPM(200), DDPM()], ids=str)
def test_a_gaussian_is_sampled_with_its_mean_and_spread(sampler):
    schedule = NoiseSchedule()
    noise = torch.randn(20000, 1, generator=torch.Generator().manual_seed(0))
    x = sampler(gaussian(0.3, 0.5, schedule), noise, schedule, torch.Generator().manual_seed(1))
    assert abs(x.mean() - 0.3) < 0.02
    assert abs(x.std() - 0.5) < 0.03


@pytest.mark.parametrize("factor", [0.0, 0.8, 1.0, 1.3])
def test_more_noise_spreads_a_gaussian_as_computed(factor):
    schedule, std = NoiseSchedule(), 0.5
    denoise = gaussian(0.3, std, schedule)
    variance, times = 1.0, schedule.times(50)
    for t, before in pairwise([*times, -1]):
        a, s = schedule.at(torch.tensor([t]), torch.zeros(1))
        on_x0, on_x, sigma = ddim_step(schedule, t, before, 1.0)
        gain = float(std**2 * a / (a**2 * std**2 + s**2))
        variance = (on_x0 * gain + on_x) ** 2 * variance + (factor * sigma) ** 2
    noise = torch.randn(20000, 1, generator=torch.Generator().manual_seed(0))
    x = DDIM(50, 1.0, noise=factor)(denoise, noise, schedule, torch.Generator().manual_seed(1))
    assert abs(x.mean() - 0.3) < 0.02
    assert abs(float(x.std()) / variance**0.5 - 1) < 0.03


def test_noise_cannot_be_negative_or_endless():
    for factor in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"DDIM\(noise=.*--model\.sampler\.noise"):
            DDIM(noise=factor)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("spacing", ["trailing", "leading"])
def test_ddim_is_the_loop_of_diffusers(eta, spacing):
    theirs = DDIMScheduler(
        1000, beta_schedule="linear", beta_start=1e-4, beta_end=0.02, prediction_type="sample",
        clip_sample=False, timestep_spacing=spacing, steps_offset=0, set_alpha_to_one=True,
    )  # fmt: skip
    theirs.set_timesteps(20)
    schedule = NoiseSchedule("linear")
    denoise = gaussian(0.1, 0.8, schedule)
    noise = torch.randn(5, 6)
    x, generator = noise, torch.Generator().manual_seed(7)
    for i, t in enumerate(theirs.timesteps):
        last = i == len(theirs.timesteps) - 1
        x0 = denoise(x, t.expand(5)).x0
        x = theirs.step(x0, int(t), x, eta=0.0 if last else eta, generator=generator).prev_sample
    ours = DDIM(20, eta, spacing)(denoise, noise, schedule, torch.Generator().manual_seed(7))
    torch.testing.assert_close(ours, x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("steps", [7, 20])
def test_leading_with_offset_one_is_stable_diffusions_own_loop(steps):
    """Its last step ends at the first level of noise, not at the clean signal."""
    theirs = DDIMScheduler(
        1000, beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False,
        prediction_type="sample", timestep_spacing="leading", steps_offset=1, set_alpha_to_one=False,
    )  # fmt: skip
    theirs.set_timesteps(steps)
    schedule = NoiseSchedule("scaled_linear")
    denoise = gaussian(0.1, 0.8, schedule)
    x = noise = torch.randn(5, 6)
    for t in theirs.timesteps:
        x = theirs.step(denoise(x, t.expand(5)).x0, int(t), x).prev_sample
    ours = DDIM(steps, spacing="leading", offset=1)(denoise, noise, schedule)
    torch.testing.assert_close(ours, x, rtol=1e-4, atol=1e-4)
    assert schedule.times(steps, "leading", 1) == theirs.timesteps.tolist()


def test_an_offset_that_leads_out_of_the_schedule_or_to_other_times_is_refused():
    with pytest.raises(ValueError, match=r"run from 1000 to 1; times are 0 to 999\. Set fewer"):
        NoiseSchedule().times(1000, "leading", 1)
    with pytest.raises(ValueError, match="goes with leading times, not trailing"):
        NoiseSchedule().times(10, "trailing", 1)


def test_ddpm_is_ddim_at_eta_one():
    schedule, noise = NoiseSchedule(), torch.randn(4, 3)
    denoise = gaussian(0.0, 1.0, schedule)
    ddpm = DDPM(50)(denoise, noise, schedule, torch.Generator().manual_seed(2))
    ddim = DDIM(50, eta=1.0)(denoise, noise, schedule, torch.Generator().manual_seed(2))
    torch.testing.assert_close(ddpm, ddim, rtol=1e-4, atol=1e-4)


def test_a_moved_noisy_signal_is_what_the_sampler_goes_on_from():
    schedule, noise = NoiseSchedule(), torch.randn(2, 3)
    moved = DDIM(5)(lambda x, t: Estimate(0.5 * x, x + 1), noise, schedule)
    kept = DDIM(5)(lambda x, t: Estimate(0.5 * x, x), noise, schedule)
    assert (moved - kept).abs().max() > 1e-3


def test_the_same_seed_gives_the_same_sample_whatever_the_global_one():
    schedule, noise = NoiseSchedule(), torch.randn(2, 3)
    denoise = gaussian(0.0, 1.0, schedule)
    torch.manual_seed(1)
    first = DDPM(10)(denoise, noise, schedule, torch.Generator().manual_seed(5))
    torch.manual_seed(2)
    torch.testing.assert_close(first, DDPM(10)(denoise, noise, schedule, torch.Generator().manual_seed(5)))
