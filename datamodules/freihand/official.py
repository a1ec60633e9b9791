"""What turns a model's hands on FreiHAND's evaluation part into a submission."""

from pathlib import Path

from datamodules.freihand.data import FreiHAND
from datamodules.freihand.evaluate import SERVER, TITLE
from datamodules.freihand.files import TIPS
from datamodules.hand_models import is_twin, with_tips
from datamodules.scene import FloatArray, Split
from datamodules.submissions import Submission
from datamodules.two_lists import TwoLists


def official(data: FreiHAND, split: Split, folder: Path) -> TwoLists | None:
    """The receiver of a model's hands; None where there is no evaluation part.

    Args:
        data: The dataset.
        split: "test" or "predict", both the evaluation part.
        folder: Where files are written.
    """
    part = data.evaluation
    if part is None:
        return None
    labelled = part.labelled
    published = None if is_twin(data.root) else TIPS
    return TwoLists(
        SERVER,
        TITLE,
        part.samples,
        lambda joints, vertices: outgoing(joints, vertices, part.tips if labelled else published),
        (lambda: (part.arrays["xyz"].array, part.arrays["verts"].array)) if labelled else None,
        folder,
        bones=part.arrays["scale"].array if "scale" in part.arrays else None,
    )


def outgoing(joints: FloatArray, vertices: FloatArray, tips: tuple[int, ...] | None) -> Submission:
    """Hands in the project's conventions as the server takes them: nothing changes but the finger tips.

    Args:
        joints: (n, 21, 3) metres, SNAP-21.
        vertices: (n, 778, 3) metres.
        tips: Vertices that the labels use as thumb to pinky tip; None keeps the joints' own.
    """
    return Submission(with_tips(joints, vertices, tips), vertices)
