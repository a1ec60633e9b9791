import torch

from zoo.diffusion import Estimate, NoiseSchedule
from zoo.guidance import ClassifierFree, guided

X, T = torch.randn(2, 3), torch.tensor([5, 5])
SCHEDULE = NoiseSchedule()


def with_condition(x, t):
    return Estimate(x + 1, x)


def without(x, t):
    return Estimate(x - 1, x)


def test_scale_one_is_the_conditional_estimate():
    assert guided(with_condition, without, [ClassifierFree(1.0)], SCHEDULE) is with_condition


def test_scale_zero_is_the_unconditional_estimate():
    torch.testing.assert_close(ClassifierFree(0.0)(with_condition, without, SCHEDULE)(X, T).x0, X - 1)


def test_the_estimate_is_moved_along_the_difference():
    torch.testing.assert_close(ClassifierFree(2.5)(with_condition, without, SCHEDULE)(X, T).x0, X - 1 + 2.5 * 2)


def test_a_signal_that_was_moved_inside_is_passed_on_and_used_for_both():
    moved = ClassifierFree(2.0)(lambda x, t: Estimate(x, x + 3), without, SCHEDULE)(X, T)
    torch.testing.assert_close(moved.x_t, X + 3)
    torch.testing.assert_close(moved.x0, (X + 2) + 2 * (X - (X + 2)))
