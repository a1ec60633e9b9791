from dataclasses import replace

import pytest
import torch
from attention_toys import N, R, latents, softmaxed, told

from zoo.diffusion import Estimate, NoiseSchedule
from zoo.guidance import PAPER, ClassifierFree, TextAttentionGuidance, guided
from zoo.samplers import DDIM

SCHEDULE = NoiseSchedule()
TOKENS = [[2], [3, 4]]


def conditional(x, t):
    return Estimate(0.5 * x, x)


def unconditional(x, t):
    return Estimate(0.2 * x - 1, x)


def guide(**changes):
    return TextAttentionGuidance(replace(PAPER, over="hand", **changes), softmaxed, told(2)[1], TOKENS)


def test_the_estimate_is_that_of_the_moved_signal_and_says_so():
    x_t, (t, states) = latents(2), told(2)
    moved = guide().how.move(softmaxed, x_t, t, states, TOKENS, SCHEDULE).x_t
    with torch.inference_mode():
        found = guided(conditional, unconditional, [guide()], SCHEDULE)(x_t, t)
    assert not torch.equal(moved, x_t)
    torch.testing.assert_close(found.x_t, moved)
    torch.testing.assert_close(found.x0, 0.5 * moved)


@pytest.mark.parametrize("first", [True, False])
def test_classifier_free_guidance_speaks_of_the_moved_signal_too(first):
    x_t, (t, states) = latents(2), told(2)
    moved = guide().how.move(softmaxed, x_t, t, states, TOKENS, SCHEDULE).x_t
    parts = [guide(), ClassifierFree(3.0)]
    found = guided(conditional, unconditional, parts if first else parts[::-1], SCHEDULE)(x_t, t)
    torch.testing.assert_close(found.x_t, moved)
    torch.testing.assert_close(found.x0, (0.2 * moved - 1) + 3 * (0.5 * moved - (0.2 * moved - 1)))


def test_it_needs_gradients_and_at_scale_zero_is_not_there():
    assert TextAttentionGuidance.needs_gradient
    assert guide(scale=0.0)(conditional, unconditional, SCHEDULE) is conditional


def test_rows_are_hypotheses_of_texts():
    x_t = latents(4)
    t, states = torch.full((4,), 500), told(2)[1]
    found = guide()(conditional, unconditional, SCHEDULE)(x_t, t).x_t
    for row in range(4):
        text = slice(row // 2, row // 2 + 1)
        alone = TextAttentionGuidance(guide().how, softmaxed, states[text], TOKENS[text])
        torch.testing.assert_close(
            alone(conditional, unconditional, SCHEDULE)(x_t[row : row + 1], t[:1]).x_t, found[row : row + 1]
        )
    with pytest.raises(ValueError, match="has 2 texts and 3 latents are sampled"):
        guide()(conditional, unconditional, SCHEDULE)(latents(3), torch.full((3,), 500))


def test_milestones_count_the_times_of_a_run():
    seen = []

    def counted(x_t, t, states):
        seen.append(int(t[0]))
        return softmaxed(x_t, t, states)

    how = replace(guide().how, milestones={0: 1.0, 2: 1.0}, refinements=3)  # out of reach
    guidance = TextAttentionGuidance(how, counted, told(2)[1], TOKENS)
    for _ in range(2):  # a second run counts anew
        seen.clear()
        DDIM(4)(guided(conditional, unconditional, [guidance], SCHEDULE), latents(2), SCHEDULE)
        assert seen == [999] * 3 + [749] + [499] * 3 + [249]


def test_to_guidance_around_it_the_move_is_a_constant():
    x_t, (t, _) = latents(2).requires_grad_(), told(2)
    found = guide()(conditional, unconditional, SCHEDULE)(x_t, t)
    (gradient,) = torch.autograd.grad(found.x0.sum(), x_t)
    torch.testing.assert_close(gradient, torch.full_like(x_t, 0.5))


def test_samples_attend_more_to_the_words_for_hands():
    noise, states = torch.randn(2, N, R, R, generator=torch.Generator().manual_seed(3)), told(2)[1]

    def attended(parts):
        x = DDIM(5)(guided(conditional, unconditional, parts, SCHEDULE), noise, SCHEDULE)
        return guide(temperature=4.0).how.loss(softmaxed(x, None, states), TOKENS)

    assert (attended([guide(temperature=4.0, window=(0.0, 0.9))]) < attended([])).all()
