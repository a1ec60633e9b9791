from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from zoo.diffusion import NoiseSchedule, posterior_step

NAMES = {"cosine": "squaredcos_cap_v2", "linear": "linear"}


@pytest.mark.parametrize("kind", ["cosine", "linear"])
def test_alpha_bar_is_that_of_diffusers(kind):
    theirs = DDPMScheduler(1000, beta_start=1e-4, beta_end=0.02, beta_schedule=NAMES[kind]).alphas_cumprod
    np.testing.assert_allclose(NoiseSchedule(kind).table, theirs.double(), rtol=2e-3, atol=1e-7)


def test_the_schedule_of_stable_diffusion_is_that_of_diffusers():
    theirs = DDIMScheduler(1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").alphas_cumprod
    ours = NoiseSchedule("scaled_linear")
    np.testing.assert_allclose(ours.table, theirs.double(), rtol=1e-4)
    np.testing.assert_allclose(ours.table[[0, -1]], [0.99915, 0.0046600], rtol=1e-4)


@pytest.mark.parametrize("steps", [10, 100, 4000])
def test_the_schedule_of_stable_diffusion_ends_alike_in_other_lengths(steps):
    table = NoiseSchedule("scaled_linear", steps).table
    assert (np.diff(table) < 0).all()
    assert 0 < table[-1] < 0.01


@pytest.mark.parametrize("kind", ["cosine", "linear"])
def test_noise_grows_from_almost_nothing_to_almost_everything(kind):
    table = NoiseSchedule(kind).table
    assert (np.diff(table) < 0).all()
    assert table[0] > 0.999
    assert table[-1] < 1e-4


def test_added_noise_has_the_closed_form_mean_and_variance():
    schedule = NoiseSchedule("linear", 10)
    x0, noise = torch.full((1, 3), 2.0), torch.full((1, 3), 0.5)
    level = schedule.table[4]
    expected = np.sqrt(level) * 2 + np.sqrt(1 - level) * 0.5
    torch.testing.assert_close(schedule.add_noise(x0, noise, torch.tensor([4])), torch.full((1, 3), float(expected)))


@pytest.mark.parametrize("kind", ["x0", "eps", "v"])
def test_predictions_convert_there_and_back(kind):
    schedule = NoiseSchedule()
    x0, noise, t = torch.randn(4, 5, 3), torch.randn(4, 5, 3), torch.tensor([0, 10, 500, 900])
    x_t = schedule.add_noise(x0, noise, t)
    back = schedule.to_x0(schedule.from_x0(x0, x_t, t, kind), x_t, t, kind)
    torch.testing.assert_close(back, x0, rtol=1e-3, atol=1e-3)


def test_the_noise_that_was_added_comes_back_as_eps():
    schedule, t = NoiseSchedule(), torch.tensor([300, 999])
    x0, noise = torch.randn(2, 7), torch.randn(2, 7)
    x_t = schedule.add_noise(x0, noise, t)
    torch.testing.assert_close(schedule.from_x0(x0, x_t, t, "eps"), noise, rtol=1e-4, atol=1e-4)


def test_the_posterior_is_bayes_rule_for_gaussians():
    # q(x_s | x_t, x0) is proportional to q(x_t | x_s) q(x_s | x0): add the precisions.
    table, t, s = NoiseSchedule("linear").table, 600, 350
    now, then = table[t], table[s]
    alpha, beta = now / then, 1 - now / then
    precision = alpha / beta + 1 / (1 - then)
    on_x0, on_x, variance = posterior_step(table, t, s)
    np.testing.assert_allclose(variance, 1 / precision)
    np.testing.assert_allclose(on_x0, np.sqrt(then) / (1 - then) / precision)
    np.testing.assert_allclose(on_x, np.sqrt(alpha) / beta / precision)


def test_the_posterior_of_the_first_time_is_the_clean_signal():
    x0, x_t = torch.randn(2, 3), torch.randn(2, 3)
    mean, variance = NoiseSchedule().posterior(x0, x_t, torch.tensor([0, 0]))
    torch.testing.assert_close(mean, x0)
    assert (variance == 0).all()


def test_the_posterior_mean_is_the_step_of_diffusers():
    theirs = DDPMScheduler(1000, beta_start=1e-4, beta_end=0.02, prediction_type="sample", clip_sample=False)
    x0, x_t = torch.randn(1, 6), torch.randn(1, 6)
    mean, variance = NoiseSchedule("linear").posterior(x0, x_t, torch.tensor([400]))
    noise = torch.randn(1, 6, generator=torch.Generator().manual_seed(3))
    step = theirs.step(x0, 400, x_t, generator=torch.Generator().manual_seed(3)).prev_sample
    torch.testing.assert_close(mean + variance.sqrt() * noise, step, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("count", [1, 7, 10, 50, 1000])
def test_trailing_times_start_at_pure_noise_and_fall(count):
    times = NoiseSchedule().times(count)
    assert times[0] == 999
    assert len(times) == count
    assert all(a > b >= 0 for a, b in pairwise(times))


@pytest.mark.parametrize("spacing", ["trailing", "leading"])
def test_times_are_those_of_diffusers(spacing):
    theirs = DDIMScheduler(1000, timestep_spacing=spacing, steps_offset=0)
    theirs.set_timesteps(20)
    assert NoiseSchedule().times(20, spacing) == theirs.timesteps.tolist()


def test_too_many_steps_are_refused_with_the_range():
    with pytest.raises(ValueError, match="1 to 1000"):
        NoiseSchedule().times(1001)
