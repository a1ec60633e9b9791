"""The rows of the specification's comparison of paper and released code, one test each."""

from dataclasses import replace

import pytest
import torch
from attention_toys import N, R, latents, linear, softmaxed, told

from zoo.diffusion import NoiseSchedule
from zoo.guidance import PAPER, RELEASED
from zoo.guidance.attention_steps import alphas
from zoo.guidance.text_attention_presets import released_positions

SCHEDULE = NoiseSchedule()


def test_paper_equation_2_refines_words_for_hands_by_softmax_then_gaussian_and_leaves_the_others():
    maps = linear(latents(), *told())
    words = (100 * maps[..., 1:6]).softmax(-1)
    line = torch.tensor([1.0, torch.e, 1.0])  # exp(-(d / 2 sigma)^2), sigma = 0.5, times e
    kernel = (line[:, None] * line / line.sum() ** 2)[None, None]
    hand = torch.nn.functional.pad(words[..., 1][:, None], (1, 1, 1, 1), mode="reflect")
    value = torch.nn.functional.conv2d(hand, kernel).amax()
    others = maps[..., [1, 3, 4, 5]].amax((0, 1, 2))
    expected = 1 - torch.minimum(value, others.amin())
    torch.testing.assert_close(PAPER.loss(maps, [[2]])[0], expected)
    torch.testing.assert_close(replace(PAPER, over="hand").loss(maps, [[2]])[0], 1 - value)


def test_paper_equation_4_goes_one_step_of_20_to_10():
    x_t, (_, states) = latents(), told()
    t = torch.tensor([700])
    x = x_t.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(PAPER.loss(softmaxed(x, t, states), [[2]]).sum(), x)
    moved = replace(PAPER, clip=None).move(softmaxed, x_t, t, states, [[2]], SCHEDULE).x_t
    torch.testing.assert_close(moved, x_t - (10 + 10 * 700 / 999) * gradient)


def test_d2_the_paper_predicts_the_residual_noise_and_the_released_code_the_noise_as_drawn():
    x0, eps, t = latents(), torch.randn(1, N, R, R), torch.tensor([300])
    moved = SCHEDULE.add_noise(x0, eps, t) + 0.1
    assert RELEASED.noise(eps, moved, x0, t, SCHEDULE) is eps
    found = PAPER.noise(eps, moved, x0, t, SCHEDULE)
    torch.testing.assert_close(found, eps + 0.1 / (1 - SCHEDULE.alpha_bar[300]).sqrt(), atol=1e-5, rtol=1e-5)


def test_d3_the_released_code_attends_to_the_token_before_the_word_for_hands():
    maps = linear(latents(), *told())
    alone = replace(RELEASED, shift=0)
    torch.testing.assert_close(RELEASED.loss(maps, [[3]]), alone.loss(maps, [[2]]))
    torch.testing.assert_close(RELEASED.loss(maps, [[1]]), alone.loss(maps, [[5]]))  # the first word: the last slot
    assert PAPER.shift == 0


@pytest.mark.parametrize(
    ("text", "word", "position"),
    [
        ("a man is holding a phone", "holding", 4),  # number 3 in the text: "is" in the text states
        ("hand", "hand", 1),
        ("a skateboarder, holding a t-shirt", "holding", 4),  # as the tagger counts, whatever the number of tokens
        ("he doesn't hold the dog's hand", "hand", 8),
    ],
)
def test_d3_positions_are_those_of_words_as_if_each_were_one_token(text, word, position):
    start = text.index(word)
    assert released_positions(text, [(start, start + len(word))]) == [position]


def test_d4_the_paper_looks_at_all_tokens_and_the_released_code_at_words_for_hands():
    maps = linear(latents(), *told()).clone()
    before = PAPER.loss(maps, [[2]]), RELEASED.loss(maps, [[3]])
    maps[..., 5] = 0  # a token that is no word for hands is lost
    assert PAPER.loss(maps, [[2]]) == 1 > before[0]
    assert RELEASED.loss(maps, [[3]]) <= before[1]


def test_d5_released_maps_are_multiplied_by_100_and_go_through_a_softmax_over_tokens_without_the_first_and_last():
    maps = torch.rand(1, R, R, N) / 20
    words = (100 * maps[..., 1:-1]).softmax(-1)
    unsmoothed = replace(RELEASED, refinement="none")
    torch.testing.assert_close(unsmoothed.loss(maps, [[4]])[0], 1 - words[..., 2].max())
    assert (PAPER.axis, PAPER.temperature) == ("tokens", 100)
    spatial = (100 * maps[..., 3]).flatten().softmax(0).max()
    torch.testing.assert_close(replace(unsmoothed, axis="space").loss(maps, [[4]])[0], 1 - spatial)


def test_d6_alpha_follows_the_time_in_the_paper_and_the_iteration_in_the_released_code():
    t = torch.tensor([0, 999])

    def alpha(how, i):
        return alphas(how.alpha, t, 1000, i, how.iterations, None).tolist()

    assert alpha(PAPER, 0) == [10, 20]
    assert alpha(RELEASED, 0) == [20, 20]
    assert alpha(RELEASED, 49) == pytest.approx([14.1421356] * 2)
    assert alpha(RELEASED, 10) == pytest.approx([20 * float(torch.linspace(1, 0.5, 50)[10]) ** 0.5] * 2)
    drawn = alphas("random", torch.zeros(4000, dtype=torch.long), 1000, 0, 1, torch.Generator().manual_seed(0))
    assert 0 <= drawn.min() < 1 < 29 < drawn.max() <= 30
    assert alphas(lambda t, steps, i, n: t / steps, t, 1000, 0, 1, None).tolist() == pytest.approx([0, 0.999])


@pytest.mark.parametrize(("how", "times"), [(PAPER, 1), (RELEASED, 50)])
def test_d7_one_step_in_the_paper_and_fifty_in_the_released_code(how, times):
    seen = []

    def counted(x_t, t, states):
        seen.append(1)
        return softmaxed(x_t, t, states)

    assert how.move(counted, latents(), *told(), [[3]], SCHEDULE).updates == times
    assert len(seen) == times


def test_d8_d9_attention_may_be_that_of_any_network_where_it_is():
    ours, theirs = torch.nn.Conv2d(N, N, 1), torch.nn.Conv2d(N, N, 1)
    moved = [
        PAPER.move(lambda x, t, s, net=net: softmaxed(net(x), t, s), latents(), *told(), [[3]], SCHEDULE).x_t
        for net in (ours, theirs)
    ]
    assert not torch.equal(*moved)


def test_d10_the_released_local_branch_attends_to_the_last_slot_of_the_whole_text():
    maps = linear(latents(), *told())
    local = released_positions("hand", [(0, 4)])
    assert local == [1]
    last = replace(RELEASED, shift=0).loss(maps, [[5]])
    torch.testing.assert_close(RELEASED.loss(maps, [local]), last)
    torch.testing.assert_close(RELEASED.loss(maps, [[]]), last)  # as does a text without any word for hands
    assert PAPER.loss(maps, [[]]) == 0


def test_d11_rows_of_a_batch_are_independent_in_both():
    x_t, (t, states) = latents(3), told(3)
    for how in (PAPER, replace(RELEASED, iterations=5)):
        together = how.move(softmaxed, x_t, t, states, [[2], [3], [4, 5]], SCHEDULE).x_t
        for row, tokens in enumerate(([2], [3], [4, 5])):
            part = slice(row, row + 1)
            alone = how.move(softmaxed, x_t[part], t[part], states[part], [tokens], SCHEDULE).x_t
            torch.testing.assert_close(together[part], alone, atol=1e-4, rtol=1e-4)


def test_d12_the_paper_has_text_attention_at_sampling_too_and_the_released_code_in_training_alone():
    assert (PAPER.at, RELEASED.at) == ("both", "train")


def test_d17_what_comes_back_is_detached_and_weights_collect_nothing():
    net = torch.nn.Conv2d(N, N, 1)
    x_t = latents().requires_grad_()
    moved = PAPER.move(lambda x, t, s: softmaxed(net(x), t, s), x_t, *told(), [[3]], SCHEDULE, measure=True)
    assert not any(part.requires_grad for part in moved)
    assert all(weights.grad is None for weights in net.parameters())
    assert x_t.grad is None
