"""What a method is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch import LightningModule

from zoo.batch import Given, Hands
from zoo.guidance.base import Guidance
from zoo.hands.model import HandModel


class Method(LightningModule, ABC):
    """A method of the zoo: trains on `HandBatch`, samples `Hands`."""

    hand: HandModel  # whose faces and joints its meshes have
    rows: ClassVar[Literal["hands", "scenes"]] = "hands"  # what it reads: `HandBatch` or `SceneBatch`

    @abstractmethod
    def sample(
        self,
        given: Given,
        n: int = 1,
        generator: torch.Generator | None = None,
        batch_size: int | None = None,
        guidance: Sequence[Guidance] = (),
    ) -> Hands:
        """Hands that agree with what is given.

        Args:
            given: The conditions; empty for none.
            n: Hypotheses for each row.
            generator: Source of randomness, on the model's device; the global one when None.
            batch_size: Rows, needed when nothing is given.
            guidance: What samples shall agree with besides; comes after the model's own.
        """

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps objects out of checkpoints, which are read with weights_only.

        The command line stores how a model is built as plain words and numbers; a model built in Python from its
        parts has none, so its checkpoint resumes into a model that is built the same way.
        """
        if not _plain(checkpoint.get("hyper_parameters")):
            del checkpoint["hyper_parameters"]


def _plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(_plain(part) for part in value.values())
    if isinstance(value, list | tuple):
        return all(_plain(part) for part in value)
    return value is None or isinstance(value, str | int | float | bool)
