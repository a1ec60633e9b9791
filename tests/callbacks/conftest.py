"""A model of four weights and twenty points: quick to fit, exact to compare."""

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from zoo.hands.openhand import OpenHand


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


def hand_batch(n=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hand = OpenHand()
    flat = hand(torch.eye(3).expand(1, 16, 3, 3), torch.zeros(1, 10), torch.zeros(1, 3)).vertices
    vertices = 1.1 * flat + 0.003 * torch.randn(n, 778, 3, generator=generator) + torch.tensor([0.1, 0.0, 0.6])
    joints = hand.regress(vertices)
    return {
        "image": torch.zeros(0, 3, 32, 32),
        "has_image": torch.zeros(n, dtype=torch.bool),
        "vertices": vertices,
        "has_mesh": torch.ones(n, dtype=torch.bool),
        "joints": joints,
        "joints_valid": torch.ones(n, 21, dtype=torch.bool),
        "joints2d": torch.zeros(n, 21, 2),
        "joints2d_valid": torch.ones(n, 21, dtype=torch.bool),
        "intrinsics": torch.eye(3).expand(n, 3, 3),
        "side": torch.ones(n, dtype=torch.long),
        "index": torch.arange(n),
    }


class Guess(L.LightningModule):
    """Returns the truth moved by 3 mm for the 3D skeleton, mirrored for the 2D skeleton, and two shapes for none."""

    def __init__(self):
        super().__init__()
        self.hand = OpenHand()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, index):
        return self.weight.sum()

    def validation_step(self, batch, index):
        vertices, joints = batch["vertices"], batch["joints"]
        moved = joints.clone()
        moved[:, 1:, 1] += 0.003
        mirror = torch.tensor([-1.0, 1.0, 1.0])
        free = torch.stack([vertices, 1.2 * vertices], 1)
        return {
            "skeleton3d": {"vertices": vertices[:, None] + 0.2, "joints": moved[:, None] + 0.2},
            "skeleton2d": {"vertices": mirror * vertices[:, None], "joints": mirror * joints[:, None]},
            "none": {"vertices": free, "joints": self.hand.regress(free)},
        }

    test_step = validation_step

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.fixture
def hands():
    return DataLoader([hand_batch(seed=seed) for seed in range(2)], batch_size=None)


@pytest.fixture
def make_guess():
    return Guess
