"""Who takes the hands that a model predicts for a test part, and makes of them what an official evaluation takes."""

from abc import ABC, abstractmethod

import numpy as np

from datamodules.evaluation import Evaluation
from datamodules.scene import FloatArray, IntArray


class Receiver(ABC):
    """Hands of a test part, handed in; `datamodules/NAME/official.py: official(data, split, folder)` gives one.

    A row is a hand of the split's `HandView`: the row-th of the scenes' `sides()` that are there.

    Args:
        rows: How many hands there are.
        bones: (rows,) metres: the middle finger's proximal bone, where the dataset gives it away with the images.
        gives_wrist: Whether the dataset gives the wrist's place away with the images.
    """

    def __init__(self, rows: int, bones: FloatArray | None = None, gives_wrist: bool = False) -> None:
        self.seen = np.zeros(rows, np.bool_)
        self.bones = bones
        self.gives_wrist = gives_wrist

    @property
    def whole(self) -> bool:
        """Whether every hand was predicted."""
        return bool(self.seen.all())

    def put(self, rows: IntArray, joints: FloatArray, vertices: FloatArray) -> None:
        """Takes some hands, each row once.

        Args:
            rows: (b,) numbers.
            joints: (b, 21, 3) metres, OpenCV camera of the image, SNAP-21.
            vertices: (b, 778, 3) likewise.
        """
        self._keep(rows, joints, vertices)
        self.seen[rows] = True

    @abstractmethod
    def _keep(self, rows: IntArray, joints: FloatArray, vertices: FloatArray) -> None:
        """Does so."""

    @abstractmethod
    def write(self, given: str) -> str:
        """Writes what the evaluation takes, each file whole or not at all; called once, after the last hand.

        Args:
            given: What the model knew.

        Returns:
            What was written for whom, or why nothing was.
        """

    @abstractmethod
    def score(self, given: str) -> Evaluation | None:
        """The official scores of what was predicted, after `write`; None where there are no labels."""

    def drop(self) -> None:  # noqa: B027 - most have nothing half written
        """Removes what is half written: the run failed."""
