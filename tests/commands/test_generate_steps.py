"""How many steps `sample --task generate` takes."""

from zoo.commands.tasks.generate import patient
from zoo.samplers import DDIM, DDPM


def test_hands_from_nothing_take_at_least_fifty_stochastic_steps():
    assert patient(DDIM(10)) == DDIM(50, 1.0)
    assert patient(DDIM(80, 0.3)) == DDIM(80, 0.3)
    assert patient(DDPM(20)) == DDPM(20)
