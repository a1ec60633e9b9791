"""Hand models: rotations, shape and place to a mesh and its joints."""

import math
from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.hands.skeleton import LEFT, MANO_TIPS_TO_SNAP, RIGHT
from zoo.hands.skinning import Skin, exact_products
from zoo.hands.template import Template
from zoo.shapes import Betas, Joints, Rotations, Translation, Vertices

SideName = Literal["right", "left"]


class HandMesh(NamedTuple):
    """A posed hand, metres."""

    vertices: Vertices
    joints: Joints  # SNAP-21: the 16 joints of the kinematic tree and the five tip vertices


class HandModel(nn.Module, ABC):
    """MANO's function (Romero et al. 2017), whoever's numbers it runs on.

    Linear blend skinning with shape and pose blendshapes. The root turns about its own joint, not about the origin.
    None of the numbers is a parameter or is saved with a checkpoint.

    Args:
        template: The numbers.
        side: Which hand they are.
    """

    side: int  # 0 left, 1 right
    template: Float[Tensor, "778 3"]  # metres, flat, mean shape
    faces: Int[Tensor, "1538 3"]
    tips: tuple[int, ...]  # vertices: thumb, index, middle, ring, pinky
    joint_regressor: Float[Tensor, "21 778"]  # vertices to SNAP-21; the rows of the tips name one vertex
    parts: Int[Tensor, "778"]  # the joint (MANO-16) that moves each vertex most
    hands_mean: Float[Tensor, "45"]  # axis-angle, 15 finger joints in MANO order
    hands_components: Float[Tensor, "45 45"]  # rows, axis-angle
    shape_names: tuple[str, ...]  # of the ten shape directions

    @abstractmethod
    def __init__(self, template: Template, side: SideName) -> None:
        super().__init__()
        self.side = {"left": LEFT, "right": RIGHT}[side]
        self.tips = template.tips
        self.shape_names = template.shape_names
        regressor = np.concatenate((template.J_regressor, np.eye(778)[list(template.tips)]))[list(MANO_TIPS_TO_SNAP)]
        # Pose blendshapes read R, not R - I: what the identity would add is taken off the template once.
        posedirs = template.posedirs
        at_identity = posedirs.reshape(778, 3, 15, 9)[..., ::4].sum((-2, -1))
        constants = {
            "template": template.v_template,
            "bias": (template.v_template - at_identity).T.reshape(-1),
            "basis": np.concatenate((template.shapedirs, posedirs), -1).transpose(1, 0, 2).reshape(3 * 778, 145),
            "weights": template.weights / template.weights.sum(1, keepdims=True),
            "rest": (template.J_regressor @ template.v_template).reshape(48, 1),
            "rest_basis": np.einsum("jv,vck->jck", template.J_regressor, template.shapedirs).reshape(48, 10),
            "joint_regressor": regressor,
            "hands_mean": template.hands_mean,
            "hands_components": template.hands_components,
        }
        for name, value in constants.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.float32), persistent=False)
        self.register_buffer("faces", torch.tensor(template.f), persistent=False)
        self.register_buffer("parts", torch.tensor(template.weights.argmax(1)), persistent=False)
        self.register_buffer("_tips", torch.tensor(template.tips), persistent=False)
        self.register_buffer("_order", torch.tensor(MANO_TIPS_TO_SNAP), persistent=False)

    bias: Float[Tensor, "2334"]
    basis: Float[Tensor, "2334 145"]
    weights: Float[Tensor, "778 16"]
    rest: Float[Tensor, "48 1"]
    rest_basis: Float[Tensor, "48 10"]
    _tips: Int[Tensor, "5"]
    _order: Int[Tensor, "21"]

    def forward(self, rotations: Rotations, betas: Betas, transl: Translation) -> HandMesh:
        """Poses the hand; never in less than float32, whatever autocast says.

        Args:
            rotations: Root, then 15 finger joints in MANO order, relative to their parents; the identity is flat.
            betas: Shape, standard deviations.
            transl: Metres; moves everything.

        Returns:
            Vertices and joints, metres.
        """
        batch = rotations.shape[:-3]
        n = math.prod(batch)
        dtype = self.bias.dtype
        with exact_products(self.bias):
            rotations = rotations.to(dtype).reshape(n, 144)
            betas, transl = betas.to(dtype).reshape(n, 10), transl.to(dtype).reshape(n, 3)
            transforms, joints = self._chain(rotations, betas, transl)
            features = torch.cat((betas, rotations[:, 9:]), 1)
            vertices = Skin.apply(features, transforms, self.bias, self.basis, self.weights)
        joints = torch.cat((joints, vertices[:, self._tips]), 1)[:, self._order]
        return HandMesh(vertices.reshape(*batch, 778, 3), joints.reshape(*batch, 21, 3))

    def regress(self, vertices: Vertices) -> Joints:
        """The joints that a mesh implies: what FreiHAND and HHMR call joints.

        Args:
            vertices: Metres.

        Returns:
            Metres. They differ from `forward`'s by some millimetres in bent hands.
        """
        with exact_products(self.joint_regressor):
            return torch.matmul(self.joint_regressor, vertices.to(self.joint_regressor.dtype))

    def _chain(self, rotations: Tensor, betas: Tensor, transl: Tensor) -> tuple[Tensor, Tensor]:
        # All five fingers at once, one level after the other; the batch last, where sums over 3 are cheap.
        n = len(rotations)
        local = rotations.mT.contiguous().view(16, 3, 3, n)
        rest = torch.addmm(self.rest, self.rest_basis, betas.mT).view(16, 3, n)
        fingers, bases = local[1:].view(5, 3, 3, 3, n), rest[1:].view(5, 3, 3, n)
        turn, place, origin = local[:1], rest[:1], rest[:1]
        turns, places = [], []
        for level in range(3):
            place = place + _turn(turn, bases[:, level] - origin)
            turn = (turn.unsqueeze(-2) * fingers[:, level].unsqueeze(-4)).sum(-3)
            origin = bases[:, level]
            turns.append(turn)
            places.append(place)
        turn = torch.cat((local[:1], torch.stack(turns, 1).view(15, 3, 3, n)))
        place = torch.cat((rest[:1], torch.stack(places, 1).view(15, 3, n))) + transl.mT
        shift = place - _turn(turn, rest)
        transforms = torch.cat((turn, shift.unsqueeze(2)), 2).permute(3, 2, 1, 0).contiguous()
        return transforms, place.permute(2, 0, 1)


def _turn(rotation: Tensor, vector: Tensor) -> Tensor:
    return (rotation * vector.unsqueeze(-3)).sum(-2)
