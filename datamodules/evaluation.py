"""What an official evaluation found, as a table that fits a terminal, and the scores of servers that take two lists."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from datamodules.scene import FloatArray
from datamodules.submission_mistakes import SPARSE, Custom, mistake, orders, refuse
from datamodules.submissions import Submission
from zoo.metrics.official import Names, OfficialScores

_BATCH = 128  # samples whose meshes are aligned at once

Cells = tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """Scores by name, and how to show them.

    Args:
        title: What was scored, and by which protocol.
        scores: Flat names; what no label allowed is left out.
        table: Lines of cells; the first is the head.
        official: What the dataset's own `scores.txt` holds, in its order; empty where there is none.
        notes: What is worth knowing.
    """

    title: str
    scores: Mapping[str, float]
    table: tuple[Cells, ...]
    official: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        widths = [max(len(line[i]) for line in self.table if i < len(line)) for i in range(len(self.table[0]))]
        lines = [self.title, ""]
        for first, *others in self.table:
            cells = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=False))
            lines.append("  ".join([f"{first:<{widths[0]}}", *cells]).rstrip())
        return "\n".join(lines + [f"note: {note}" for note in self.notes])


@dataclass(frozen=True)
class Server:
    """A server that takes all joints and all meshes of a split.

    Args:
        custom: How it writes joints and meshes down.
        names: Of its scores.
        bone: See `OfficialScores`.
    """

    custom: Custom
    names: Names
    bone: tuple[int, int]

    def check(self, path: Path, found: Submission, joints: FloatArray, vertices: FloatArray) -> None:
        """Refuses a submission that is written down wrongly.

        Raises:
            ValueError: Names the mistake and how to mend it.
        """
        wrong = mistake(found.joints, joints, self.custom, orders(self.custom))
        refuse(str(path), "joints", self.custom, wrong)
        refuse(
            str(path), "meshes", self.custom, mistake(found.vertices[:, ::SPARSE], vertices[:, ::SPARSE], self.custom)
        )

    def scores(self, found: Submission, joints: FloatArray, vertices: FloatArray) -> dict[str, float]:
        """The official scores and ours beside them.

        Args:
            found: Predictions.
            joints: (n, 21, 3) labels.
            vertices: (n, 778, 3) labels.
        """
        scores = OfficialScores(self.names, self.bone)
        for start in range(0, len(joints), _BATCH):
            rows = slice(start, start + _BATCH)
            parts = (found.joints, found.vertices, joints, vertices)
            scores.update(*(torch.from_numpy(np.array(part[rows], np.float32)) for part in parts))
        return scores.compute()

    def official(self, scores: Mapping[str, float]) -> dict[str, float]:
        """The part of the scores that the server prints, in its order."""
        return {name: scores[name] for name in OfficialScores(self.names, self.bone).keys if name in scores}

    def table(self, scores: Mapping[str, float]) -> tuple[Cells, ...]:
        """Lines for `Evaluation`."""
        kinds = {"as it is": ("xyz", "mesh", "f_"), "aligned": (self.names.procrustes, "mesh_al", "f_al_")}
        if self.names.bone:
            kinds["wrist and bone"] = (self.names.bone, "", "")
        lines: list[Cells] = [("", "joints cm", "AUC", "mesh cm", "AUC", "F@5", "F@15")]
        for title, (xyz, mesh, f) in kinds.items():
            keys = [f"{xyz}_mean3d", f"{xyz}_auc3d", f"{mesh}_mean3d", f"{mesh}_auc3d", f"{f}score_5", f"{f}score_15"]
            lines.append((title, *(_cell(scores.get(key)) for key in keys)))
        proper = ("xyz_proper_al_mean3d", "", "mesh_proper_al_mean3d", "", "", "")
        lines.append(("aligned, no mirror", *(_cell(scores.get(key)) for key in proper)))
        return tuple(lines)

    def notes(self, scores: Mapping[str, float], samples: int) -> tuple[str, ...]:
        """How often the official alignment mirrored, where it did."""
        joints, meshes = (int(scores.get(f"mirrored_{what}", 0)) for what in ("joints", "meshes"))
        if not joints + meshes:
            return ()
        return (
            f"the official alignment mirrored {joints:,} skeletons and {meshes:,} meshes of {samples:,}; "
            '"no mirror" is what most papers print.',
        )

    def report(self, scores: dict[str, float], samples: int, what: str) -> Evaluation:
        """Scores as they are shown.

        Args:
            scores: From `scores`.
            samples: How many were scored.
            what: The first words of the title.
        """
        notes = self.notes(scores, samples)
        return Evaluation(f"{what}: {samples:,} samples", scores, self.table(scores), self.official(scores), notes)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
