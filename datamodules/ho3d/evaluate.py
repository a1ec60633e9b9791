"""HO-3D's official evaluation: fourteen scores of a `pred.json` against the evaluation labels of version 2 or 3."""

from pathlib import Path

from datamodules.evaluation import Evaluation, Server
from datamodules.ho3d.files import EVAL_SOURCE, EvaluationTruth, evaluation_truth
from datamodules.scene import FloatArray
from datamodules.submission_mistakes import MANO_TIPS, Custom
from datamodules.submissions import Submission, read_submission
from zoo.metrics.official import HO3D as NAMES

WRIST, MIDDLE = 0, 4  # in HO-3D's order: the ends of the bone that its second alignment makes as long as the true one
SERVER = Server(Custom("HO-3D", "metres", MANO_TIPS, opengl=True), NAMES, bone=(WRIST, MIDDLE))


def evaluate(
    pred: Path,
    root: Path,
    *,
    version: str | None = None,
    eval_root: Path | None = None,
    cache: Path | None = None,
    force: bool = False,
) -> Evaluation:
    """Scores a submission.

    Args:
        pred: `pred.json` as HO-3D's server takes it (metres, OpenGL axes, HO-3D's joint order, in the order of
            evaluation.txt), or a zip of it.
        root: The dataset's folder.
        version: "v2" or "v3"; None takes the one that the folder is of.
        eval_root: Folder of evaluation_xyz.json and evaluation_verts.json; None is `root`.
        cache: Folder for parsed label files; None is the user's cache.
        force: Scores also what looks written down wrongly.

    Raises:
        FileNotFoundError: The labels are not there.
        ValueError: The submission is not what the server takes, or the folder is of another version.
    """
    truth, vertices = labels(root, eval_root, cache)
    if version not in (None, truth.version):
        raise ValueError(
            f"{root} is HO-3D {truth.version}, but --version {version} was asked for (v2 has PNG images and 11,524 "
            "evaluation frames, v3 JPEG and 20,137). Pass the --root of that version, or leave --version out."
        )
    found = read_submission(pred, len(truth.names), f"evaluation.txt of HO-3D {truth.version}")
    if not force:
        SERVER.check(pred, found, truth.xyz, vertices)
        _in_front(pred, found)
    scores = SERVER.scores(found, truth.xyz, vertices)
    return SERVER.report(scores, len(truth.names), title(truth.version))


def labels(root: Path, eval_root: Path | None = None, cache: Path | None = None) -> tuple[EvaluationTruth, FloatArray]:
    """The evaluation labels and their meshes, (n, 778, 3), which scores cannot do without."""
    truth = evaluation_truth(root, eval_root, cache)
    if truth.verts is None:
        raise FileNotFoundError(f"{root} has no evaluation_verts.json. {EVAL_SOURCE.replace('--data.', '--')}.")
    return truth, truth.verts


def title(version: str) -> str:
    """What is scored, in the first line of a table."""
    return f"HO-3D {version}'s official evaluation"


def _in_front(pred: Path, found: Submission) -> None:
    """HO-3D's own script refuses joints that all have positive z."""
    if (found.joints[..., 2] > 0).all():
        raise ValueError(
            f"{pred}: every joint has a positive z. HO-3D's camera looks along -z (OpenGL: y up), and its server "
            "refuses such files. Multiply x, y, z by 1, -1, -1; --force scores the file as it is."
        )
