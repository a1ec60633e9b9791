"""Pictures of the hands' meshes, bright on black: what AttentionHand is conditioned on."""

import torch

from datamodules.hand_models import faces_of
from datamodules.scene import HandModels
from zoo.hands.render import Lights, render
from zoo.hands.skeleton import LEFT, RIGHT
from zoo.shapes import Bool, Faces, Float, Intrinsics, RawImages, Tensor, Vertices

PORCELAIN = (0.93, 0.97, 0.98)
# No visible part is darker than 0.55 of white, so that a threshold at the middle finds all of a hand.
LAMPS = Lights(
    ambient=(0.6, 0.6, 0.6),
    directions=((0.0, 0.0, -1.0), (-0.5, -0.8, -0.4)),
    colors=((0.27, 0.27, 0.27), (0.15, 0.15, 0.15)),
    specular=0.0,
)


def drawable(vertices: Float[Tensor, "b 2 778 3"], has_mesh: Bool[Tensor, "b 2"], models: HandModels | None) -> bool:
    """Whether faces of these meshes are known; without MANO's files those of MANO are not."""
    return all(
        faces_of(vertices[has_mesh[:, side], side], models, side) is not None
        for side in (LEFT, RIGHT)
        if bool(has_mesh[:, side].any())
    )


def draw_meshes(
    vertices: Float[Tensor, "b 2 778 3"],
    has_mesh: Bool[Tensor, "b 2"],
    intrinsics: Intrinsics,
    size: int,
    models: HandModels | None,
) -> RawImages:
    """Both hands of every row in one picture, the nearer one in front.

    Args:
        vertices: Metres, camera frame; left, right.
        has_mesh: Which of them there are; at least one a row, and their faces are known (`drawable`).
        intrinsics: Pixels of the picture.
        size: Its side, pixels.
        models: Whose meshes they are; None for OpenHand's faces.
    """
    pictures = torch.zeros(len(vertices), 3, size, size, dtype=torch.uint8)
    for sides in ((LEFT,), (RIGHT,), (LEFT, RIGHT)):
        rows = (has_mesh == torch.tensor([side in sides for side in (LEFT, RIGHT)])).all(1).nonzero()[:, 0]
        if not len(rows):
            continue
        faces = [_faces(vertices[rows, side], models, side) + 778 * place for place, side in enumerate(sides)]
        meshes: Vertices = vertices[rows][:, list(sides)].flatten(1, 2)
        colors = torch.tensor(PORCELAIN).expand(1, meshes.shape[1], 3)
        drawn = render(meshes, torch.cat(faces), intrinsics[rows], (size, size), colors=colors, lights=LAMPS)
        pictures[rows] = drawn.color
    return pictures


def _faces(vertices: Vertices, models: HandModels | None, side: int) -> Faces:
    faces = faces_of(vertices, models, side)
    if faces is None:
        raise ValueError("The faces of these meshes are not known. Give the folder of MANO's files with --data.mano.")
    return faces
