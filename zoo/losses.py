"""The five losses of HHMR (section 4.4), one function each, averaged over rows and entries."""

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.shapes import Faces, Mask, Points, Scalar


def l1(predicted: Tensor, target: Tensor) -> Scalar:
    """Mean absolute difference: L_data on the normalised signal, L_V on vertices, L_J on joints."""
    return (predicted - target).abs().mean()


def face_normals(vertices: Points, faces: Faces) -> Tensor:
    """Unit normals (b, f, 3), outward for counter-clockwise faces."""
    a, b, c = vertices[..., faces, :].unbind(-2)
    return torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1, eps=1e-12)


def face_edges(vertices: Points, faces: Faces) -> Tensor:
    """The three edges of every face (b, f, 3 edges, 3)."""
    corners = vertices[..., faces, :]
    return corners.roll(-1, dims=-2) - corners


def normal_loss(predicted: Points, target: Points, faces: Faces) -> Scalar:
    """How far predicted edges, as directions, stand out of the true face's plane: 0 flat, 1 upright."""
    edges = torch.nn.functional.normalize(face_edges(predicted, faces), dim=-1, eps=1e-12)
    normals = face_normals(target, faces)
    return (edges * normals[..., None, :]).sum(-1).abs().mean()


def edge_loss(predicted: Points, target: Points, faces: Faces) -> Scalar:
    """Mean absolute difference of edge lengths, in the unit of the vertices. Inner edges count once a face."""
    return (edge_lengths(predicted, faces) - edge_lengths(target, faces)).abs().mean()


def edge_lengths(vertices: Points, faces: Faces) -> Tensor:
    """(b, f, 3); the tiny constant keeps the gradient of a collapsed edge finite."""
    return (face_edges(vertices, faces).square().sum(-1) + 1e-16).sqrt()


@dataclass(frozen=True)
class MeshLosses:
    """Weights of the five losses; the paper names the losses and publishes no weight.

    Lengths are divided by the scale of the normalised signal, so that the weights compare.

    Args:
        data: On the normalised signal.
        vertex: On vertices. The same residual as `data` where the signal is the mesh; kept apart as in the paper.
        joint: On joints regressed from the mesh.
        normal: On edges against true face normals.
        edge: On edge lengths.
        edge_start: Training step at which the edge loss begins.
    """

    data: float = 1.0
    vertex: float = 1.0
    joint: float = 1.0
    normal: float = 0.1
    edge: float = 1.0
    edge_start: int = 0

    def __call__(
        self, predicted: Points, target: Points, regressor: Tensor, faces: Faces, rows: Mask, step: int
    ) -> dict[str, Scalar]:
        """Each weighted loss by name; `predicted` and `target` are normalised, `rows` have a true mesh."""
        predicted, target = predicted[rows].float(), target[rows].float()
        if not len(target):
            return {"data": predicted.sum()}
        residual = l1(predicted, target)
        losses = {"data": self.data * residual, "vertex": self.vertex * residual}
        if self.joint:
            losses["joint"] = self.joint * l1(regressor @ predicted, regressor @ target)
        if self.normal:
            losses["normal"] = self.normal * normal_loss(predicted, target, faces)
        if self.edge and step >= self.edge_start:
            losses["edge"] = self.edge * edge_loss(predicted, target, faces)
        return losses
