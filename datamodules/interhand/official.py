"""What turns a model's hands on InterHand2.6M into predictions of both hands by annotation, and their scores."""

from pathlib import Path
from typing import final

import numpy as np

from datamodules.evaluation import Cells, Evaluation
from datamodules.hand_models import with_tips
from datamodules.interhand.data import JOINTS_OF, METRES, InterHand, InterHandScenes
from datamodules.interhand.evaluate import PROTOCOLS, rows_of, scores_of
from datamodules.interhand.prediction_writer import WRITTEN, PredictionWriter
from datamodules.interhand.predictions import SHAPES, read_predictions
from datamodules.interhand.truth import Truth
from datamodules.receiver import Receiver
from datamodules.scene import FloatArray, IntArray, Split
from zoo.hands.skeleton import LEFT, RIGHT

ROLES = {RIGHT: 0, LEFT: 1}  # the place of each side in the predictions
_EMPTY = 1024  # annotations without hands that are written together


def official(data: InterHand, split: Split, folder: Path) -> "BothHands":
    """The receiver of a model's hands.

    Args:
        data: The dataset; its options that choose scenes decide what is scored.
        split: "test" or "predict", both the test part.
        folder: Where predictions are written.
    """
    return BothHands(data.scenes(split), folder, data.tips, photos=data.images)


@final
class BothHands(Receiver):
    """Writes `predictions`, in the format of `datamodules/interhand/predictions.py`, and scores it by all protocols.

    An annotation is written once its hands are all predicted, in little memory; the full test part takes 17 GB of disk.
    A hand that is in no scene, because too few of its joints are seen, stays zeros. Handedness is not predicted.

    Args:
        scenes: Of the split.
        folder: Where to.
        tips: Vertices that the labels use as thumb to pinky tip; None keeps the joints' own.
        photos: Whether the pictures may be read: IntagHand's protocol leaves black ones out.
    """

    def __init__(
        self, scenes: InterHandScenes, folder: Path, tips: tuple[int, ...] | None, *, photos: bool = True
    ) -> None:
        self.sides = scenes.sides()
        self.where = np.argwhere(self.sides)
        super().__init__(len(self.where))
        self.scenes = scenes
        self.tips = tips
        self.photos = photos
        self.ids = np.asarray(scenes.index.arrays["annotation_id"])[scenes.rows]
        self.missing = self.sides.sum(1)  # hands of each scene that were not predicted yet
        self.first = np.zeros(len(self.ids), np.bool_)  # a subset may name an annotation twice
        self.first[np.unique(self.ids, return_index=True)[1]] = True
        self.pending: dict[int, tuple[FloatArray, FloatArray]] = {}  # scenes of which one hand is there
        self.writer = PredictionWriter(folder)

    def _keep(self, rows: IntArray, joints: FloatArray, vertices: FloatArray) -> None:
        joints = with_tips(joints, vertices, self.tips)
        done = []
        for (scene, side), points, mesh in zip(self.where[rows].tolist(), joints, vertices, strict=True):
            both = self.pending.setdefault(scene, (_zeros("joints"), _zeros("vertices")))
            both[0][JOINTS_OF[side]], both[1][ROLES[side]] = points / METRES, mesh / METRES
            self.missing[scene] -= 1
            if not self.missing[scene]:
                done.append(scene)
        whole = [(scene, self.pending.pop(scene)) for scene in done]
        if kept := [(scene, hands) for scene, hands in whole if self.first[scene]]:
            scenes, hands = zip(*kept, strict=True)
            self.writer.add(self.ids[list(scenes)], *(np.stack(part) for part in zip(*hands, strict=True)))

    def write(self, given: str) -> str:
        total, whole = int(self.first.sum()), self.whole
        if whole:
            nobody = self.ids[self.first & ~self.sides.any(1)]
            for start in range(0, len(nobody), _EMPTY):
                some = nobody[start : start + _EMPTY]
                self.writer.add(some, *(_zeros(name, len(some)) for name in WRITTEN))
        if not self.writer.ids:
            self.drop()
            return "No predictions of InterHand2.6M: of no annotation were all hands predicted."
        place, count = self.writer.finish(), len(self.writer.ids)
        if whole:
            ids = " --ids FILE" if total < len(self.scenes.index) else ""
            return f"`python -m zoo evaluate interhand{ids}` takes {place}; hands from: {given}."
        return (
            f"{place} is a part, {count:,} of {total:,} annotations; hands from: {given}. Leave the options that limit "
            "batches out for all."
        )

    def score(self, given: str) -> Evaluation | None:
        if not self.writer.ids:
            return None
        index = self.scenes.index
        truth = Truth(index, index.rows(np.sort(np.array(self.writer.ids))), self.scenes.models)
        found = read_predictions(self.writer.place)
        scores: dict[str, dict[str, float]] = {}
        for protocol in PROTOCOLS:
            if protocol == "intaghand" and not self.photos:
                continue
            at = rows_of(truth, protocol)
            if len(at):
                rows = found.rows(truth.annotation_ids[at], "the test part")
                scores[protocol] = scores_of(found, rows, truth, at, protocol)
        part = "" if self.whole else ", a part of the annotations"
        return Evaluation(
            f"InterHand2.6M {index.files.part}, hands from {given}{part}: {len(truth):,} annotations",
            {f"{protocol}/{name}": value for protocol, named in scores.items() for name, value in named.items()},
            _table(scores),
            notes=tuple(self._notes(truth, scores)),
        )

    def _notes(self, truth: Truth, scores: dict[str, dict[str, float]]) -> list[str]:
        notes = [
            "the protocols differ in hands, roots and averages: compare a number with its own column alone.",
            "hands were placed one by one, as far away as their size says; MRRPE and RRVE measure that too.",
        ]
        if len(self.ids) < len(self.scenes.index):
            notes.append(
                f"--data.hands and --data.subsets leave {len(self.scenes.index) - len(self.ids):,} of the part's "
                f"{len(self.scenes.index):,} annotations out; they are not scored."
            )
        order = np.argsort(self.ids, kind="stable")
        predicted = self.sides[order[np.searchsorted(self.ids, truth.annotation_ids, sorter=order)]]
        known = truth.frame_valid(slice(None))
        unseen = sum(int((known[:, joints].any(1) & ~predicted[:, side]).sum()) for side, joints in JOINTS_OF.items())
        if unseen:
            notes.append(
                f"{unseen:,} labelled hands have fewer than {self.scenes.min_joints} joints in view "
                "(--data.min_joints); they were not predicted and count as zeros."
            )
        if "interwild" in scores and self.scenes.subset is None:
            notes.append("interwild's published numbers are of aid_human_annot_test.txt alone (--data.subsets.test).")
        if truth.models is None:
            notes.append("without MANO the labels have no meshes, and intaghand no scores (--data.mano).")
        elif "intaghand" not in scores:
            why = "no pictures were read" if not self.photos else "no picture has two interacting hands with meshes"
            notes.append(f"no scores by intaghand: {why}.")
        return notes

    def drop(self) -> None:
        self.writer.drop()


def _zeros(name: str, *count: int) -> FloatArray:
    return np.zeros((*count, *SHAPES[name]), np.float32)


def _table(scores: dict[str, dict[str, float]]) -> tuple[Cells, ...]:
    names = dict.fromkeys(name for named in scores.values() for name in named)
    lines: list[Cells] = [("", *scores)]
    for name in names:
        values = (named.get(name) for named in scores.values())
        lines.append((name, *("-" if value is None else f"{value:.3f}" for value in values)))
    return tuple(lines)
