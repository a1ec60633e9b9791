"""Training a part of a model, the rest of which stays as it is."""

from collections.abc import Sequence

import lightning as L
from torch import nn


class Learn(L.Callback):
    """Freezes every parameter outside of the parts that shall learn, and what norms outside of them count.

    What the model itself keeps frozen stays so within the parts, too.

    Args:
        parts: Modules by their dotted names in the model, such as conditioner.parts.image; None trains everything.
    """

    def __init__(self, parts: Sequence[str] | None = None) -> None:
        if parts is not None and not parts:
            raise ValueError("--learn.parts [] would learn nothing. Name parts, or leave it out to train everything.")
        self.parts = parts
        self._still: list[nn.Module] = []

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage != "fit" or self.parts is None:
            return
        known = dict(pl_module.named_modules())
        top = ", ".join(name for name, _ in pl_module.named_children())
        for part in self.parts:
            if part not in known:
                raise ValueError(f"--learn.parts {part} is no part of the model. Name one of or in: {top}.")
            if not any(weight.requires_grad for weight in known[part].parameters()):
                raise ValueError(
                    f"--learn.parts {part} has no weights that the model lets learn. Name others in: {top}."
                )
        chosen = [known[part] for part in self.parts]
        learns = {id(weight) for part in chosen for weight in part.parameters()}
        for weight in pl_module.parameters():
            weight.requires_grad_(weight.requires_grad and id(weight) in learns)
        within = {id(module) for part in chosen for module in part.modules()}
        self._still = [
            module for module in known.values() if hasattr(module, "running_mean") and id(module) not in within
        ]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Norms alone: what is masked at random while training stays so in front of a part that learns."""
        for module in self._still:
            module.eval()
