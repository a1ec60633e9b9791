"""What turns a model's hands on HO-3D's evaluation part into a submission."""

from pathlib import Path

import numpy as np

from datamodules.hand_models import with_tips
from datamodules.ho3d.data import HO3D
from datamodules.ho3d.evaluate import SERVER, title
from datamodules.ho3d.files import LABELS
from datamodules.scene import FloatArray, Split
from datamodules.submissions import Submission
from datamodules.two_lists import TwoLists
from zoo.hands.skeleton import SNAP_TO_MANO_TIPS

_OPENGL = np.array([1, -1, -1], np.float32)


def official(data: HO3D, split: Split, folder: Path) -> TwoLists | None:
    """The receiver of a model's hands; None where there is no evaluation part.

    Args:
        data: The dataset.
        split: "test" or "predict", both the evaluation part.
        folder: Where files are written.
    """
    part = data.evaluation
    if part is None:
        return None
    return TwoLists(
        SERVER,
        title(part.version),
        len(part.names),
        lambda joints, vertices: outgoing(joints, vertices, data.tips),
        (lambda: (part.truth["xyz"].array, part.truth["verts"].array)) if set(LABELS) <= set(part.truth) else None,
        folder,
        gives_wrist=True,
    )


def outgoing(joints: FloatArray, vertices: FloatArray, tips: tuple[int, ...] | None) -> Submission:
    """Hands in the project's conventions as the server takes them.

    Args:
        joints: (n, 21, 3) metres, OpenCV camera, SNAP-21.
        vertices: (n, 778, 3) metres, OpenCV camera.
        tips: Vertices that the labels use as thumb to pinky tip; None keeps the joints' own.
    """
    return Submission(with_tips(joints, vertices, tips)[:, SNAP_TO_MANO_TIPS] * _OPENGL, vertices * _OPENGL)
