"""What turns a model's hands on FreiHAND's evaluation part into a submission."""

from datamodules.evaluation import Official
from datamodules.freihand.data import FreiHAND
from datamodules.freihand.evaluate import SERVER, TITLE
from datamodules.freihand.files import TIPS
from datamodules.hand_models import TWIN
from datamodules.scene import FloatArray
from datamodules.submissions import Submission


def official(data: FreiHAND) -> Official | None:
    """What a submission of a model's predictions needs; None where there is no evaluation part."""
    part = data.evaluation
    if part is None:
        return None
    labelled = part.labelled
    published = None if (data.root / TWIN).is_file() else TIPS
    return Official(
        SERVER,
        TITLE,
        part.samples,
        lambda joints, vertices: outgoing(joints, vertices, part.tips if labelled else published),
        (lambda: (part.arrays["xyz"].array, part.arrays["verts"].array)) if labelled else None,
        part.arrays["scale"].array if "scale" in part.arrays else None,
    )


def outgoing(joints: FloatArray, vertices: FloatArray, tips: tuple[int, ...] | None) -> Submission:
    """Hands in the project's conventions as the server takes them: nothing changes but the finger tips.

    Args:
        joints: (n, 21, 3) metres, SNAP-21.
        vertices: (n, 778, 3) metres.
        tips: Vertices that the labels use as thumb to pinky tip; None keeps the joints' own.
    """
    joints = joints.copy()
    if tips is not None:
        joints[:, 4::4] = vertices[:, list(tips)]
    return Submission(joints, vertices)
