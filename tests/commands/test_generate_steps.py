"""How many steps `sample --task generate` takes."""

from zoo.commands.tasks.generate import patient
from zoo.samplers import DDIM, DDPM


def test_hands_from_nothing_take_at_least_a_hundred_lively_steps():
    assert patient(DDIM(10)) == DDIM(100, 1.0, noise=1.08)
    assert patient(DDIM(120, 0.3)) == DDIM(120, 0.3)
    assert patient(DDPM(20)) == DDPM(20)
