"""The scores of FreiHAND's and HO3D's servers: names, units and averages as they print them.

Zimmermann et al. 2019, https://github.com/lmb-freiburg/freihand; Hampali et al. 2020,
https://github.com/shreyashampali/ho3d. Joints and meshes are aligned separately; the alignment may be a reflection.
"""

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.metrics.alignment import EPSILON, both_alignments
from zoo.metrics.geometry import AUC, FScore, MeanDistance, distances, rows
from zoo.metrics.hand_scores import computed, known
from zoo.metrics.neighbours import near
from zoo.shapes import Joints, Vertices

CENTIMETRES_A_MILLIMETRE = 0.1
F_MILLIMETRES = (5, 15)


class Names(NamedTuple):
    """What a server calls its alignments of joints; those of meshes are `mesh` and `mesh_al` for both.

    Args:
        procrustes: Joints after the similarity that fits best.
        bone: Joints after `scale_translation`, or None where there is no such score.
    """

    procrustes: str
    bone: str | None = None


FREIHAND = Names("xyz_al")
HO3D = Names("xyz_procrustes_al", "xyz_scale_trans_al")


@final
class MeanError(MeanDistance):
    """Mean distance in millimetres without any alignment; see `MeanDistance` for how it is averaged."""

    def update(self, predicted: Tensor, target: Tensor, valid: Tensor) -> None:
        self.add(distances(predicted, target), valid)


def scale_translation(
    predicted: Float[Tensor, "b k 3"], target: Float[Tensor, "b k 3"], root: int, end: int
) -> Float[Tensor, "b k 3"]:
    """HO3D's second alignment: a bone gets its true length, then the root its true place.

    Args:
        predicted: Metres.
        target: Metres, same order.
        root: Where the bone begins; HO3D takes the wrist, 0.
        end: Where it ends; HO3D takes the base of the middle finger, 4 in its own order.

    Returns:
        Metres. A prediction whose bone has no length is only moved, where the server's script divides by zero.
    """
    bone, true_bone = ((p[:, end] - p[:, root]).norm(dim=-1) for p in (predicted, target))
    scale = torch.where(bone > EPSILON, true_bone / bone.clamp_min(EPSILON), 1.0)[:, None, None]
    return (predicted - predicted[:, [root]]) * scale + target[:, [root]]


class OfficialScores:
    """A server's scores: errors in centimetres, averaged over samples for each point and then over points.

    Beside them stand those that later papers print, whose alignment is a proper rotation (`*_proper_al_mean3d`, cm),
    and how many skeletons and meshes the official alignment mirrored: where none, the two agree.

    Args:
        names: `FREIHAND` or `HO3D`.
        bone: Root and end, in the order of the joints, of the bone that `scale_translation` takes.
    """

    def __init__(self, names: Names = FREIHAND, bone: tuple[int, int] = (0, 4)) -> None:
        self.names = names
        self.bone = bone
        joints = ["xyz", names.procrustes, *([names.bone] if names.bone else [])]
        self.means = {name: MeanError(21) for name in joints} | {name: MeanError(778) for name in ("mesh", "mesh_al")}
        self.curves = {name: AUC(21) for name in joints} | {name: AUC(778) for name in ("mesh", "mesh_al")}
        self.f_scores = {f"f_{al}score_{mm}": FScore(mm) for mm in F_MILLIMETRES for al in ("", "al_")}
        self.proper = {"xyz_proper_al_mean3d": MeanError(21), "mesh_proper_al_mean3d": MeanError(778)}
        self.mirrored = {"mirrored_joints": 0, "mirrored_meshes": 0}
        self.samples = 0
        for metric in (*self.means.values(), *self.proper.values(), *self.f_scores.values()):
            metric.set_dtype(torch.float64)

    @property
    def keys(self) -> list[str]:
        """The official names, in the server's order."""
        pairs = [f"{name}_{measure}3d" for name in self.means for measure in ("mean", "auc")]
        return pairs + list(self.f_scores)

    def update(self, joints: Joints, vertices: Vertices, true_joints: Joints, true_vertices: Vertices) -> None:
        """Adds samples, metres, all in the same frame and the dataset's own joint order."""
        names, every = self.names, torch.ones(len(joints), dtype=torch.bool, device=joints.device)
        self.samples += len(joints)
        moved = both_alignments(joints, true_joints)
        self._add("xyz", joints, true_joints)
        self._add(names.procrustes, moved.official, true_joints)
        if names.bone:
            self._add(names.bone, scale_translation(joints, true_joints, *self.bone), true_joints)
        aligned = both_alignments(vertices, true_vertices)
        self._add("mesh", vertices, true_vertices)
        self._add("mesh_al", aligned.official, true_vertices)
        self.proper["xyz_proper_al_mean3d"].update(moved.proper, true_joints, rows(every, 21))
        self.proper["mesh_proper_al_mean3d"].update(aligned.proper, true_vertices, rows(every, 778))
        self.mirrored["mirrored_joints"] += int(moved.mirrored.sum())
        self.mirrored["mirrored_meshes"] += int(aligned.mirrored.sum())
        for al, found in (("", vertices), ("al_", aligned.official)):
            neighbours = near(found, true_vertices, max(F_MILLIMETRES) / 1000)
            for millimetres in F_MILLIMETRES:
                self.f_scores[f"f_{al}score_{millimetres}"].add(*neighbours, every)

    def _add(self, name: str, predicted: Float[Tensor, "b k 3"], target: Float[Tensor, "b k 3"]) -> None:
        valid = rows(torch.ones(len(target), dtype=torch.bool, device=target.device), target.shape[1])
        self.means[name].update(predicted, target, valid)
        self.curves[name].add(distances(predicted, target), valid)

    def compute(self) -> dict[str, float]:
        """The official scores by name, then ours; empty before the first sample."""
        if not self.samples:
            return {}
        found = {}
        for name, mean in self.means.items():
            found[f"{name}_mean3d"] = CENTIMETRES_A_MILLIMETRE * computed(mean)
            found[f"{name}_auc3d"] = computed(self.curves[name])
        found |= {name: computed(metric) for name, metric in self.f_scores.items()}
        found |= {name: CENTIMETRES_A_MILLIMETRE * computed(metric) for name, metric in self.proper.items()}
        return known(found) | {name: float(count) for name, count in self.mirrored.items()}


def scores_text(official: dict[str, float]) -> str:
    """The text of a server's `scores.txt`."""
    return "".join(f"{name}: {value:f}\n" for name, value in official.items())
