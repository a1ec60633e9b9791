"""A method and a dataset small enough to run in milliseconds, for the tests of the command line."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from lightning.pytorch.cli import OptimizerCallable
from torch import nn
from torch.utils.data import DataLoader

from datamodules.base import HandData
from zoo.hands.openhand import OpenHand
from zoo.models.base import HandMethod
from zoo.samplers.noise import normal_like

QUIET = ("--tracker", "none", "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu")
FIT = ("fit", "--model", "toy", "--trainer.max_steps", "2", *QUIET)


def config_of(out):
    return yaml.safe_load(Path(out, "config.yaml").read_text())


def steps_of(out):
    return torch.load(Path(out, "checkpoints", "last.ckpt"), weights_only=True)["global_step"]


class ToySampler(ABC):
    steps: int

    @abstractmethod
    def __call__(self): ...


@dataclass(frozen=True)
class Leap(ToySampler):
    steps: int = 3

    def __call__(self):
        return "leapt"


@dataclass(frozen=True)
class Stroll(ToySampler):
    steps: int = 30

    def __call__(self):
        return "strolled"


_LEAP = Leap()


class Toy(HandMethod):
    """Learns nothing much.

    Args:
        width: Channels.
        lr: Learning rate.
        sampler: Noise to hand.
    """

    def __init__(self, width: int = 4, lr: float = 0.1, sampler: ToySampler = _LEAP) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Linear(3, width)
        self.lr, self.width, self.sampler = lr, width, sampler

    @property
    def hand(self):
        return OpenHand()

    def sample(self, given, n=1, generator=None, batch_size=None, guidance=()):
        b = batch_size or len(next(iter(given.values())))
        pose, betas = torch.eye(3).expand(b * n, 16, 3, 3), normal_like(torch.empty(b * n, 10), generator)
        fingers_up = torch.tensor([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
        mesh = self.hand(pose, betas, torch.zeros(b * n, 3))
        vertices = (mesh.vertices @ fingers_up.T).unflatten(0, (b, n))
        return {"vertices": vertices, "joints": self.hand.regress(vertices)}

    def training_step(self, batch, _):
        loss = self.net(batch).square().mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, _):
        self.log("val/loss", self.net(batch).square().mean())

    test_step = validation_step

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.lr)


class Paced(Toy):
    """The same, with an optimizer of one's own, whose learning rate halves at every step.

    Args:
        optimizer: Builds it.
    """

    def __init__(self, optimizer: OptimizerCallable = torch.optim.SGD) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.optimizer = optimizer

    def configure_optimizers(self):
        optimizer = self.optimizer(self.parameters())
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class TwoPhases(Toy):
    """The same, with a codec to learn first.

    Args:
        codec_share: Of the run.
    """

    def __init__(self, codec_share: float = 0.3) -> None:
        super().__init__()
        self.save_hyperparameters()


class ToyData(HandData):
    """Random numbers.

    Args:
        root: Nothing is read from it.
        batch_size: Rows.
        seed: Of the numbers.
    """

    def __init__(self, root: str | None = None, batch_size: int = 4, seed: int = 0) -> None:
        super().__init__(batch_size=batch_size, seed=seed)
        self.root = root

    def scenes(self, split):
        return None

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return batch

    def setup(self, stage):
        if self.root == "nowhere":
            raise FileNotFoundError("nowhere holds no data. Pass --data.root with the folder that does.")

    def train_dataloader(self):
        generator = torch.Generator().manual_seed(self.seed)
        return DataLoader(torch.randn(16, 3, generator=generator), self.batch_size)

    def val_dataloader(self):
        return self.train_dataloader()

    test_dataloader = val_dataloader


class SeeingToy(Toy):
    """The same, with an image branch that sees nothing.

    Args:
        size: Side of the images.
    """

    def __init__(self, size: int = 32) -> None:
        super().__init__()
        part = nn.Module()
        part.size = size
        self.conditioner = nn.Module()
        self.conditioner.parts = nn.ModuleDict({"image": part})
        self.conditioner.names = ["image", "skeleton2d", "skeleton3d"]
        self.size = size

    def sample(self, given, n=1, generator=None, batch_size=None, guidance=()):
        if "image" in given:
            assert given["image"].shape == (int(given["has_image"].sum()), 3, self.size, self.size)
        return super().sample(given, n, generator, batch_size, guidance)


class BlindToy(Toy):
    """The same, without an image branch."""

    def __init__(self) -> None:
        super().__init__()
        self.conditioner = nn.Module()
        self.conditioner.names = ["skeleton2d", "skeleton3d"]
