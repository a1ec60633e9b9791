"""Training a part of a model."""

import lightning as L
import pytest
import torch
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


def test_what_the_model_keeps_frozen_stays_frozen():
    net = module()
    net.first[0].requires_grad_(False)
    Learn(["first"]).setup(L.Trainer(barebones=True), net, "fit")
    assert learning(net) == {"first.1.weight", "first.1.bias"}


def test_a_part_of_nothing_but_frozen_weights_is_refused():
    net = module()
    net.first[0].requires_grad_(False)
    with pytest.raises(
        ValueError, match=r"--learn\.parts first\.0 has no weights that the model lets learn.*first, second"
    ):
        Learn(["first.0"]).setup(L.Trainer(barebones=True), net, "fit")


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.linear = nn.BatchNorm1d(3), nn.Linear(3, 1)

    def forward(self, x):
        return self.linear(self.norm(x))


def test_norms_outside_of_the_parts_count_nothing(line, make_trainer, loader):
    line.layer = nn.Sequential(nn.BatchNorm1d(3), Normed())
    line.validation_step = lambda batch, batch_idx: None
    before = {name: value.clone() for name, value in line.layer[0].state_dict().items()}
    make_trainer(Learn(["layer.1"]), max_epochs=2, val_check_interval=3).fit(line, loader, loader)
    assert all(torch.equal(value, before[name]) for name, value in line.layer[0].state_dict().items())
    assert line.layer[1].norm.num_batches_tracked == 20


def test_something_must_be_left_to_learn():
    with pytest.raises(ValueError, match=r"--learn\.parts \[\] would learn nothing"):
        Learn([])
    net = module()
    net.first = nn.Flatten()
    with pytest.raises(ValueError, match=r"--learn\.parts first has no weights"):
        Learn(["first"]).setup(L.Trainer(barebones=True), net, "fit")
