import pytest
import torch

from zoo.diffusion import Estimate, NoiseSchedule
from zoo.samplers import DDIM, DDPM
from zoo.samplers.noise import normal_like, seeded


def test_a_row_draws_what_its_seed_says_whatever_the_batch():
    x = torch.zeros(3, 2, 5)
    together = normal_like(x, seeded([4, 7, 9]))
    torch.testing.assert_close(together[1:2], normal_like(x[:1], seeded([7])), rtol=0, atol=0)
    assert not torch.equal(together[0], together[1])


def test_one_generator_draws_as_torch_does():
    x = torch.zeros(3, 2)
    one, other = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    torch.testing.assert_close(normal_like(x, one), torch.randn(3, 2, generator=other))


def test_as_many_generators_as_rows():
    with pytest.raises(ValueError, match="2 generators for 3 rows"):
        normal_like(torch.zeros(3, 1), seeded([0, 1]))


@pytest.mark.parametrize("sampler", [DDIM(steps=5, eta=1.0), DDPM(steps=5)])
def test_stochastic_samplers_keep_rows_apart(sampler):
    def denoise(x, t):
        return Estimate(0.5 * x, x)

    schedule, x = NoiseSchedule(), torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    together = sampler(denoise, x, schedule, seeded([1, 2, 3]))
    alone = sampler(denoise, x[2:], schedule, seeded([3]))
    torch.testing.assert_close(together[2:], alone)
