"""The labels of whole scenes as arrays: hands by side, zeros and a False where there is none."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.framing import Box
from datamodules.hand_models import pose_hands
from datamodules.scene import FloatArray, HandModels, ManoPose, Scene
from zoo.hands.camera import project
from zoo.hands.render import NEAR
from zoo.shapes import Tensor


class SceneLabels:
    """Labels of a batch of scenes, pixels and cameras still those of their pictures.

    Attributes:
        vertices: (b, 2, 778, 3) metres, posed where only parameters were given and their model is known.
        has_mesh: (b, 2).
        joints: (b, 2, 21, 3) metres; those of the mesh where it was posed.
        joints_valid: (b, 2, 21).
        joints2d: (b, 2, 21, 2) pixels; projected where they were not given.
        joints2d_valid: (b, 2, 21).
        rotations: (b, 2, 16, 3) axis-angle, radians, absolute.
        betas: (b, 2, 10).
        transl: (b, 2, 3) metres.
        has_pose: (b, 2).
        intrinsics: (b, 3, 3) pixels.

    Args:
        scenes: At least one.
        models: Whose parameters they have.
    """

    def __init__(self, scenes: Sequence[Scene], models: HandModels | None) -> None:
        b = len(scenes)
        self.vertices, self.has_mesh = torch.zeros(b, 2, 778, 3), _never(b, 2)
        self.joints, self.joints_valid = torch.zeros(b, 2, 21, 3), _never(b, 2, 21)
        self.joints2d, self.joints2d_valid = torch.zeros(b, 2, 21, 2), _never(b, 2, 21)
        self.rotations, self.betas, self.transl = torch.zeros(b, 2, 16, 3), torch.zeros(b, 2, 10), torch.zeros(b, 2, 3)
        self.has_pose = _never(b, 2)
        self.intrinsics = torch.from_numpy(np.stack([scene.intrinsics for scene in scenes]).astype(np.float32))
        given2d = _never(b, 2)
        unposed: list[tuple[int, int, ManoPose]] = []
        for i, scene in enumerate(scenes):
            for side, hand in scene.hands.items():
                if hand.vertices is not None:
                    self.vertices[i, side], self.has_mesh[i, side] = _tensor(hand.vertices), True
                if hand.joints is not None:
                    known = _mask(hand.joints_valid)
                    self.joints[i, side] = _where(known, hand.joints)
                    self.joints_valid[i, side] = known
                if hand.joints2d is not None:
                    known = _mask(hand.joints2d_valid)
                    self.joints2d[i, side] = _where(known, hand.joints2d)
                    self.joints2d_valid[i, side], given2d[i, side] = known, True
                if hand.pose is not None:
                    self.rotations[i, side] = _tensor(hand.pose.rotations)
                    self.betas[i, side], self.transl[i, side] = _tensor(hand.pose.betas), _tensor(hand.pose.transl)
                    self.has_pose[i, side] = True
                    unposed += [(i, side, hand.pose)] if hand.vertices is None else []
        if unposed and models is not None:
            rows, sides, poses = (list(column) for column in zip(*unposed, strict=True))
            self.vertices[rows, sides], self.joints[rows, sides] = pose_hands(models, sides, poses)
            self.has_mesh[rows, sides], self.joints_valid[rows, sides] = True, True
        ahead = self.joints_valid & (self.joints[..., 2] > NEAR)
        shown = torch.where(ahead[..., None], self.joints, self.joints.new_tensor((0.0, 0.0, 1.0)))
        projected = project(shown, self.intrinsics[:, None]) * ahead[..., None]
        self.joints2d = torch.where(given2d[..., None, None], self.joints2d, projected)
        self.joints2d_valid = torch.where(given2d[..., None], self.joints2d_valid, ahead)

    def seen(self, i: int, scene: Scene, margin: float) -> Box | None:
        """The tight box, in edges, of all that is known of the hands inside of a picture; None where nothing is.

        Args:
            i: Row.
            scene: It.
            margin: What a hand's own box has around the hand.
        """
        height, width = scene.size
        points = [self.joints2d[i][self.joints2d_valid[i]]]
        if bool(self.has_mesh[i].any()):
            mesh = self.vertices[i][self.has_mesh[i]].flatten(0, 1)
            front = mesh[mesh[:, 2] > NEAR]
            points.append(project(front, self.intrinsics[i]))
        for side, hand in scene.hands.items():
            if hand.box is not None and not bool(self.has_mesh[i, side]):  # a few joints say less than it
                low, high = _tensor(hand.box).view(2, 2)
                half = (high - low) / (2 * margin)
                middle = ((low + high) / 2).clamp(torch.zeros(2), torch.tensor([width - 1.0, height - 1.0]))
                corners = torch.stack((middle - half, middle + half))
                points.append(corners.clamp(torch.tensor(-0.5), torch.tensor([width - 0.5, height - 0.5])))
        edges = torch.cat(points) + 0.5
        inside = ((edges >= 0) & (edges <= edges.new_tensor([width, height]))).all(-1)
        if not bool(inside.any()):
            return None
        (left, top), (right, bottom) = edges[inside].amin(0).tolist(), edges[inside].amax(0).tolist()
        return left, top, right, bottom

    def of(self, i: int, scene: Scene) -> tuple[dict[int, FloatArray | None], dict[int, FloatArray]]:
        """Joints by side, None where not all are known, and meshes by side, of one scene."""
        whole = self.joints_valid[i].all(-1).tolist()
        joints = {side: self.joints[i, side].numpy() if whole[side] else None for side in scene.hands}
        return joints, {side: self.vertices[i, side].numpy() for side in scene.hands if self.has_mesh[i, side]}


def _never(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.bool)


def _mask(mask: NDArray[np.bool_] | None) -> Tensor:
    return torch.ones(21, dtype=torch.bool) if mask is None else torch.from_numpy(np.asarray(mask, np.bool_))


def _where(mask: Tensor, values: FloatArray) -> Tensor:
    return torch.where(mask[:, None], _tensor(values), torch.zeros(()))  # what is not labelled may be anything, NaN too


def _tensor(values: FloatArray) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))
