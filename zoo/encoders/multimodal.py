"""Several conditioners side by side, with random masking while training."""

import torch
from torch import nn

from zoo.batch import Given
from zoo.condition import Condition, stack
from zoo.encoders.base import Conditioner
from zoo.encoders.image import ImageMapper
from zoo.encoders.masking import Masking
from zoo.encoders.skeleton import Skeleton2D, Skeleton3D


class HandConditioner(nn.Module):
    """Image, 2D skeleton and 3D skeleton, any of which may be absent.

    Args:
        image: Leaves images out when None.
        skeleton2d: Leaves 2D skeletons out when None.
        skeleton3d: Leaves 3D skeletons out when None.
        masking: Applied while training.
    """

    def __init__(
        self,
        image: ImageMapper | None = None,
        skeleton2d: Skeleton2D | None = None,
        skeleton3d: Skeleton3D | None = None,
        masking: Masking = Masking(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        parts = [part for part in (image, skeleton2d, skeleton3d) if part is not None]
        if not parts:
            raise ValueError("HandConditioner has no part: give --model.conditioner.skeleton3d, .skeleton2d or .image.")
        if len({part.dim for part in parts}) > 1:
            raise ValueError(f"The conditioners' dims differ: {[part.dim for part in parts]}. They share one --dim.")
        self.parts = nn.ModuleDict({part.name: part for part in parts})
        self.masking = masking

    @property
    def names(self) -> list[str]:
        """The conditions that it understands: of image, skeleton2d and skeleton3d."""
        return list(self.parts)

    def forward(self, given: Given, batch: int) -> Condition:
        """The condition of a batch, randomly masked while training."""
        device = next(self.parameters()).device
        keep = self.masking.keep(self.names, batch, device) if self.training else {}
        if self.training:
            given = self.masking.disturb(given)
        made = []
        for name, part in self.parts.items():
            if isinstance(part, ImageMapper) and self.training:
                made.append(part(given, batch, keep.get(name), self.masking.patches))
            else:
                made.append(part(given, batch, keep.get(name)))
        return stack(made)

    def null(self, batch: int) -> Condition:
        """The condition of rows about which nothing is known."""
        return stack([part.null(batch) for part in self.parts.values() if isinstance(part, Conditioner)])

    @torch.no_grad()
    def understands(self, given: Given) -> list[str]:
        """The conditions in `given` that will be used."""
        keys = {"skeleton3d": "joints", "skeleton2d": "joints2d", "image": "image"}
        return [name for name in self.names if keys[name] in given]
