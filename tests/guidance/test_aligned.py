"""Gradient guidance on Gaussians, where the guided posterior is known."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from gaussian_hands import Seen, standard_normal

from zoo.diffusion import Estimate, NoiseSchedule
from zoo.guidance import AlignedGradient, ClassifierFree, Likelihood, guided
from zoo.samplers import DDIM, DDPM

SCHEDULE = NoiseSchedule(steps=200)
# two orthonormal rows: y = A x + noise sees two turned coordinates of three
A = torch.linalg.qr(torch.tensor([[1.0, 2.0, 0.5], [0.3, -1.0, 1.0], [0.2, 0.4, 2.0]])).Q.mT[:2]
Y = torch.tensor([0.9, -0.6])
EVERYWHERE = {"window": (0.0, 1.0), "clip": None}
SCORE = {"normalize": "none", "moves": "estimate", "repeats": 1, **EVERYWHERE}


def bayes(noise: float, **changes) -> AlignedGradient:
    return AlignedGradient(Seen(A, Y), 0.5, scale_by_variance=True, schedule=Likelihood(noise), **{**SCORE, **changes})


def sample(sampler, guidance, rows=4, seed=0):
    noise = torch.randn(rows, 1, 3, generator=torch.Generator().manual_seed(seed))
    denoise = standard_normal(SCHEDULE)
    denoise = guided(denoise, denoise, guidance, SCHEDULE)
    return sampler(denoise, noise, SCHEDULE, torch.Generator().manual_seed(seed + 1))


def error(x):
    return float(Seen(A, Y).error(x).mean())


@pytest.mark.parametrize("wrt", ["x_t", "x0"])
@pytest.mark.parametrize("sampler", [DDPM(), DDIM(50), DDIM(50, eta=0.5)], ids=str)
def test_the_known_posterior_is_sampled(sampler, wrt):
    # x ~ N(0, I), y = A x + 0.5 n: along A's rows N(y / 1.25, 0.25 / 1.25), across N(0, 1).
    x = sample(sampler, [bayes(0.5, wrt=wrt)], rows=6000)[:, 0]
    seen, rest = x @ A.mT, x @ torch.linalg.cross(A[0], A[1])
    torch.testing.assert_close(seen.mean(0), Y / 1.25, atol=0.03, rtol=0)
    torch.testing.assert_close(seen.std(0), torch.full((2,), math.sqrt(0.2)), atol=0.03, rtol=0)
    assert abs(rest.mean()) < 0.04
    assert abs(rest.std() - 1) < 0.04


def test_one_estimate_is_the_posterior_mean():
    x, t = torch.randn(5, 1, 3), torch.tensor([0, 20, 80, 150, 199])
    level = SCHEDULE.alpha_bar[t][:, None]
    plain = level.sqrt() * x[:, 0]
    expected = plain - (1 - level) / (0.3**2 + 1 - level) * (plain @ A.mT - Y) @ A
    for wrt in ("x_t", "x0"):
        guide = bayes(0.3, wrt=wrt)(standard_normal(SCHEDULE), standard_normal(SCHEDULE), SCHEDULE)
        torch.testing.assert_close(guide(x, t).x0[:, 0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", [DDIM(7), DDPM(7)], ids=str)
def test_scale_zero_changes_no_bit(sampler):
    for changes in ({}, {"wrt": "x0"}, {"moves": "estimate"}, {"normalize": "none"}):
        assert torch.equal(sample(sampler, [AlignedGradient(Seen(A, Y), 0.0, **changes)]), sample(sampler, []))


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize(
    "changes", [{"moves": "estimate"}, {"wrt": "x0", "repeats": 1}, {"moves": "estimate", "norm": "l2"}], ids=str
)
def test_the_residual_falls_with_the_scale(eta, changes):
    scales = [0.0, 0.05, 0.1, 0.2, 0.4]
    errors = [error(sample(DDIM(20, eta), [AlignedGradient(Seen(A, Y), s, **EVERYWHERE, **changes)])) for s in scales]
    assert all(later < before for before, later in pairwise(errors))
    assert errors[-1] < 0.3 * errors[0]


def test_moving_the_signal_lowers_the_residual_and_says_so():
    guide = AlignedGradient(Seen(A, Y), moves="signal")(standard_normal(SCHEDULE), standard_normal(SCHEDULE), SCHEDULE)
    x, t = torch.randn(4, 1, 3), torch.full((4,), 60)
    x0, x_t = guide(x, t)
    assert (x_t != x).any()
    torch.testing.assert_close(x0, standard_normal(SCHEDULE)(x_t, t).x0)
    assert error(x0) < error(standard_normal(SCHEDULE)(x, t).x0)


def test_doing_both_goes_further_than_either():
    x, t = torch.randn(4, 1, 3), torch.full((4,), 60)
    plain = standard_normal(SCHEDULE)
    errors = {
        moves: error(AlignedGradient(Seen(A, Y), moves=moves)(plain, plain, SCHEDULE)(x, t).x0)
        for moves in ("estimate", "signal", "both")
    }
    assert errors["both"] < min(errors["estimate"], errors["signal"])


def once(t=80, x=None, **changes):
    """How far one estimate moves."""
    plain = standard_normal(SCHEDULE)
    x = torch.randn(6, 1, 3, generator=torch.Generator().manual_seed(3)) if x is None else x
    when = torch.full((len(x),), t)
    guide = AlignedGradient(Seen(A, Y), **{"scale": 0.2, "moves": "estimate", "repeats": 1, **EVERYWHERE, **changes})
    return guide(plain, plain, SCHEDULE)(x, when).x0 - plain(x, when).x0


@pytest.mark.parametrize("norm", ["l2_squared", "l2"])
def test_a_share_of_the_residual_goes(norm):
    plain = standard_normal(SCHEDULE)(torch.zeros(6, 1, 3), torch.full((6,), 80)).x0
    moved = plain + once(x=torch.zeros(6, 1, 3), norm=norm)
    torch.testing.assert_close(error(moved), 0.8 * error(plain), rtol=1e-4, atol=0)


@pytest.mark.parametrize("norm", ["l2_squared", "l2"])
def test_what_noise_explains_is_left(norm):
    x = torch.zeros(6, 1, 3)
    plain = standard_normal(SCHEDULE)(x, torch.full((6,), 80)).x0
    off = error(plain)  # of one observation, so that its distance is its root mean square
    for noise in (0.25 * off, 0.75 * off):
        moved = plain + once(x=x, norm=norm, noise=noise)
        torch.testing.assert_close(error(moved), off - 0.2 * (off - noise), rtol=1e-4, atol=0)
    assert not once(x=x, norm=norm, noise=1.01 * off).any()
    assert torch.equal(once(norm=norm, noise=0.0), once(norm=norm))


def test_norms_point_their_own_ways():
    directions = [torch.nn.functional.normalize(once(norm=norm, normalize="none").flatten(1)) for norm in
                  ("l2_squared", "l2", "l1")]  # fmt: skip
    torch.testing.assert_close(directions[0], directions[1], rtol=1e-3, atol=1e-4)
    assert (directions[0] - directions[2]).abs().max() > 0.01
    lengths = once(norm="l2", normalize="none", wrt="x0").norm(dim=-1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 0.2))  # a norm's slope is 1 wherever one stands


def test_a_unit_step_is_as_long_as_the_scale():
    lengths = once(normalize="unit").norm(dim=-1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 0.2))


def test_clipped_steps_keep_their_direction_and_their_bound():
    far, near = once(normalize="none", scale=0.5), once(normalize="none", scale=0.5, clip=0.02)
    limit = 0.02 * (1 - SCHEDULE.alpha_bar[80]).sqrt() * math.sqrt(3)
    torch.testing.assert_close(near.norm(dim=-1), limit.expand(6, 1))
    torch.testing.assert_close(*(torch.nn.functional.normalize(step, dim=-1) for step in (near, far)))


def test_the_window_says_when():
    for low, high, acts in ((0.0, 1.0, True), (0.5, 1.0, False), (0.0, 0.3, False), (0.3, 0.5, True)):
        for moves in ("estimate", "signal"):
            assert bool((once(window=(low, high), moves=moves) != 0).any()) == acts


def test_schedules_weigh_the_scale_by_the_noise():
    at = {name: once(normalize="none", schedule=name) for name in ("constant", "rising", "falling")}
    level = SCHEDULE.alpha_bar[80]
    torch.testing.assert_close(at["rising"], at["constant"] * level.sqrt())
    torch.testing.assert_close(at["falling"], at["constant"] * (1 - level).sqrt())
    torch.testing.assert_close(once(normalize="none", schedule=lambda level: 3 * level), 3 * at["constant"] * level)


def test_the_variance_scales_where_asked():
    level = SCHEDULE.alpha_bar[80]
    for wrt, factor in (("x_t", (1 - level) / level.sqrt()), ("x0", 1 - level)):
        plain = once(normalize="none", wrt=wrt)
        torch.testing.assert_close(once(normalize="none", wrt=wrt, scale_by_variance=True), plain * factor)


def test_repeats_go_further():
    plain = once() * 0
    errors = [error(plain + standard_normal(SCHEDULE)(torch.zeros_like(plain), torch.full((6,), 80)).x0
                    + once(x=torch.zeros(6, 1, 3), repeats=repeats)) for repeats in (1, 2, 5)]  # fmt: skip
    torch.testing.assert_close(torch.tensor(errors), errors[0] / 0.8 * 0.8 ** torch.tensor([1.0, 2, 5]))


@pytest.mark.parametrize("norm", ["l2_squared", "l2", "l1"])
@pytest.mark.parametrize("normalize", ["none", "unit", "share"])
def test_gradients_are_finite_where_nothing_is_wrong(norm, normalize):
    right = Y @ A
    x = (right / SCHEDULE.alpha_bar[80].sqrt()).expand(2, 1, 3)
    for moves in ("estimate", "signal"):
        assert once(x=x, norm=norm, normalize=normalize, moves=moves).abs().max() < 0.25


def test_a_scale_that_diverges_gives_no_number():
    x = sample(DDIM(10), [AlignedGradient(Seen(A, Y), 100.0, **SCORE)])
    assert x.isnan().all()


def test_rows_diverge_alone():
    noisy = torch.randn(3, 1, 3, generator=torch.Generator().manual_seed(0))
    noisy[1] = torch.nan
    plain = standard_normal(SCHEDULE)
    x0 = AlignedGradient(Seen(A, Y))(plain, plain, SCHEDULE)(noisy, torch.full((3,), 50)).x0
    assert x0.isnan().flatten(1).any(1).tolist() == [False, True, False]


def test_guidance_around_guidance_sees_what_the_inner_one_made():
    outer, inner = AlignedGradient(Seen(A, Y), 0.3), AlignedGradient(Seen(A[:1], Y[:1]), 0.3)
    for moves in ("estimate", "signal"):
        both = [AlignedGradient(inner.operator, 0.3, moves=moves), outer]
        assert error(sample(DDIM(10), both)) < error(sample(DDIM(10), both[:1]))


def test_guidance_comes_after_what_stands_before_it_in_the_list():
    free, aligned = ClassifierFree(3.0), AlignedGradient(Seen(A, Y), 0.4, moves="estimate", repeats=1, **EVERYWHERE)
    x, t = torch.randn(3, 1, 3), torch.full((3,), 80)

    def nothing(x, t):
        return Estimate(torch.zeros_like(x), x)

    plain = standard_normal(SCHEDULE)
    exaggerated = 3 * plain(x, t).x0
    last = guided(plain, nothing, [free, aligned], SCHEDULE)(x, t).x0
    first = guided(plain, nothing, [aligned, free], SCHEDULE)(x, t).x0
    assert error(last) < error(exaggerated)
    torch.testing.assert_close(first, 3 * aligned(plain, nothing, SCHEDULE)(x, t).x0)


WRONG: list[dict[str, Any]] = [
    {"scale": -1.0}, {"window": (0.5, 0.2)}, {"window": (0.0, 2.0)}, {"repeats": 0}, {"noise": -0.1},
    {"noise": 0.1, "norm": "l1"}, {"noise": 0.1, "normalize": "unit"},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="AlignedGradient"):
        AlignedGradient(Seen(A, Y), **wrong)
