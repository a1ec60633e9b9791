"""Every measure of single hands at once."""

import math
import warnings

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric

from zoo.hands.skeleton import WRIST
from zoo.metrics.alignment import procrustes
from zoo.metrics.geometry import (
    AUC,
    MPJPE,
    MPVPE,
    PAMPJPE,
    PAMPVPE,
    FScore,
    MeanDistance,
    Share,
    distances,
    nearest,
    reliable,
    rows,
)
from zoo.shapes import JointMask, Joints, Mask, Vertices


class HandScores:
    """MPJPE, MPVPE, F-scores and AUC, wrist-aligned and (`pa_`) similarity-aligned; each alignment is computed once.

    Args:
        allow_reflection: FreiHAND's official choice. `mirrored_percent` says how many meshes made use of it.
    """

    def __init__(self, allow_reflection: bool = True) -> None:
        self.allow_reflection = allow_reflection
        self.means: dict[str, MeanDistance] = {
            "mpjpe_mm": MPJPE(),
            "pa_mpjpe_mm": PAMPJPE(),
            "mpvpe_mm": MPVPE(),
            "pa_mpvpe_mm": PAMPVPE(),
        }
        self.f_scores = {f"{pa}f{mm}": FScore(mm, bool(pa)) for pa in ("", "pa_") for mm in (5, 15)}
        self.curves = {f"{pa}auc_joints": AUC(21, bool(pa)) for pa in ("", "pa_")}
        self.curves |= {f"{pa}auc_mesh": AUC(778, bool(pa)) for pa in ("", "pa_")}
        self.mirrored = Share()

    @property
    def metrics(self) -> dict[str, Metric]:
        return {**self.means, **self.f_scores, **self.curves, "mirrored_percent": self.mirrored}

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
        moved = procrustes(joints, true_joints, joints_valid, self.allow_reflection).points
        self._add("mpjpe_mm", "auc_joints", distances(joints, true_joints), joints_valid & rooted[:, None])
        self._add("pa_mpjpe_mm", "pa_auc_joints", distances(moved, true_joints), reliable(joints_valid))

        kept = has_mesh.nonzero()[:, 0]  # before the search for neighbours, which costs most
        vertices, true_vertices, rooted = vertices[kept], true_vertices[kept], rooted[kept]
        aligned = procrustes(vertices, true_vertices, None, self.allow_reflection)
        self.mirrored.update(aligned.mirrored)
        for pa, found, valid in (("", vertices, rooted), ("pa_", aligned.points, torch.ones_like(rooted))):
            self._add(f"{pa}mpvpe_mm", f"{pa}auc_mesh", distances(found, true_vertices), rows(valid, 778))
            neighbours = nearest(found, true_vertices)
            for millimetres in (5, 15):
                self.f_scores[f"{pa}f{millimetres}"].add(*neighbours, valid)

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
