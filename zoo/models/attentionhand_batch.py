"""The rows of a batch of scenes that AttentionHand learns from."""

from dataclasses import dataclass

from torch import Tensor

from zoo.batch import SceneBatch
from zoo.denoisers.dual_unet import Branch
from zoo.shapes import Images


@dataclass(frozen=True)
class Rows:
    """Scenes with a picture and a picture of their meshes, whole and cut out.

    Args:
        texts: A row each.
        pictures: By branch, (b, 3, s, s).
        meshes: By branch, (b, 3, s, s).
    """

    texts: list[str]
    pictures: dict[Branch, Images]
    meshes: dict[Branch, Images]


def both_pictures(batch: SceneBatch) -> Rows:
    """The rows that have a picture and a mesh.

    Raises:
        ValueError: there are none.
    """
    both = batch["has_image"] & batch["has_mesh_image"]
    if not bool(both.any()):
        raise ValueError(
            f"None of the {len(both)} scenes of this batch has a picture and a mesh, which AttentionHand learns from. "
            "Give data that has both: --data.images true, --data.mano for datasets with MANO's parameters."
        )
    pictured, meshed = (both[has] for has in (batch["has_image"], batch["has_mesh_image"]))  # of the packed rows
    return Rows(
        [text for text, yes in zip(batch["text"], both.tolist(), strict=True) if yes],
        {"global": batch["image"][pictured], "local": batch["image_local"][pictured]},
        {"global": batch["mesh"][meshed], "local": batch["mesh_local"][meshed]},
    )


def first_rows(rows: Rows, count: int) -> Rows:
    """The first few."""

    def few(parts: dict[Branch, Tensor]) -> dict[Branch, Tensor]:
        return {name: part[:count] for name, part in parts.items()}

    return Rows(rows.texts[:count], few(rows.pictures), few(rows.meshes))
