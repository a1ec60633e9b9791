"""FreiHAND's MANO numbers as the project's parameters, placed by the numbers alone."""

from dataclasses import replace

import numpy as np

from datamodules.freihand.files import FreiHANDPart
from datamodules.freihand.writer import ROOT_JOINT
from datamodules.hand_models import absolute, pose_hands
from datamodules.scene import FloatArray, HandModels, ManoPose


def parameters(part: FreiHANDPart, sample: int, models: HandModels) -> ManoPose:
    """The parameters of a sample, in its camera's frame; the stored mesh is not looked at.

    The file keeps fingers relative to the mean pose and, in place of a translation, the pixel of joint 9 and the focal
    length over its depth. The hand is moved until joint 9, regressed from the posed mesh, lies there. With two focal
    lengths this is rough, as FreiHAND has it: of 5 % difference between them some millimetres come. Where the mesh is
    stored, it is the better label (`SceneHand.vertices`), and its middle says the translation exactly.

    Args:
        part: Whose files to read.
        sample: Number of the sample, not of the image.
        models: Whose parameters they are, by side.
    """
    entry, side = part.mano(sample), int(part.sides[sample])
    pose = ManoPose(absolute(models[side], entry.pose), np.array(entry.betas), np.zeros(3, np.float32))
    joints = pose_hands(models, [side], [pose])[1][0].numpy()
    return replace(pose, transl=_root(part, sample) - joints[ROOT_JOINT])


def _root(part: FreiHANDPart, sample: int) -> FloatArray:
    """(3,) where joint 9 is, metres."""
    entry, camera = part.mano(sample), part.arrays["K"][sample]
    focal = (camera[0, 0] + camera[1, 1]) / 2
    return np.array([*(entry.root_pixel - camera[:2, 2]), focal], np.float32) / np.float32(entry.scale)
