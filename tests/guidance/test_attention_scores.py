import math

import pytest
import torch
from attention_toys import N, R

from zoo.guidance.attention_scores import contrast, imbalance, neglect, smooth, uniform


def test_smoothing_by_the_released_kernel():
    spot = torch.zeros(1, 1, 5, 5)
    spot[..., 2, 2] = 1
    side = math.exp(-1)  # exp(-(d / 2 sigma)^2) at d = 1 with sigma = 0.5
    line = torch.tensor([side, 1, side]) / (1 + 2 * side)
    found = smooth(spot, torch.tensor([0.5]))
    torch.testing.assert_close(found[0, 0, 1:4, 1:4], line[:, None] * line)
    assert found[0, 0, 0].abs().sum() == 0
    variance = (line * torch.tensor([1.0, 0, 1])).sum()  # of the kernel cut off at 3 places
    wide = smooth(spot, torch.tensor([0.5]), size=5)[0, 0, 2]
    assert variance < 2 * 0.5**2 < 1.3 * (wide / wide.sum() * torch.tensor([4.0, 1, 0, 1, 4])).sum()


def test_smoothing_mirrors_at_the_border_and_keeps_what_is_flat():
    torch.testing.assert_close(smooth(torch.ones(2, 3, R, R), torch.tensor([0.5, 2.0])), torch.ones(2, 3, R, R))
    ramp = torch.arange(5.0).expand(1, 1, 5, 5)
    side = math.exp(-1) / (1 + 2 * math.exp(-1))
    torch.testing.assert_close(
        smooth(ramp, torch.tensor([0.5]))[0, 0, 2], torch.tensor([2 * side, 1, 2, 3, 4 - 2 * side])
    )


def test_each_row_has_its_own_width():
    maps = torch.rand(2, 3, R, R)
    both = smooth(maps, torch.tensor([0.3, 1.5]))
    torch.testing.assert_close(both[:1], smooth(maps[:1], torch.tensor([0.3])))
    torch.testing.assert_close(both[1:], smooth(maps[1:], torch.tensor([1.5])))


def test_a_kernel_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="A kernel of 9 over maps of 4x4"):
        smooth(torch.rand(1, 1, 4, 4), torch.ones(1), 9)


def test_the_softmax_is_between_tokens_or_between_places():
    maps = torch.rand(2, N, R, R)
    torch.testing.assert_close(contrast(maps, 9.0, "tokens").sum(1), torch.ones(2, R, R))
    torch.testing.assert_close(contrast(maps, 9.0, "space").sum((2, 3)), torch.ones(2, N))
    pair = contrast(maps, 9.0, "tokens")
    torch.testing.assert_close((pair[:, 1] / pair[:, 0]).log(), 9 * (maps[:, 1] - maps[:, 0]))


def test_the_worst_counted_token_decides():
    scores = torch.tensor([[0.1, 0.9, 0.4], [0.1, 0.9, 1.5], [0.1, 0.2, 0.3]])
    counted = torch.tensor([[False, True, True], [False, True, True], [False, False, False]])
    torch.testing.assert_close(neglect(scores, counted), torch.tensor([0.6, 0.1, 0.0]))


def test_the_balancing_loss_is_one_for_equal_shares_and_the_number_of_tokens_for_one_that_has_all():
    counted = torch.ones(1, 4, dtype=torch.bool)
    each = torch.eye(4).repeat(1, 4).view(1, 4, 4, 4)  # every token has a quarter of the places
    torch.testing.assert_close(imbalance(each, counted), torch.ones(1))
    alone = torch.zeros(1, 4, 4, 4)
    alone[:, 2] = 1
    torch.testing.assert_close(imbalance(alone, counted), torch.full((1,), 4.0))
    counted[0, 2] = False  # what does not count is as if it were not there
    within = each.clone()
    within[:, 2] = 0
    torch.testing.assert_close(imbalance(within + 7 * alone, counted), imbalance(within, counted))


def test_the_balancing_loss_has_its_gradient_in_the_shares():
    shares = torch.rand(1, 3, R, R).softmax(1).requires_grad_()
    counted = torch.ones(1, 3, dtype=torch.bool)
    (found,) = torch.autograd.grad(imbalance(shares, counted).sum(), shares)
    part = torch.nn.functional.one_hot(shares.argmax(1), 3).float().mean((1, 2))[0]
    expected = 3 / R**2 * (part - (part[None, :, None, None] * shares).sum(1, keepdim=True).mT.mT[0, 0][..., None])
    torch.testing.assert_close(found[0].permute(1, 2, 0), expected.detach())


def test_numbers_of_a_row_come_from_its_own_generator():
    def sources(seeds):
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    three = uniform(torch.zeros(3), 2.0, 5.0, sources([7, 8, 9]))
    torch.testing.assert_close(uniform(torch.zeros(1), 2.0, 5.0, sources([8])), three[1:2])
    assert ((three >= 2) & (three <= 5)).all()
    with pytest.raises(ValueError, match="2 generators were given for 3 rows"):
        uniform(torch.zeros(3), 2.0, 5.0, sources([1, 2]))
