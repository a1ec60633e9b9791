from dataclasses import replace

import pytest
import torch
from attention_toys import N, R, latents, linear, softmaxed, told
from torch import nn

from zoo.diffusion import NoiseSchedule
from zoo.guidance.text_attention import TextAttention, residual_noise

SCHEDULE = NoiseSchedule()
PLAIN = TextAttention(refinement="none", axis="tokens", temperature=4.0, over="hand", clip=None)  # easy by hand


def by_hand(x_t, token, temperature=4.0):
    """Loss and gradient of a word that is looked at alone: 1 - the largest softmax over the five words."""
    words = (temperature * x_t[:, 1:6]).softmax(1)
    best = words[:, token - 1].flatten(1).argmax(1)
    gradient = torch.zeros_like(x_t)
    loss = torch.zeros(len(x_t))
    for row, place in enumerate(best):
        i, j = divmod(int(place), R)
        p = words[row, :, i, j]
        loss[row] = 1 - p[token - 1]
        unit = torch.zeros(5)
        unit[token - 1] = 1
        gradient[row, 1:6, i, j] = -temperature * p[token - 1] * (unit - p)
    return loss, gradient


def test_a_step_goes_alpha_down_the_gradient():
    x_t, (t, states) = latents(3), told(3)
    t = torch.tensor([0, 300, 999])
    moved = PLAIN.move(linear, x_t, t, states, [[2]] * 3, SCHEDULE, measure=True)
    loss, gradient = by_hand(x_t, 2)
    torch.testing.assert_close(moved.loss_before, loss)
    alpha = torch.tensor([10, 10 + 10 * 300 / 999, 20])[:, None, None, None]
    torch.testing.assert_close(moved.x_t, x_t - alpha * gradient)
    assert (moved.loss_after < moved.loss_before).all()
    assert moved.updates.tolist() == [1, 1, 1]
    assert not moved.x_t.requires_grad


def test_of_several_words_the_worst_one_is_moved():
    x_t, (t, states) = latents(1), told(1)
    losses = {token: float(by_hand(x_t, token)[0]) for token in (1, 3, 4)}
    worst = max(losses, key=losses.get)
    moved = PLAIN.move(linear, x_t, t, states, [[1, 3, 4]], SCHEDULE)
    assert float(moved.loss_before) == pytest.approx(losses[worst])
    assert torch.equal(moved.x_t, PLAIN.move(linear, x_t, t, states, [[worst]], SCHEDULE).x_t)


def test_many_small_steps_end_where_the_words_are_attended_to():
    x_t, (t, states) = latents(2), told(2)
    often = replace(PLAIN, iterations=200, scale=0.05, refinement="gaussian")
    moved = often.move(softmaxed, x_t, t, states, [[2, 4], [5]], SCHEDULE, measure=True)
    assert (moved.loss_after < 0.5 * moved.loss_before).all()
    assert moved.updates.tolist() == [200, 200]


def test_nothing_moves_at_scale_zero():
    x_t, (t, states) = latents(2), told(2)
    moved = replace(PLAIN, scale=0.0, iterations=3).move(softmaxed, x_t, t, states, [[2], [3]], SCHEDULE, measure=True)
    assert torch.equal(moved.x_t, x_t)
    torch.testing.assert_close(moved.loss_after, moved.loss_before)


@pytest.mark.parametrize("how", [TextAttention(), PLAIN, replace(PLAIN, objective="balanced", iterations=3)])
def test_a_batch_of_two_is_two_batches_of_one(how):
    x_t, (_, states) = latents(2), told(2)
    t, tokens = torch.tensor([100, 900]), [[2, 3], [4]]
    both = how.move(softmaxed, x_t, t, states, tokens, SCHEDULE, measure=True)
    assert not torch.equal(both.x_t, x_t)
    for row in range(2):
        part = slice(row, row + 1)
        alone = how.move(softmaxed, x_t[part], t[part], states[part], tokens[part], SCHEDULE, measure=True)
        torch.testing.assert_close(both.x_t[part], alone.x_t)
        torch.testing.assert_close(both.loss_before[part], alone.loss_before)
        torch.testing.assert_close(both.loss_after[part], alone.loss_after)


def test_rows_without_a_word_for_hands_stay_and_cost_nothing():
    x_t, (t, states) = latents(3), told(3)
    seen = []

    def watched(x_t, t, states):
        seen.append(len(x_t))
        return linear(x_t, t, states)

    moved = PLAIN.move(watched, x_t, t, states, [[], [2], []], SCHEDULE)
    assert seen == [1]
    assert torch.equal(moved.x_t[::2], x_t[::2])
    assert moved.loss_before[::2].tolist() == [0, 0]
    assert moved.updates.tolist() == [0, 1, 0]
    assert PLAIN.loss(linear(x_t, t, states), [[], [2], []])[::2].tolist() == [0, 0]
    assert TextAttention().loss(linear(x_t, t, states), [[], [2], []])[::2].tolist() == [0, 0]
    seen.clear()
    assert torch.equal(PLAIN.move(watched, x_t, t, states, [[]] * 3, SCHEDULE).x_t, x_t)
    assert seen == []


def test_it_acts_within_its_window_only():
    x_t, (_, states) = latents(3), told(3)
    moved = replace(PLAIN, window=(0.2, 0.8)).move(
        linear, x_t, torch.tensor([100, 500, 900]), states, [[2]] * 3, SCHEDULE
    )
    assert moved.updates.tolist() == [0, 1, 0]
    assert torch.equal(moved.x_t[::2], x_t[::2])
    assert not torch.equal(moved.x_t[1], x_t[1])


def test_rows_that_have_enough_stop():
    x_t, (t, states) = latents(2), told(2)
    x_t[0, 2] += 3  # the first row attends to its word already
    seen = []

    def watched(x_t, t, states):
        seen.append(len(x_t))
        return linear(x_t, t, states)

    how = replace(PLAIN, iterations=50, enough=0.9, scale=0.02)
    moved = how.move(watched, x_t, t, states, [[2], [2]], SCHEDULE, measure=True)
    assert moved.loss_before[0] < 0.1 < moved.loss_before[1]
    assert torch.equal(moved.x_t[0], x_t[0])
    assert (moved.loss_after <= 0.1).all()
    steps = int(moved.updates[1])
    assert moved.updates[0] == 0
    assert 1 < steps < 50
    assert seen == [2] + [1] * steps + [2]  # the last is the measurement
    unhurried = replace(how, iterations=steps, enough=None).move(linear, x_t[1:], t[1:], states[1:], [[2]], SCHEDULE)
    torch.testing.assert_close(moved.x_t[1:], unhurried.x_t)


def test_milestones_are_worked_for_at_their_steps_alone():
    x_t, (t, states) = latents(1), told(1)
    how = replace(PLAIN, milestones={0: 0.7, 10: 0.9}, scale=0.02)
    reached = [how.move(linear, x_t, t, states, [[2]], SCHEDULE, measure=True, step=step) for step in (0, 1, 10)]
    assert reached[0].loss_after < 0.3
    assert reached[1].updates == 1
    assert reached[0].updates < reached[2].updates <= 20


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off(mode):
    net = nn.Conv2d(N, N, 3, padding=1)

    def convolved(x_t, t, states):
        return softmaxed(net(x_t), t, states)

    expected = PLAIN.move(convolved, latents(), *told(), [[2]], SCHEDULE)
    with mode():
        found = PLAIN.move(convolved, latents(), *told(), [[2]], SCHEDULE, measure=True)
        assert not torch.is_grad_enabled()
    torch.testing.assert_close(found.x_t, expected.x_t)
    assert net.weight.grad is None
    assert not found.x_t.requires_grad


def test_latents_of_half_precision_stay_so_and_are_moved_as_precisely_as_they_can():
    how, (t, states) = replace(PLAIN, iterations=30, scale=0.001), told()
    x_t = latents().bfloat16()
    found = how.move(softmaxed, x_t, t, states, [[2]], SCHEDULE).x_t
    exact = how.move(softmaxed, x_t.float(), t, states, [[2]], SCHEDULE).x_t
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, exact.bfloat16())


@pytest.mark.parametrize("iterations", [1, 7])
def test_a_row_moves_no_further_than_the_clip_allows(iterations):
    x_t, (_, states) = latents(2), told(2)
    t = torch.tensor([0, 800])
    free = replace(PLAIN, iterations=iterations).move(linear, x_t, t, states, [[2]] * 2, SCHEDULE).x_t - x_t
    held = replace(PLAIN, iterations=iterations, clip=0.05).move(linear, x_t, t, states, [[2]] * 2, SCHEDULE).x_t - x_t
    far = held.flatten(1).square().mean(1).sqrt() / (1 - SCHEDULE.alpha_bar[t]).sqrt()
    torch.testing.assert_close(far, torch.tensor([0.05, 0.05]))
    if iterations == 1:  # shorter, and in the same direction
        torch.testing.assert_close(*(nn.functional.normalize(off.flatten(1)) for off in (held, free)))


def test_the_residual_noise_is_the_noise_less_alpha_times_the_gradient():
    x0, eps = latents(2, seed=5), torch.randn(2, N, R, R)
    t, (_, states) = torch.tensor([200, 900]), told(2)
    x_t = SCHEDULE.add_noise(x0, eps, t)
    still = replace(PLAIN, scale=0.0).move(linear, x_t, t, states, [[2]] * 2, SCHEDULE)
    torch.testing.assert_close(PLAIN.noise(eps, still.x_t, x0, t, SCHEDULE), eps, atol=1e-5, rtol=1e-5)
    moved = PLAIN.move(linear, x_t, t, states, [[2]] * 2, SCHEDULE).x_t
    found = residual_noise(moved, x0, t, SCHEDULE)
    alpha, deviation = 10 + 10 * t / 999, (1 - SCHEDULE.alpha_bar[t]).sqrt()
    step = (alpha / deviation)[:, None, None, None] * by_hand(x_t, 2)[1]
    torch.testing.assert_close(found, eps - step, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(SCHEDULE.add_noise(x0, found, t), moved)
    torch.testing.assert_close(PLAIN.noise(eps, moved, x0, t, SCHEDULE), found)
    assert replace(PLAIN, target="noise").noise(eps, moved, x0, t, SCHEDULE) is eps


def test_the_clip_bounds_the_residual_noise_at_the_smallest_time():
    x0, eps = latents(1, seed=5), torch.randn(1, N, R, R)
    t, (_, states) = torch.tensor([0]), told(1)
    x_t = SCHEDULE.add_noise(x0, eps, t)

    def off(how):
        moved = how.move(linear, x_t, t, states, [[2]], SCHEDULE).x_t
        return float((residual_noise(moved, x0, t, SCHEDULE) - eps).square().mean().sqrt())

    assert off(replace(PLAIN, clip=0.5)) == pytest.approx(0.5, rel=1e-3)
    assert off(PLAIN) > 2


def test_padding_is_no_text():
    x_t, (t, states) = latents(1), told(1)
    maps = linear(x_t, t, states).clone()
    maps[..., 4:] = 0.0  # what comes after the fourth token is not attended to at all
    how = replace(PLAIN, over="all")
    assert how.loss(maps, [[2]]) == 1
    assert how.loss(maps, [[2]], lengths=[4]) < 1


def test_random_refinement_and_steps_are_those_of_the_rows_generators():
    x_t, (t, states) = latents(2), told(2)

    def run(how, rows, seeds):
        sources = [torch.Generator().manual_seed(seed) for seed in seeds]
        return how.move(
            softmaxed, x_t[rows], t[rows], states[rows], [[2]] * len(seeds), SCHEDULE, generator=sources
        ).x_t

    for how in (replace(PLAIN, alpha="random"), replace(PLAIN, refinement="random", iterations=2)):
        both = run(how, slice(2), [1, 2])
        torch.testing.assert_close(both[1:], run(how, slice(1, 2), [2]))
        assert not torch.allclose(both[1:], run(how, slice(1, 2), [3]))


def test_wrong_tokens_rows_and_settings_are_named():
    x_t, (t, states) = latents(2), told(2)
    with pytest.raises(
        ValueError, match=r"Token 6 of row 1 was given .*; of 7 text states those from 1 to 5 hold words"
    ):
        PLAIN.move(linear, x_t, t, states, [[2], [6]], SCHEDULE)
    with pytest.raises(ValueError, match="tokens of 1 rows for 2 latents"):
        PLAIN.move(linear, x_t, t, states, [[2]], SCHEDULE)
    with pytest.raises(ValueError, match=r"the window\s+rises"):
        TextAttention(window=(0.5, 0.5))
