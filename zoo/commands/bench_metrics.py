"""Measures against other ways to compute them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.commands.bench_harness import Case
from zoo.hands.model import HandModel
from zoo.metrics.intersection import self_intersections
from zoo.metrics.pairs import mean_pairwise_distance


def posed_hands(hands: int) -> tuple[Tensor, HandModel]:
    """Hands in recorded poses, bent further until about four percent of the faces intersect."""
    from zoo.hands.openhand import OpenHand
    from zoo.hands.poses import PosePrior
    from zoo.hands.rotations import axis_angle_to_matrix

    model, generator = OpenHand(), torch.Generator().manual_seed(4)
    fingers = PosePrior().sample(hands, generator).rotations
    bends = torch.randn(hands, 15, 3, generator=generator) * torch.tensor([0.2, 0.1, 0.5])
    rotations = torch.cat([torch.eye(3).expand(hands, 1, 3, 3), fingers @ axis_angle_to_matrix(bends)], dim=1)
    betas = torch.randn(hands, 10, generator=generator)
    return model(rotations, betas, torch.zeros(hands, 3)).vertices, model


def si_trimesh(hands: int = 32) -> Case:
    """Our sweep, and trimesh's R-tree over triangles with a vectorised exact test of the pairs that it finds."""
    from trimesh import triangles

    vertices, model = posed_hands(hands)
    faces = model.faces.numpy()
    points = vertices.double().numpy()

    def peer_mask(v: np.ndarray) -> np.ndarray:
        corners = v[faces]
        low, high = corners.min(1), corners.max(1)
        tree: Any = triangles.bounds_tree(corners)  # type: ignore[no-untyped-call]
        found, counts = tree.intersection_v(low, high)  # all queries at once, twice as fast as one by one
        first, second = np.repeat(np.arange(len(faces)), counts.astype(np.int64)), found.astype(np.int64)
        first, second = first[first < second], second[first < second]
        strangers = ~(faces[first][:, :, None] == faces[second][:, None]).any((1, 2))
        first, second = first[strangers], second[strangers]
        hits = np.zeros(len(faces), bool)
        meet = _pierce(corners[first], corners[second]) | _pierce(corners[second], corners[first])
        hits[first[meet]] = hits[second[meet]] = True
        return hits

    return _intersections("SI", vertices, model, lambda i: peer_mask(points[i]), "trimesh R-tree, vectorised test")


def si_fcl(hands: int = 32) -> Case:
    """Our sweep, and python-fcl's bounding volume tree of each mesh against itself, neighbours filtered."""
    import fcl

    vertices, model = posed_hands(hands)
    faces = model.faces.numpy()
    points = vertices.double().numpy()

    def peer_mask(v: np.ndarray) -> np.ndarray:
        tree: Any = fcl.BVHModel()
        tree.beginModel(len(v), len(faces))
        tree.addSubModel(v, faces)
        tree.endModel()
        result = fcl.CollisionResult()
        one, other = fcl.CollisionObject(tree), fcl.CollisionObject(tree)
        fcl.collide(one, other, fcl.CollisionRequest(num_max_contacts=10**6, enable_contact=True), result)
        pairs = np.array([(contact.b1, contact.b2) for contact in result.contacts]).reshape(-1, 2)
        strangers = ~(faces[pairs[:, 0]][:, :, None] == faces[pairs[:, 1]][:, None]).any((1, 2))
        hits = np.zeros(len(faces), bool)
        hits[pairs[strangers].ravel()] = True
        return hits

    return _intersections("SI", vertices, model, lambda i: peer_mask(points[i]), "python-fcl, contacts of a mesh")


def _intersections(name: str, vertices: Tensor, model: HandModel, peer_row: Any, peer_name: str) -> Case:
    def ours() -> Tensor:
        return self_intersections(vertices, model.faces)

    def peer() -> Tensor:
        return torch.from_numpy(np.stack([peer_row(i) for i in range(len(vertices))]))

    return Case(
        name, f"{len(vertices)} hands", ours, peer, peer_name,
        lambda: float((ours() != peer()).sum()), 0.0, len(vertices), "hands",
    )  # fmt: skip


def _pierce(s: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Whether an edge of triangles s (n, 3, 3) crosses the inside of triangles t."""
    normal = np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0])
    height = np.einsum("nkd,nd->nk", s - t[:, :1], normal)
    hit = np.zeros(len(s), bool)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        crosses = np.flatnonzero(height[:, a] * height[:, b] < 0)
        p, q, corners = s[crosses, a], s[crosses, b], t[crosses]
        sides = [
            np.einsum("nd,nd->n", np.cross(corners[:, i] - p, corners[:, (i + 1) % 3] - p), q - p) for i in range(3)
        ]
        inside = (np.sign(sides[0]) == np.sign(sides[1])) & (np.sign(sides[1]) == np.sign(sides[2]))
        hit[crosses[inside]] = True
    return hit


def apd(samples: int = 500) -> Case:
    """Our tiles, and a loop over rows in torch."""
    hands = 0.1 * torch.randn(samples, 778, 3, generator=torch.Generator().manual_seed(0))

    def peer() -> float:
        rows = [(hands[i + 1 :] - hands[i]).norm(dim=-1).mean(-1).sum() for i in range(samples - 1)]
        return float(torch.stack(rows).sum() / (samples * (samples - 1) / 2))

    return Case(
        "APD", f"{samples} hands", lambda: mean_pairwise_distance(hands), peer, "loop over rows in torch",
        lambda: abs(mean_pairwise_distance(hands) - peer()) / peer(), 1e-5,
    )  # fmt: skip
