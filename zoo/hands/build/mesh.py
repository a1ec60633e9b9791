"""OpenHand's template: the source decimated, evened out and skinned."""

from typing import NamedTuple

import numpy as np

from zoo.hands.build.decimate import cut_wrist, decimate
from zoo.hands.build.source import Array, Index, Source
from zoo.hands.build.surface import RoundSurface, closest, flip_edges, relax, vertex_normals

# Wished edge lengths by joint, relative: the palm can be coarse, what bends cannot.
COARSENESS = np.array([2.1, *[1.1, 1.0, 1.0] * 4, 1.6, 1.1, 1.0])
KNUCKLES = [1, 4, 7, 10]
FINGER_JOINTS = [2, 3, 5, 6, 8, 9, 11, 12, 14, 15]
LIMBS = ((1, 2, 3), (4, 5, 6), (7, 8, 9), (10, 11, 12), (13, 14, 15))  # index, middle, pinky, ring, thumb
LIMB_TIPS = (1, 2, 4, 3, 0)  # where each limb's tip is in thumb, index, middle, ring, pinky


class Skinned(NamedTuple):
    """A template hand at rest."""

    vertices: Array  # (778, 3)
    faces: Index  # (1538, 3)
    weights: Array  # (778, 16)
    joints: Array  # (16, 3)
    ends: Array  # (16, 3) the far end of each joint's bone; for the wrist the middle knuckle
    dorsal: Array  # (16, 3) unit vectors to the back of each bone
    tips: Index  # (5,) thumb, index, middle, ring, pinky


def build_mesh(source: Source) -> Skinned:
    """Template and skinning weights from the rig; vertices are ordered by the joint they follow."""
    opened = cut_wrist(source.vertices, source.faces)
    vertices, faces = decimate(source.vertices, opened, _spacing(source))
    face, share = closest(vertices, source.vertices, opened)
    palm = np.einsum("nk,nkj->nj", share, source.weights[opened[face]]) @ np.eye(16)[[0, 13]].T @ [1.0, 0.7]
    surface = RoundSurface(source.vertices, opened, vertex_normals(source.vertices, source.faces))
    for _ in range(3):  # fingers keep the rings of the source, which bend well
        faces = flip_edges(vertices, faces, palm > 0.35)
        vertices = relax(vertices, faces, surface, 0.1 + 0.3 * palm.clip(0, 1), steps=3)

    face, share = closest(vertices, source.vertices, opened)
    weights = np.einsum("nk,nkj->nj", share, source.weights[opened[face]])
    weights = four_largest(weights)
    order = np.lexsort((vertices[:, 1], -vertices[:, 0], weights.argmax(1)))
    vertices, weights, faces = vertices[order], weights[order], np.argsort(order)[faces]
    faces = np.array(sorted(np.roll(face, -int(face.argmin())).tolist() for face in faces))

    ends = np.zeros((16, 3))
    tips = np.zeros(5, dtype=np.int64)
    ends[0] = source.joints[4]
    for limb, tip in zip(LIMBS, LIMB_TIPS, strict=True):
        ends[list(limb)] = [source.joints[limb[1]], source.joints[limb[2]], source.tips[tip]]
        axis = source.tips[tip] - source.joints[limb[2]]
        reach = (vertices - source.joints[limb[2]]) @ axis
        tips[tip] = np.where(weights.argmax(1) == limb[2], reach, -np.inf).argmax()
    return Skinned(vertices, faces, weights, source.joints, ends, source.dorsal, tips)


def _spacing(source: Source) -> Array:
    def near(joints: list[int], radius: float) -> Array:
        distance = np.linalg.norm(source.vertices[:, None] - source.joints[joints], axis=-1).min(1)
        return np.exp(-((distance / radius) ** 2))

    return source.weights @ COARSENESS * (1 - 0.2 * near(FINGER_JOINTS, 0.009)) * (1 - 0.25 * near(KNUCKLES, 0.018))


def four_largest(weights: Array) -> Array:
    """Rows (v, 16) with their four largest entries only, summing to one; tiny entries go too."""
    limit = np.sort(weights, axis=1)[:, -4:-3]
    weights = np.where((weights >= limit) & (weights > 0.004), weights, 0.0)
    return weights / weights.sum(1, keepdims=True)
