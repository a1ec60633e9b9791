"""What finds hands in pictures, and what finds joints in hands: the interfaces, and boxes that are given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch

from zoo.metrics.hand_crops import Boxes
from zoo.shapes import Float, Images, Int, Joints, Joints2D, Mask, Side, Tensor


class Detections(NamedTuple):
    """The hands of one picture, the surest first.

    Args:
        boxes: (k, 4) left, top, right, bottom edges, pixels from the picture's top left corner.
        scores: (k,) how sure, from 0 to 1.
        sides: (k,) 0 = left, 1 = right.
    """

    boxes: Boxes
    scores: Float[Tensor, " k"]
    sides: Int[Tensor, " k"]


NONE = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long))


class Keypoints(NamedTuple):
    """The joints of one hand in each of b pictures, SNAP-21 order; rows that are not found are never read.

    Args:
        joints2d: (b, 21, 2) pixels of the pictures, counted from the centre of the top left one.
        joints3d: (b, 21, 3) metres relative to the wrist, camera frame (x right, y down, z forward).
        found: (b,) whether there was a hand.
    """

    joints2d: Joints2D
    joints3d: Joints
    found: Mask


@runtime_checkable
class HandDetector(Protocol):
    """Finds hands in pictures."""

    @property
    def name(self) -> str:
        """Part of the name of every number that it is behind."""
        ...

    def __call__(self, images: Images, names: Sequence[str]) -> list[Detections]:
        """The hands of each picture.

        Args:
            images: RGB in [0, 1].
            names: Of the pictures' files, for detectors that look up what is known of them.
        """
        ...


@runtime_checkable
class KeypointEstimator(Protocol):
    """Finds the joints of hands whose boxes and sides are known."""

    @property
    def name(self) -> str:
        """Part of the name of every number that it is behind."""
        ...

    def __call__(self, images: Images, boxes: Float[Tensor, "b 4"], sides: Side) -> Keypoints:
        """One hand in each picture.

        Args:
            images: RGB in [0, 1].
            boxes: Around the hand of each, as in `Detections`.
            sides: 0 = left, 1 = right.
        """
        ...


@dataclass(frozen=True)
class GivenBoxes:
    """Boxes that are known, by the name of the picture: a condition's, a dataset's, another program's.

    Args:
        hands: Those of each picture. A picture that is not among them is an error; one without hands has `NONE`.
        name: Part of the name of every number that it is behind.
    """

    hands: Mapping[str, Detections]
    name: str = "given"

    def __call__(self, images: Images, names: Sequence[str]) -> list[Detections]:
        unknown = [name for name in names if name not in self.hands]
        if unknown:
            raise ValueError(
                f"No box is given for {unknown[0]}, and it is not said either that it shows no hand. Add a line for it "
                "to the boxes, or leave the picture out."
            )
        return [self.hands[name] for name in names]
