"""Scenes in memory, and what a method that makes pictures sees of one."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from datamodules.framing import Fit
from datamodules.scene import BoolArray, HandModels, Scene, Scenes
from datamodules.scene_view import SceneView
from zoo.batch import SceneBatch
from zoo.hands.skeleton import LEFT, RIGHT


class Posed(NamedTuple):
    """A scene without a photograph, and whose parameters its hands have."""

    scene: Scene
    models: HandModels | None = None  # None: OpenHand's faces where they fit


class Listed(Scenes):
    """Scenes that are at hand.

    Args:
        scenes: They.
        models: Whose parameters their hands have.
    """

    def __init__(self, scenes: Sequence[Scene], models: HandModels | None = None) -> None:
        self.scenes, self.models = list(scenes), models

    def __len__(self) -> int:
        return len(self.scenes)

    def sides(self) -> BoolArray:
        return np.array([[side in scene.hands for side in (LEFT, RIGHT)] for scene in self.scenes])

    def read(self, index: int, *, image: bool = True, mask: bool = False) -> Scene:
        return self.scenes[index]


def squared(posed: Posed, size: int, fit: Fit = "crop") -> SceneBatch:
    """One scene as training shows it: a square picture of its meshes, drawn where it has none, and its labels there.

    Args:
        posed: The scene.
        size: Side of the square, pixels.
        fit: How its picture becomes one.
    """
    return SceneView(Listed([posed.scene], posed.models), size, fit=fit).batch([0])
