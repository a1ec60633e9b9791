"""A model of four weights and twenty points: quick to fit, exact to compare."""

from datetime import timedelta

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset


class Line(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)
        self.frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)
        self.losses = []
        self.seen = []
        self.callback = lambda: None

    def training_step(self, batch, index):
        loss = (self.layer(batch[0]) - batch[1]).square().mean()
        self.log("train/loss", loss, prog_bar=True)
        self.losses.append(loss.item())
        self.callback()
        return loss

    def validation_step(self, batch, index):
        self.seen.append(self.layer.weight.detach().clone())
        self.log("val/error", (self.layer(batch[0]) - batch[1]).abs().mean())

    test_step = validation_step

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.05)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9), "interval": "step"},
        }


def points(n=20):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(n, 3, generator=generator)
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=2)


def trainer(callbacks, folder, **options):
    defaults = {"max_epochs": 1, "logger": False, "enable_checkpointing": False, "log_every_n_steps": 1}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return L.Trainer(callbacks=callbacks, default_root_dir=folder, **(defaults | quiet | options))


@pytest.fixture
def line():
    torch.manual_seed(0)
    return Line()


@pytest.fixture
def make_line():
    def make():
        torch.manual_seed(0)
        return Line()

    return make


@pytest.fixture
def make_trainer(tmp_path):
    return lambda *callbacks, **options: trainer(list(callbacks), tmp_path, **options)


@pytest.fixture
def loader():
    return points()


@pytest.fixture
def minute():
    return timedelta(minutes=1)
