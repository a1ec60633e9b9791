"""What turns a model's hands on val2017 into COCO-WholeBody's result file, and its precision."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, final

import numpy as np

from datamodules.coco.data import COCO, COCOScenes
from datamodules.coco.evaluate import evaluate, report, write_predictions
from datamodules.coco.labels import PREFIXES
from datamodules.evaluation import Evaluation
from datamodules.receiver import Receiver
from datamodules.scene import BoolArray, FloatArray, IntArray, Split

FILE = "results.json"
SCORE = 1.0  # of every hand: a model of hands does not say how sure it is, so that no hand is ranked before another
_NEAREST = 1e-3  # metres; what is nearer to the camera's plane has no pixel


def official(data: COCO, split: Split, folder: Path) -> "Results":
    """The receiver of a model's hands.

    Args:
        data: The dataset.
        split: "test" or "predict", both val2017.
        folder: Where the results are written.
    """
    return Results(data.scenes(split), data, folder)


@final
class Results(Receiver):
    """Writes `results.json`, one row a person, with hands as pixels of the picture, and scores it.

    The scene's camera that hands were placed before projects them, so a made-up one does no harm.

    Args:
        scenes: People of val2017.
        data: Of these scenes.
        folder: Where to.
    """

    def __init__(self, scenes: COCOScenes, data: COCO, folder: Path) -> None:
        self.where = np.argwhere(scenes.sides())
        super().__init__(len(self.where))
        self.scenes = scenes
        self.data = data
        self.file = folder / FILE
        self.pixels = np.zeros((len(self.where), 21, 2), np.float32)
        arrays = scenes.index.arrays
        person = scenes.people.start + self.where[:, 0]
        self.image = np.asarray(arrays["image_id"])[arrays["image"][person]]  # of each row

    def _keep(self, rows: IntArray, joints: FloatArray, vertices: FloatArray) -> None:
        cameras = [self.scenes.read(scene, image=False).intrinsics for scene in self.where[rows, 0].tolist()]
        rays = np.einsum("nij,nkj->nki", np.stack(cameras), joints)
        self.pixels[rows] = rays[..., :2] / np.maximum(rays[..., 2:], _NEAREST)

    @property
    def kept(self) -> BoolArray:
        """(rows,) hands of images of which no hand is missing."""
        return ~np.isin(self.image, self.image[~self.seen])

    def write(self, given: str) -> str:
        kept = self.kept
        if not kept.any():
            return f"No {FILE} for COCO-WholeBody: of no image were all hands predicted."
        write_predictions(self.file, self._people(kept))
        if self.whole:
            return f"COCO-WholeBody's tools take {self.file}; hands from: {given}."
        some, every = (len(np.unique(image)) for image in (self.image[kept], self.image))
        return (
            f"{self.file} is a part, {some:,} of {every:,} images with hands; hands from: {given}. Leave the options "
            "that limit batches out for all."
        )

    def _people(self, kept: BoolArray) -> Iterator[dict[str, Any]]:
        boxes = self.scenes.index.arrays["box"]
        for scene, rows in groupby(np.flatnonzero(kept).tolist(), lambda row: int(self.where[row, 0])):
            made: dict[str, Any] = {"bbox": boxes[self.scenes.people[scene]]}
            for row in rows:
                made["image_id"] = int(self.image[row])
                name = PREFIXES[int(self.where[row, 1])]
                made[f"{name}_kpts"] = np.column_stack((self.pixels[row], np.ones(21)))
                made[f"{name}_score"] = SCORE
            yield made

    def score(self, given: str) -> Evaluation | None:
        kept = self.kept
        if not kept.any():
            return None
        images = np.unique(self.image[kept]).astype(np.int64)
        scores = evaluate(
            self.data.root,
            self.file,
            "val",
            annotations=self.data.annotations,
            some=None if self.whole else images,
            progress=True,
        )
        part = "" if self.whole else ", a part of the images"
        title = f"COCO-WholeBody val, hands from {given}{part}: {int(kept.sum()):,} hands in {len(images):,} images"
        return report(
            scores,
            title,
            (
                "average precision and recall of hands by OKS.",
                "crops are those of labelled hands: detectors have no such help. All hands have the same score.",
            ),
        )
