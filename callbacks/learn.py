"""Training a part of a model, the rest of which stays as it is."""

from collections.abc import Sequence

import lightning as L


class Learn(L.Callback):
    """Freezes every parameter outside of the parts that shall learn.

    Args:
        parts: Modules by their dotted names in the model, such as conditioner.parts.image; None trains everything.
    """

    def __init__(self, parts: Sequence[str] | None = None) -> None:
        self.parts = parts

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage != "fit" or self.parts is None:
            return
        known = dict(pl_module.named_modules())
        if strangers := [part for part in self.parts if part not in known]:
            top = ", ".join(name for name, _ in pl_module.named_children())
            raise ValueError(f"--learn.parts {strangers[0]} is no part of the model. Name one of or in: {top}.")
        learns = {id(weight) for part in self.parts for weight in known[part].parameters()}
        for weight in pl_module.parameters():
            weight.requires_grad_(id(weight) in learns)
