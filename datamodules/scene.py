"""What a dataset yields: one image, one camera, up to two hands, and whatever labels exist."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zoo.hands.model import HandModel

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
ByteArray = NDArray[np.uint8]
IntArray = NDArray[np.int64]
HandModels = Mapping[int, HandModel]  # by side, 0 = left, 1 = right

Split = Literal["train", "val", "test", "predict"]
SPLITS: tuple[Split, ...] = ("train", "val", "test", "predict")


@dataclass(frozen=True)
class ManoPose:
    """MANO's parameters of one hand, in the frame of its scene's camera.

    Args:
        rotations: (16, 3) axis-angle, radians, MANO-16 order; the root's, then the fingers' relative to their parents.
            Absolute: zero is the flat hand, whatever mean pose the dataset stores them relative to.
        betas: (10,) shape, standard deviations.
        transl: (3,) metres; the root turns about its own joint, and this moves everything.
    """

    rotations: FloatArray
    betas: FloatArray
    transl: FloatArray


@dataclass(frozen=True)
class SceneHand:
    """One labelled hand, in the frame of its scene's camera. A label that does not exist is None.

    Args:
        side: 0 = left, 1 = right.
        vertices: (778, 3) metres, or None: then `pose` makes them where the dataset knows its hand models.
        joints: (21, 3) metres in SNAP-21 order, as the dataset defines them, or None.
        joints_valid: (21,) True = labelled in 3D; None = all of them.
        joints2d: (21, 2) pixels of the image, or None: then they are the projected 3D joints.
        joints2d_valid: (21,) True = labelled in 2D; None = all of them.
        box: (4,) left, top, right, bottom of the crop to take, pixels, or None: then the 2D joints decide.
        pose: Of the dataset's hand model, or None.
    """

    side: int
    vertices: FloatArray | None = None
    joints: FloatArray | None = None
    joints_valid: BoolArray | None = None
    joints2d: FloatArray | None = None
    joints2d_valid: BoolArray | None = None
    box: FloatArray | None = None
    pose: ManoPose | None = None


@dataclass(frozen=True)
class Scene:
    """One picture and what is known about it.

    Args:
        index: Position in its dataset.
        size: Height and width of the image, pixels.
        intrinsics: (3, 3) pixels; pixel centres lie on whole numbers.
        hands: By side, 0 = left, 1 = right.
        image: (h, w, 3) RGB, or None when there is none or it was not asked for.
        mask: (h, w) True = hand, or None.
        caption: A sentence about the image, or None.
        mesh_image: (h, w, 3) the hands' meshes drawn bright on dark as the dataset ships it, or None.
        name: What the dataset calls it; for pictures and messages.
    """

    index: int
    size: tuple[int, int]
    intrinsics: FloatArray
    hands: Mapping[int, SceneHand] = field(default_factory=dict)
    image: ByteArray | None = None
    mask: BoolArray | None = None
    caption: str | None = None
    mesh_image: ByteArray | None = None
    name: str = ""


@dataclass(frozen=True)
class HandArrays:
    """Labels of hands that all have a mesh and all their joints: much faster to read than one scene after another.

    Args:
        vertices: (n, 778, 3) metres, in the frames of their scenes' cameras.
        joints: (n, 21, 3) metres, SNAP-21 order.
        intrinsics: (n, 3, 3) pixels.
    """

    vertices: FloatArray
    joints: FloatArray
    intrinsics: FloatArray


class Scenes(ABC):
    """A dataset split: scenes by number. It must pickle small, because loader workers get a copy."""

    models: HandModels | None = None  # whose parameters `SceneHand.pose` are; None: no mesh can be made of them

    @abstractmethod
    def __len__(self) -> int:
        """The number of scenes."""

    @abstractmethod
    def sides(self) -> BoolArray:
        """(n, 2): whether scene i holds a left (0) and a right (1) hand."""

    @abstractmethod
    def read(self, index: int, *, image: bool = True, mask: bool = False) -> Scene:
        """Reads a scene; `image` and `mask` say which files are worth opening."""

    def picture(self, index: int) -> ByteArray | None:
        """The image of a scene alone: (h, w, 3) RGB, or with a fourth channel that means nothing; None without one.

        OpenCV resamples four channels more than twice as fast as three.
        """
        return self.read(index).image

    def arrays(self, scenes: IntArray, sides: IntArray) -> HandArrays | None:
        """Labels of many hands, each given by scene and side, where reading them at once is worth it.

        None, the default, where hands may lack labels or have others than these: then they are read one by one.
        """
        return None
