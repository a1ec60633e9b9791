"""What a method is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch import LightningModule

from zoo.batch import Asked, Given, Hands
from zoo.guidance.base import Guidance
from zoo.hands.model import HandModel
from zoo.samplers.base import Sampler
from zoo.samplers.noise import Source
from zoo.shapes import Images


class Method(LightningModule, ABC):
    """A method of the zoo."""

    rows: ClassVar[Literal["hands", "scenes"]]  # what it reads: `HandBatch` or `SceneBatch`
    seed: int = 0

    @property
    def split(self) -> Literal["val", "test"]:
        """What the names of its scores begin with."""
        return "test" if self._trainer is not None and self._trainer.testing else "val"

    def on_fit_start(self) -> None:
        self.seed = torch.initial_seed()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """What a step draws depends on its number alone, so that a resumed run repeats the uninterrupted one."""
        torch.manual_seed(hash((self.seed, self.trainer.fit_loop.total_batch_idx, self.global_rank)))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps objects out of checkpoints, which are read with weights_only.

        The command line stores how a model is built as plain words and numbers; a model built in Python from its
        parts has none, so its checkpoint resumes into a model that is built the same way.
        """
        if not _plain(checkpoint.get("hyper_parameters")):
            del checkpoint["hyper_parameters"]


class HandMethod(Method):
    """Trains on `HandBatch`, samples `Hands`."""

    rows = "hands"
    hand: HandModel  # whose faces and joints its meshes have

    @abstractmethod
    def sample(
        self,
        given: Given,
        n: int = 1,
        generator: Source = None,
        batch_size: int | None = None,
        guidance: Sequence[Guidance] = (),
    ) -> Hands:
        """Hands that agree with what is given.

        Args:
            given: The conditions; empty for none.
            n: Hypotheses for each row.
            generator: Source of randomness, on the model's device; the global one when None; or one a hypothesis of
                every row, on any device, of which each hand then depends and on nothing else of its batch.
            batch_size: Rows, needed when nothing is given.
            guidance: What samples shall agree with besides; comes after the model's own.
        """


class PictureMethod(Method):
    """Trains on `SceneBatch`, samples pictures."""

    rows = "scenes"
    meshes: ClassVar[bool] = False  # whether it looks at pictures of meshes
    size: int  # side of its pictures, pixels

    @abstractmethod
    def sample(
        self,
        asked: Asked,
        seeds: Sequence[int],
        sampler: Sampler | None = None,
        scale: float | None = None,
        guidance: Sequence[Guidance] = (),
    ) -> Images:
        """Pictures, RGB in [0, 1].

        Args:
            asked: What they shall show.
            seeds: One a row. A row depends on its own seed and on nothing else of the batch.
            sampler: The model's own when None.
            scale: Of classifier-free guidance; the model's own when None.
            guidance: Comes after the model's own.
        """


def _plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(_plain(part) for part in value.values())
    if isinstance(value, list | tuple):
        return all(_plain(part) for part in value)
    return value is None or isinstance(value, str | int | float | bool)
