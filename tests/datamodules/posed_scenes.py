"""Scenes of hands with everything that can be labelled, and their batches."""

import numpy as np

from datamodules.batches import View
from datamodules.hand_models import pose_hands
from datamodules.scene import ManoPose, Scene, SceneHand, Scenes
from datamodules.scene_view import SceneView
from zoo.hands.openhand import OpenHand

SIZE = (120, 200)  # height and width
CAMERA = np.float32([[150, 0, 104], [0, 155, 57], [0, 0, 1]])
MODELS = {0: OpenHand("left"), 1: OpenHand("right")}


def pose(x=0.0, z=0.5, turn=0.3):
    rotations = np.full((16, 3), 0.1, np.float32)
    rotations[0] = [1.4, turn, 0.2]
    return ManoPose(rotations, np.linspace(-1, 1, 10, dtype=np.float32), np.float32([x, 0.02, z]))


def whole(side, x=0.0, z=0.5):
    """A hand with everything that can be labelled."""
    vertices, joints = pose_hands(MODELS, [side], [pose(x, z)])
    return SceneHand(side, vertices[0].numpy(), joints[0].numpy(), pose=pose(x, z))


class Given(Scenes):
    """The scenes of a list."""

    def __init__(self, scenes, models=MODELS):
        self.list, self.models = scenes, models

    def __len__(self):
        return len(self.list)

    def sides(self):
        return np.array([[side in scene.hands for side in (0, 1)] for scene in self.list])

    def read(self, index, *, image=True, mask=False):
        return self.list[index]


def scene(hands=(), **options):
    options = {"image": np.full((*SIZE, 3), 90, np.uint8), **options}
    return Scene(0, options.pop("size", SIZE), CAMERA, {hand.side: hand for hand in hands}, **options)


def batch_of(*scenes, size=96, models=MODELS, **options):
    view = SceneView(Given(scenes, models), size, **options)
    assert isinstance(view, View)
    return view.batch(range(len(scenes)))


def both():
    return scene([whole(0, -0.12), whole(1, 0.1)])
