"""HO-3D's official evaluation: fourteen scores of a `pred.json` against the evaluation labels of version 2 or 3."""

from pathlib import Path

import numpy as np

from datamodules.evaluation import Evaluation, Official, Server
from datamodules.ho3d.data import HO3D
from datamodules.ho3d.files import EVAL_SOURCE, LABELS, EvaluationTruth, evaluation_truth
from datamodules.scene import FloatArray
from datamodules.submission_mistakes import MANO_TIPS, Custom
from datamodules.submissions import Submission, read_submission
from zoo.hands.skeleton import SNAP_TO_MANO_TIPS
from zoo.metrics.official import HO3D as NAMES

WRIST, MIDDLE = 0, 4  # in HO-3D's order: the ends of the bone that its second alignment makes as long as the true one
SERVER = Server(Custom("HO-3D", "metres", MANO_TIPS, opengl=True), NAMES, bone=(WRIST, MIDDLE))
_OPENGL = np.array([1, -1, -1], np.float32)


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
    return SERVER.report(scores, len(truth.names), _title(truth.version))


def labels(root: Path, eval_root: Path | None = None, cache: Path | None = None) -> tuple[EvaluationTruth, FloatArray]:
    """The evaluation labels and their meshes, (n, 778, 3), which scores cannot do without."""
    truth = evaluation_truth(root, eval_root, cache)
    if truth.verts is None:
        raise FileNotFoundError(f"{root} has no evaluation_verts.json. {EVAL_SOURCE.replace('--data.', '--')}.")
    return truth, truth.verts


def official(data: HO3D) -> Official | None:
    """What a submission of a model's predictions needs; None where there is no evaluation part."""
    part = data.evaluation
    if part is None:
        return None
    return Official(
        SERVER,
        _title(part.version),
        len(part.names),
        lambda joints, vertices: outgoing(joints, vertices, data.tips),
        (lambda: (part.truth["xyz"].array, part.truth["verts"].array)) if set(LABELS) <= set(part.truth) else None,
        gives_wrist=True,
    )


def outgoing(joints: FloatArray, vertices: FloatArray, tips: tuple[int, ...] | None) -> Submission:
    """Hands in the project's conventions as the server takes them.

    Args:
        joints: (n, 21, 3) metres, OpenCV camera, SNAP-21.
        vertices: (n, 778, 3) metres, OpenCV camera.
        tips: Vertices that the labels use as thumb to pinky tip; None keeps the joints' own.
    """
    joints = joints.copy()
    if tips is not None:
        joints[:, 4::4] = vertices[:, list(tips)]
    return Submission(joints[:, SNAP_TO_MANO_TIPS] * _OPENGL, vertices * _OPENGL)


def _title(version: str) -> str:
    return f"HO-3D {version}'s official evaluation"


def _in_front(pred: Path, found: Submission) -> None:
    """HO-3D's own script refuses joints that all have positive z."""
    if (found.joints[..., 2] > 0).all():
        raise ValueError(
            f"{pred}: every joint has a positive z. HO-3D's camera looks along -z (OpenGL: y up), and its server "
            "refuses such files. Multiply x, y, z by 1, -1, -1; --force scores the file as it is."
        )
