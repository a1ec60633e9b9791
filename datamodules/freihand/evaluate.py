"""FreiHAND's official evaluation: twelve scores of a `pred.json` against the evaluation labels."""

from pathlib import Path

from datamodules.evaluation import Evaluation, Server
from datamodules.freihand.files import EVAL_SIBLING, find_evaluation
from datamodules.scene import FloatArray
from datamodules.submission_mistakes import SNAP, Custom
from datamodules.submissions import read_submission
from zoo.metrics.official import FREIHAND as NAMES

SERVER = Server(Custom("FreiHAND", "metres", SNAP), NAMES, bone=(0, 9))
TITLE = "FreiHAND's official evaluation"


def evaluate(
    pred: Path, root: Path, *, eval_root: Path | None = None, cache: Path | None = None, force: bool = False
) -> Evaluation:
    """Scores a submission.

    Args:
        pred: `pred.json` as FreiHAND's server takes it, or a zip of it.
        root: The dataset's folder, or that of the evaluation labels.
        eval_root: Folder of the evaluation labels; None looks in `root`, then beside it.
        cache: Folder for parsed label files; None is the user's cache.
        force: Scores also what looks written down wrongly.

    Raises:
        FileNotFoundError: The labels are not there.
        ValueError: The submission is not what the server takes.
    """
    joints, vertices = truth(root, eval_root, cache)
    found = read_submission(pred, len(joints), "FreiHAND's evaluation part")
    if not force:
        SERVER.check(pred, found, joints, vertices)
    scores = SERVER.scores(found, joints, vertices)
    return SERVER.report(scores, len(joints), TITLE)


def truth(root: Path, eval_root: Path | None = None, cache: Path | None = None) -> tuple[FloatArray, FloatArray]:
    """Joints (n, 21, 3) and meshes (n, 778, 3) of the evaluation part, metres, SNAP-21, mapped into memory."""
    part = find_evaluation(root, eval_root, cache)
    if part is None or not part.labelled:
        raise FileNotFoundError(
            f"{root} has no evaluation labels (evaluation_xyz.json, evaluation_verts.json), which scores need. Unpack "
            f"{EVAL_SIBLING} beside it, or pass its folder with --eval_root."
        )
    part.samples  # noqa: B018 - that the files agree
    return part.arrays["xyz"].array, part.arrays["verts"].array
