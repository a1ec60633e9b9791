"""The three protocols of InterHand2.6M. Never compare numbers of one with those of another.

They differ in hands, roots, averages and labels.

- `internet` (Moon et al. 2020): all annotations; joints valid in the view; each hand about its own wrist.
- `interwild` (Moon 2023): joints valid in the frame; the means of single and of interacting hands are averaged; meshes
  about the wrists regressed from them; RRVE. Published for the annotations of aid_human_annot_test.txt (`--ids`).
- `intaghand` (Li et al. 2022): interacting hands that both have a mesh, in pictures that are not black; joints of the
  meshes; each hand about its middle knuckle, scaled to the true length of the bone to it.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.evaluation import Cells, Evaluation
from datamodules.interhand.data import JOINTS_OF, METRES, TIPS, read_ids
from datamodules.interhand.files import PARTS
from datamodules.interhand.predictions import TwoHandPredictions, read_predictions
from datamodules.interhand.truth import Truth
from datamodules.interhand.truth import truth as read_truth
from datamodules.photos import read_photo
from datamodules.scene import BoolArray, HandModels, IntArray
from datamodules.submission_mistakes import INTERHAND, LEFT_FIRST, SPARSE, Custom, mistake, orders, refuse
from zoo.hands.skeleton import LEFT, RIGHT, WRIST
from zoo.metrics.hand_scores import known
from zoo.metrics.two_hands import MRRPE, RRVE, HandednessAccuracy, MiddleBoneErrors, TwoHandMPJPE, TwoHandMPVPE

PROTOCOLS = ("internet", "interwild", "intaghand")
CUSTOM = Custom("InterHand2.6M", "millimetres", INTERHAND)
BLACK = 10  # mean of the bytes of a picture below which IntagHand leaves it out
MIDDLE_TIP = 444  # IntagHand's, where the dataset's own regressor has 445
_BLOCK = 512  # annotations at once
_SOME = 256  # annotations by which mistakes are found
_RIGHT_FIRST = "right hands first"


class Rows(NamedTuple):
    """Annotations with what was predicted for them; metres, by side (0 = left, 1 = right), SNAP-21."""

    at: IntArray  # in the truth
    predicted: IntArray  # in the predictions
    interacting: Tensor
    joints: Tensor
    true_joints: Tensor
    way: Tensor  # left wrist - right wrist, as predicted
    vertices: Tensor | None
    true_vertices: Tensor
    has_mesh: Tensor


def evaluate(
    pred: Path,
    root: Path,
    *,
    protocol: str = "internet",
    split: str = "test",
    ids: Path | None = None,
    mano: Path | None = None,
    cache: Path | None = None,
    force: bool = False,
) -> Evaluation:
    """Scores predictions.

    Args:
        pred: As `datamodules/interhand/predictions.py` says.
        root: The dataset's folder.
        protocol: Which of the three.
        split: "test", "val" or "train".
        ids: A file with the annotation ids that are scored, one a line; None: all of the split.
        mano: Folder of MANO_RIGHT and MANO_LEFT, which make the labels' meshes.
        cache: Folder for the index; None is the user's cache.
        force: Scores also what looks written down wrongly.

    Raises:
        FileNotFoundError: Predictions or labels are not there.
        ValueError: The predictions are not what the protocol takes.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"--protocol {protocol} is not known. Known: {', '.join(PROTOCOLS)}.")
    part = next((part for part in PARTS if part == split), None)
    if part is None:
        raise ValueError(f"--split {split} is no part of InterHand2.6M. Known: {', '.join(PARTS)}.")
    truth = read_truth(root, part, None if ids is None else read_ids(ids), mano=mano, cache=cache)
    found = read_predictions(pred)
    at = rows_of(truth, protocol)
    if protocol == "intaghand" and truth.models is None:
        raise FileNotFoundError(
            f"--protocol intaghand compares meshes, and {root} stores them as MANO's parameters. Give the folder of "
            "MANO_RIGHT.pkl and MANO_LEFT.pkl with --mano."
        )
    if protocol == "intaghand" and not len(at):
        raise ValueError(
            "--protocol intaghand scores interacting hands that both have a mesh, and this split has none. Take "
            "another --split or --protocol."
        )
    rows = found.rows(truth.annotation_ids[at], f"the {split} part")
    if not force:
        check(found, rows, truth, at)
    scores = scores_of(found, rows, truth, at, protocol)
    notes = []
    if protocol == "interwild" and ids is None:
        notes.append("published numbers are of aid_human_annot_test.txt alone: pass it with --ids.")
    if protocol != "internet" and found.vertices is None:
        notes.append("no vertices were predicted, so meshes are not scored.")
    elif protocol != "internet" and truth.models is None:
        notes.append("without MANO the labels have no meshes: give the folder of MANO_RIGHT and MANO_LEFT with --mano.")
    title = f"InterHand2.6M {split} by the protocol of {protocol}: {len(at):,} annotations"
    return Evaluation(title, scores, _table(scores), notes=tuple(notes))


def rows_of(truth: Truth, protocol: str) -> IntArray:
    """Which annotations a protocol scores; by `intaghand` none without hand models."""
    return _intaghand_rows(truth) if protocol == "intaghand" else np.arange(len(truth))


def scores_of(found: TwoHandPredictions, rows: IntArray, truth: Truth, at: IntArray, protocol: str) -> dict[str, float]:
    """Scores by name, without what no label allows.

    Args:
        found: The predictions.
        rows: (n,) of them.
        truth: The labels.
        at: (n,) of them, as `rows_of` says, for the same annotations.
        protocol: Which of the three.
    """
    run = {"internet": _internet, "interwild": _interwild, "intaghand": _intaghand}[protocol]
    return known(run(found, rows, truth, at))


def check(found: TwoHandPredictions, rows: IntArray, truth: Truth, at: IntArray) -> None:
    """Refuses predictions that are written down wrongly.

    Raises:
        ValueError: Names the mistake and how to mend it.
    """
    some = np.unique(np.linspace(0, len(at) - 1, _SOME).round().astype(int)) if len(at) else np.arange(0)
    joints, valid = truth.joints(at[some]), truth.frame_valid(at[some])
    given = np.asarray(found.joints[rows[some]], np.float32)
    wrong = mistake(given, joints.astype(np.float32), CUSTOM, orders(CUSTOM, 2), valid, groups=2)
    refuse(str(found.path), "joints", CUSTOM, wrong)
    if found.vertices is None or not (has := truth.has_mesh(at[some])[:, ::-1]).any():
        return
    meshes = truth.vertices(at[some])[:, ::-1, ::SPARSE]
    given = np.asarray(found.vertices[rows[some], :, ::SPARSE], np.float32)
    k = meshes.shape[2]
    custom = CUSTOM._replace(order=_RIGHT_FIRST)
    tables = {_RIGHT_FIRST: tuple(range(2 * k)), LEFT_FIRST: tuple((i + k) % (2 * k) for i in range(2 * k))}
    flat, valid = (len(some), 2 * k, 3), np.repeat(has, k, axis=1)
    wrong = mistake(given.reshape(flat), meshes.reshape(flat), custom, tables, valid, groups=2)
    refuse(str(found.path), "meshes", custom, wrong)


def _internet(found: TwoHandPredictions, rows: IntArray, truth: Truth, at: IntArray) -> dict[str, float]:
    mpjpe, mrrpe, accuracy = TwoHandMPJPE(pooled=True), MRRPE(), HandednessAccuracy()
    for part in _parts(found, rows, truth, at, meshes=False):
        valid = _by_side(truth.view_valid(part.at))
        mpjpe.update(part.joints, part.true_joints, valid, part.interacting)
        wrists = valid[:, :, WRIST].all(1) & part.interacting
        mrrpe.update(part.way, _way(part.true_joints), wrists)
        if found.handedness is not None:
            sides = _tensor(found.handedness[part.predicted])[:, [1, 0]]
            kind = truth.hand_type[part.at]
            present = torch.from_numpy(np.stack([kind != "right", kind != "left"], 1))
            accuracy.update(sides, present, torch.from_numpy(truth.hand_type_valid[part.at]))
    scores = {f"mpjpe_{kind}_mm": float(value) for kind, value in mpjpe.compute().items()}
    scores["mrrpe_mm"] = float(mrrpe.compute())
    if found.handedness is not None:
        scores["handedness_accuracy"] = float(accuracy.compute())
    return scores


def _interwild(found: TwoHandPredictions, rows: IntArray, truth: Truth, at: IntArray) -> dict[str, float]:
    mpjpe, mpvpe, mrrpe, rrve = TwoHandMPJPE(pooled=False), TwoHandMPVPE(), MRRPE(), RRVE()
    for part in _parts(found, rows, truth, at, meshes=found.vertices is not None):
        valid = _by_side(truth.frame_valid(part.at))
        mpjpe.update(part.joints, part.true_joints, valid, part.interacting)
        wrists = valid[:, :, WRIST].all(1) & part.interacting
        mrrpe.update(part.way, _way(part.true_joints), wrists)
        if part.vertices is not None and truth.models is not None:
            roots, true_roots = (
                _regressed(meshes, truth.models)[:, :, WRIST] for meshes in (part.vertices, part.true_vertices)
            )
            pair = (part.vertices, part.true_vertices, roots, true_roots)
            mpvpe.update(*pair, part.has_mesh, part.interacting)
            rrve.update(*pair, part.way, _way(part.true_joints), part.has_mesh.all(1) & wrists)
    scores = {f"mpjpe_{kind}_mm": float(value) for kind, value in mpjpe.compute().items()}
    if found.vertices is not None and truth.models is not None:
        scores |= {f"mpvpe_{kind}_mm": float(value) for kind, value in mpvpe.compute().items()}
        scores["rrve_mm"] = float(rrve.compute())
    return scores | {"mrrpe_mm": float(mrrpe.compute())}


def _intaghand(found: TwoHandPredictions, rows: IntArray, truth: Truth, at: IntArray) -> dict[str, float]:
    joint_errors, mesh_errors = MiddleBoneErrors(21), MiddleBoneErrors(778)
    if (models := truth.models) is None:
        return {}  # nor are there rows
    for part in _parts(found, rows, truth, at, meshes=True):
        true_joints = _intaghand_joints(part.true_vertices, models)
        joints = part.joints if part.vertices is None else _intaghand_joints(part.vertices, models)
        joint_errors.update(joints, true_joints, joints, true_joints, part.has_mesh)
        if part.vertices is not None:
            mesh_errors.update(part.vertices, part.true_vertices, joints, true_joints, part.has_mesh)
    scores: dict[str, float] = {}
    measured = {"mpjpe": joint_errors} | ({} if found.vertices is None else {"mpvpe": mesh_errors})
    for name, errors in measured.items():
        scores |= {f"{name}_{side}_mm": float(value) for side, value in errors.compute().items()}
    return scores


def _intaghand_rows(truth: Truth) -> IntArray:
    """Interacting hands with both meshes, in pictures that are not black."""
    kept = (truth.hand_type == "interacting") & truth.hand_type_valid & truth.has_mesh(slice(None)).all(1)
    at = np.flatnonzero(kept)

    def bright(row: int) -> bool:
        return bool(read_photo(truth.path(row)).mean() >= BLACK)

    with ThreadPoolExecutor() as pool:
        return at[np.fromiter(pool.map(bright, at.tolist(), chunksize=64), np.bool_, len(at))]


def _parts(found: TwoHandPredictions, rows: IntArray, truth: Truth, at: IntArray, *, meshes: bool) -> Iterator[Rows]:
    """Some annotations at a time."""
    for start in range(0, len(at), _BLOCK):
        here, there = at[start : start + _BLOCK], rows[start : start + _BLOCK]
        joints = _by_side(_tensor(found.joints[there]) * METRES)
        given = None if found.vertices is None or not meshes else _tensor(found.vertices[there])[:, [1, 0]] * METRES
        has = truth.has_mesh(here) if meshes else np.zeros((len(here), 2), np.bool_)
        true = truth.vertices(here) if meshes else np.zeros((0, 2, 778, 3), np.float32)
        yield Rows(
            here,
            there,
            torch.from_numpy(truth.hand_type[here] == "interacting"),
            joints,
            _by_side(_tensor(truth.joints(here)) * METRES),
            _way(joints) if found.rel_trans is None else _tensor(found.rel_trans[there]) * METRES,
            given,
            _tensor(true) * METRES,
            torch.from_numpy(has),
        )


def _by_side(of_joints: Tensor | BoolArray) -> Tensor:
    """(n, 42, ...) in the dataset's order to (n, 2, 21, ...), left and right, SNAP-21."""
    values = torch.as_tensor(of_joints)
    return torch.stack([values[:, JOINTS_OF[side]] for side in (LEFT, RIGHT)], 1)


def _way(joints: Tensor) -> Tensor:
    return joints[:, LEFT, WRIST] - joints[:, RIGHT, WRIST]


def _regressed(vertices: Tensor, models: HandModels) -> Tensor:
    return torch.stack([models[side].regress(vertices[:, side]) for side in (LEFT, RIGHT)], 1)


def _intaghand_joints(vertices: Tensor, models: HandModels) -> Tensor:
    joints = _regressed(vertices, models)
    if models[RIGHT].tips == TIPS:  # MANO; another hand's tips are elsewhere
        joints[:, :, 12] = vertices[:, :, MIDDLE_TIP]
    return joints


def _tensor(array: NDArray[np.floating[Any]]) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32))


def _table(scores: dict[str, float]) -> tuple[Cells, ...]:
    lines: list[Cells] = [("", "")]
    lines += [(name, f"{value:.3f}") for name, value in scores.items()]
    return tuple(lines)
