"""The receiver of servers that take all joints and all meshes of a split: FreiHAND's and HO-3D's."""

from collections.abc import Callable
from pathlib import Path
from typing import final

import numpy as np

from datamodules.evaluation import Evaluation, Server
from datamodules.receiver import Receiver
from datamodules.scene import FloatArray, IntArray
from datamodules.submissions import Submission, write_submission
from zoo.hands.meshfile import write_atomically
from zoo.metrics.official import scores_text


@final
class TwoLists(Receiver):
    """Writes `pred.json` and `pred.zip`, if all samples were predicted, and with labels `scores.txt`.

    A row is a sample.

    Args:
        server: Who takes it.
        title: Of its evaluation.
        samples: How many it has.
        outgoing: Joints (n, 21, 3) and meshes (n, 778, 3) of ours (metres, OpenCV camera of the image, SNAP-21) as the
            server takes them.
        truth: Gives joints and meshes as the server has them, or None: no labels are there.
        folder: Where to.
        bones: See `Receiver`.
        gives_wrist: See `Receiver`.
    """

    def __init__(
        self,
        server: Server,
        title: str,
        samples: int,
        outgoing: Callable[[FloatArray, FloatArray], Submission],
        truth: Callable[[], tuple[FloatArray, FloatArray]] | None,
        folder: Path,
        *,
        bones: FloatArray | None = None,
        gives_wrist: bool = False,
    ) -> None:
        super().__init__(samples, bones, gives_wrist)
        self.server = server
        self.title = title
        self.outgoing = outgoing
        self.truth = truth
        self.folder = folder
        self.hands = Submission(np.zeros((samples, 21, 3), np.float32), np.zeros((samples, 778, 3), np.float32))
        self.found = self.hands  # as the server takes them, after `write`

    def _keep(self, rows: IntArray, joints: FloatArray, vertices: FloatArray) -> None:
        self.hands.joints[rows], self.hands.vertices[rows] = joints, vertices

    def write(self, given: str) -> str:
        self.found = self.outgoing(*self.hands)
        name = f"{self.server.custom.server}'s server"
        if not self.whole:
            return (
                f"No file for {name}: it takes all {len(self.seen):,} samples, and {int(self.seen.sum()):,} were "
                "predicted. Leave the options that limit batches out."
            )
        _, archive = write_submission(self.folder, *self.found)
        return f"{name} takes {archive}; hands from: {given}."

    def score(self, given: str) -> Evaluation | None:
        if self.truth is None:
            return None
        joints, vertices = (np.asarray(label[self.seen], np.float32) for label in self.truth())
        scores = self.server.scores(Submission(*(part[self.seen] for part in self.found)), joints, vertices)
        if self.whole:
            write_atomically(self.folder / "scores.txt", scores_text(self.server.official(scores)).encode())
        what = f"{self.title}, hands from {given}{'' if self.whole else ', a part of the samples'}"
        return self.server.report(scores, len(joints), what)
