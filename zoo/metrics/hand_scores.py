"""Every measure of single hands at once."""

import math
import warnings

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric

from zoo.hands.skeleton import WRIST
from zoo.metrics.alignment import Alignments, both_alignments
from zoo.metrics.generation import Share
from zoo.metrics.geometry import (
    AUC,
    MPJPE,
    MPVPE,
    PAMPJPE,
    PAMPVPE,
    FScore,
    MeanDistance,
    distances,
    nearest,
    reliable,
    rows,
)
from zoo.shapes import JointMask, Joints, Mask, Vertices


class HandScores:
    """MPJPE, MPVPE, F-scores and AUC, wrist-aligned and (`pa_`) similarity-aligned; each alignment is computed once.

    FreiHAND's official alignment may mirror a hand. `pa_proper_` errors are those of rotations alone, whatever is
    asked for, and `mirrored_percent` and `mirrored_joints_percent` say for how many meshes and skeletons the best
    alignment is a reflection: where both are 0, the two customs agree.

    Args:
        allow_reflection: FreiHAND's official choice for all that begins with `pa_` alone; else as `pa_proper_`.
    """

    def __init__(self, allow_reflection: bool = True) -> None:
        self.allow_reflection = allow_reflection
        self.means: dict[str, MeanDistance] = {
            "mpjpe_mm": MPJPE(),
            "pa_mpjpe_mm": PAMPJPE(),
            "mpvpe_mm": MPVPE(),
            "pa_mpvpe_mm": PAMPVPE(),
            "pa_proper_mpjpe_mm": PAMPJPE(False),
            "pa_proper_mpvpe_mm": PAMPVPE(False),
        }
        self.f_scores = {f"{pa}f{mm}": FScore(mm, bool(pa)) for pa in ("", "pa_") for mm in (5, 15)}
        self.curves = {f"{pa}auc_joints": AUC(21, bool(pa)) for pa in ("", "pa_")}
        self.curves |= {f"{pa}auc_mesh": AUC(778, bool(pa)) for pa in ("", "pa_")}
        self.mirrored, self.mirrored_joints = Share(), Share()

    @property
    def metrics(self) -> dict[str, Metric]:
        mirrored = {"mirrored_percent": self.mirrored, "mirrored_joints_percent": self.mirrored_joints}
        return {**self.means, **self.f_scores, **self.curves, **mirrored}

    def to(self, device: torch.device) -> "HandScores":
        for metric in self.metrics.values():
            metric.to(device)
        return self

    def update(
        self,
        vertices: Vertices,
        joints: Joints,
        true_vertices: Vertices,
        true_joints: Joints,
        has_mesh: Mask,
        joints_valid: JointMask,
    ) -> None:
        """Adds one hand a row, metres, any origin: each side is taken relative to its own wrist joint."""
        wrist, true_wrist = joints[:, [WRIST]], true_joints[:, [WRIST]]
        vertices, joints = vertices - wrist, joints - wrist
        true_vertices, true_joints = true_vertices - true_wrist, true_joints - true_wrist
        rooted = joints_valid[:, WRIST]
        moved = both_alignments(joints, true_joints, joints_valid)
        enough = reliable(joints_valid)
        self.mirrored_joints.update(moved.mirrored[enough.any(-1)])
        self.means["pa_proper_mpjpe_mm"].add(distances(moved.proper, true_joints), enough)
        self._add("mpjpe_mm", "auc_joints", distances(joints, true_joints), joints_valid & rooted[:, None])
        self._add("pa_mpjpe_mm", "pa_auc_joints", distances(self._chosen(moved), true_joints), enough)

        kept = has_mesh.nonzero()[:, 0]  # before the search for neighbours, which costs most
        vertices, true_vertices, rooted = vertices[kept], true_vertices[kept], rooted[kept]
        aligned = both_alignments(vertices, true_vertices)
        every = torch.ones_like(rooted)
        self.mirrored.update(aligned.mirrored)
        self.means["pa_proper_mpvpe_mm"].add(distances(aligned.proper, true_vertices), rows(every, 778))
        for pa, found, valid in (("", vertices, rooted), ("pa_", self._chosen(aligned), every)):
            self._add(f"{pa}mpvpe_mm", f"{pa}auc_mesh", distances(found, true_vertices), rows(valid, 778))
            neighbours = nearest(found, true_vertices)
            for millimetres in (5, 15):
                self.f_scores[f"{pa}f{millimetres}"].add(*neighbours, valid)

    def _chosen(self, moved: Alignments) -> Float[Tensor, "b k 3"]:
        return moved.official if self.allow_reflection else moved.proper

    def _add(self, mean: str, curve: str, error: Float[Tensor, "b k"], valid: Bool[Tensor, "b k"]) -> None:
        self.means[mean].add(error, valid)
        self.curves[curve].add(error, valid)

    def compute(self) -> dict[str, float]:
        """Name to number over all processes; what no label allowed is left out."""
        return known({name: computed(metric) for name, metric in self.metrics.items()})

    def reset(self) -> None:
        for metric in self.metrics.values():
            metric.reset()


def computed(metric: Metric) -> float:
    """The number, NaN for none, without torchmetrics' warning that nothing was added: `add` is not `update`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The ``compute`` method of metric", UserWarning)
        return float(metric.compute())


def known(values: dict[str, float]) -> dict[str, float]:
    """Those that are numbers."""
    return {name: value for name, value in values.items() if not math.isnan(value)}
