"""The joint regressor: joints as averages of nearby skin, at rest, in every shape and, closely, in every bend."""

import numpy as np
from scipy.optimize import nnls
from scipy.spatial.transform import Rotation

from zoo.hands.build.correct import bone_frame
from zoo.hands.build.mesh import Skinned
from zoo.hands.build.shape import Shapes, bone_axes
from zoo.hands.build.source import Array, Index
from zoo.hands.skeleton import MANO_PARENTS

BENDS = (30.0, 60.0, 90.0)  # degrees of flexion in which a joint should be found as well
THUMB_BENDS = (-20.0, 20.0, 40.0)  # at the thumb's base
# How much it counts to be off at rest, at three standard deviations of a shape, in a bend; and to lean on few vertices.
REST, SHAPE, BEND, FEW = 1.0, 3.0, 0.25, 0.5


def build_regressor(hand: Skinned, shapes: Shapes, correctives: Array) -> Array:
    """Non-negative weights (16, 778), rows sum to one.

    Args:
        hand: The template.
        shapes: How the ten directions move skin and joints.
        correctives: Pose correctives (778, 3, 135), which move the skin of bent joints.
    """
    regressor = np.zeros((16, len(hand.vertices)))
    for joint in range(16):
        ring = _ring(hand, joint)
        bends = () if joint == 0 else THUMB_BENDS if joint == 13 else BENDS
        rows = [REST * (hand.vertices - hand.joints[joint])[ring].T]
        rows += [SHAPE * (shapes.vertices[ring, :, k] - shapes.joints[joint, :, k]).T for k in range(10)]
        rows += [BEND * (_bent(hand, correctives, joint, bend) - hand.joints[joint])[ring].T for bend in bends]
        offsets = 1000 * np.concatenate(rows)  # millimetres
        system = np.concatenate([offsets, FEW * np.eye(len(ring)), np.full((1, len(ring)), 1000.0)])
        share, _ = nnls(system, np.append(np.zeros(len(system) - 1), 1000.0))
        regressor[joint, ring] = np.where(share > 1e-4, share, 0.0)
    return regressor / regressor.sum(1, keepdims=True)


def _ring(hand: Skinned, joint: int) -> Index:
    """Vertices (n,) around the joint that follow its bone or a neighbouring one."""
    parent = MANO_PARENTS[joint]
    away = hand.vertices - hand.joints[joint]
    bone = bone_axes(hand)[max(parent, 0)] + bone_axes(hand)[joint]
    nearness = np.abs(away @ bone) / np.linalg.norm(bone) + 0.3 * np.linalg.norm(away, axis=1)
    family = [j for j in range(16) if j in (joint, parent) or (joint > 0 and MANO_PARENTS[j] == joint)]
    nearness[hand.weights[:, family].sum(1) < 0.75] = np.inf
    return np.argsort(nearness, kind="stable")[: 60 if parent <= 0 else 48]


def _bent(hand: Skinned, correctives: Array, joint: int, degrees: float) -> Array:
    """Vertices (778, 3) with one joint flexed."""
    turn = Rotation.from_rotvec(bone_frame(hand, joint)[:, 0] * np.radians(degrees)).as_matrix()
    entries = correctives.reshape(-1, 3, 15, 9)[:, :, joint - 1]
    rest = hand.vertices + entries @ (turn - np.eye(3)).ravel() - hand.joints[joint]
    share = hand.weights[:, joint : joint + 3 - (joint - 1) % 3].sum(1, keepdims=True)
    return hand.joints[joint] + (1 - share) * rest + share * (rest @ turn.T)
