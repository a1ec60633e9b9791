"""Training a part of a model."""

import lightning as L
import pytest
from torch import nn

from callbacks.learn import Learn


def module() -> L.LightningModule:
    net = L.LightningModule()
    net.first, net.second = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), nn.Linear(2, 2)
    return net


def learning(net: L.LightningModule) -> set[str]:
    return {name for name, weight in net.named_parameters() if weight.requires_grad}


def test_only_the_named_parts_learn():
    net = module()
    Learn(["first.1"]).setup(L.Trainer(barebones=True), net, "fit")
    assert learning(net) == {"first.1.weight", "first.1.bias"}


@pytest.mark.parametrize(("parts", "stage"), [(None, "fit"), (["second"], "test")])
def test_everything_learns_unless_told_otherwise(parts, stage):
    net = module()
    Learn(parts).setup(L.Trainer(barebones=True), net, stage)
    assert len(learning(net)) == 6


def test_a_part_that_is_not_there_names_those_that_are():
    with pytest.raises(ValueError, match=r"--learn\.parts third is no part.*first, second"):
        Learn(["third"]).setup(L.Trainer(barebones=True), module(), "fit")
