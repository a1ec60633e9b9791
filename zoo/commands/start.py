"""How a run starts: from released weights, and when it has begun."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

import checkpoints
from zoo.commands import folder
from zoo.models.base import Method


class Begun(Callback):
    """Gives up what the run's folder held before, once a batch has shown that options, data and weights will do."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        folder.begin()

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if not trainer.sanity_checking:
            folder.begin()

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        folder.begin()

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        folder.begin()


class OptimizerAsTold(Callback):
    """A run that goes on with other options has them in its optimizer, too, whose checkpoint brings the old ones."""

    changed = False
    told: list[list[dict[str, Any]]]  # by optimizer and group of parameters

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.changed = checkpoint.get("hyper_parameters") != dict(pl_module.hparams)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.told = [[_without_weights(group) for group in optimizer.param_groups] for optimizer in trainer.optimizers]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.changed:
            return
        for optimizer, told in zip(trainer.optimizers, self.told, strict=True):
            state = optimizer.state_dict()
            for group, new in zip(state["param_groups"], told, strict=True):
                group.update({**new, "lr": _learning_rate(group, new)})
            optimizer.load_state_dict(state)
        for config in trainer.lr_scheduler_configs:
            scheduler = config.scheduler
            if hasattr(scheduler, "base_lrs"):
                scheduler.base_lrs = [group["initial_lr"] for group in scheduler.optimizer.param_groups]


def _without_weights(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}


def _learning_rate(before: dict[str, Any], told: dict[str, Any]) -> float:
    """Where a schedule was, on the new scale."""
    if before.get("initial_lr") and "initial_lr" in told:
        return float(before["lr"] * told["initial_lr"] / before["initial_lr"])
    return float(told["lr"])


def start_from(model: Method, released: Path, learns: bool) -> None:
    """Puts released weights into a model; one that learns may have an image branch that the weights do not know."""
    missing, unexpected = model.load_state_dict(checkpoints.read(released).state, strict=False)
    new = [name for name in missing if name.startswith("conditioner.parts.image.")]
    if unexpected or len(new) < len(missing) or (missing and not learns):
        raise ValueError(
            f"The weights in {released} do not fit this model: {len(missing)} tensors missing "
            f"({', '.join(missing[:2])}), {len(unexpected)} unexpected ({', '.join(unexpected[:2])}). "
            "Leave the --model options out: the weights know their model."
        )
    if new:
        adopt_skeletons(model)
        print(f"The image branch is new; everything else starts from {released}.")


def adopt_skeletons(model: Method) -> None:
    """A new image branch that guesses skeletons reads them as the model reads those it is given."""
    from zoo.encoders.pose_image import PoseImageMapper

    parts = model.get_submodule("conditioner.parts")
    image = parts.get_submodule("image")
    if isinstance(image, PoseImageMapper):
        for part in parts.children():
            image.adopt(part)


def step_of(path: Path) -> int:
    """The training step at which a .ckpt file was written."""
    return int(torch.load(path, map_location="cpu", mmap=True, weights_only=True)["global_step"])
