"""What a method is."""

from abc import ABC, abstractmethod

import torch
from lightning.pytorch import LightningModule

from zoo.batch import Given, Hands


class Method(LightningModule, ABC):
    """A method of the zoo: trains on `HandBatch`, samples `Hands`."""

    @abstractmethod
    def sample(
        self, given: Given, n: int = 1, generator: torch.Generator | None = None, batch_size: int | None = None
    ) -> Hands:
        """Hands that agree with what is given.

        Args:
            given: The conditions; empty for none.
            n: Hypotheses for each row.
            generator: Source of randomness, on the model's device; the global one when None.
            batch_size: Rows, needed when nothing is given.
        """
