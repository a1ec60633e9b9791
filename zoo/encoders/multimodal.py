"""Several conditioners side by side, with random masking while training."""

from dataclasses import replace

import torch
from torch import nn

from zoo.batch import Given
from zoo.condition import Condition, stack
from zoo.encoders.base import Conditioner
from zoo.encoders.images import ImageConditioner
from zoo.encoders.masking import Masking
from zoo.encoders.skeleton import Skeleton2D, Skeleton3D
from zoo.shapes import Mask


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
        image: ImageConditioner | None = None,
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
        self.nothing = nn.Parameter(torch.zeros(parts[0].dim))  # the pooled vector of rows that have no condition

    @property
    def conditioners(self) -> list[Conditioner]:
        """Its parts."""
        return [part for part in self.parts.values() if isinstance(part, Conditioner)]

    @property
    def names(self) -> list[str]:
        """The conditions that it understands: of image, skeleton2d and skeleton3d."""
        return list(self.parts)

    def forward(self, given: Given, batch: int) -> Condition:
        """The condition of a batch, randomly masked while training; images that are left out are not computed."""
        keep = self.masking.keep(self.names, batch, self.device) if self.training else {}
        return self._together(self._parts(given, batch, keep))

    def each(self, given: Given, batch: int) -> dict[str, Condition]:
        """The condition of every part by name: disturbed and partly hidden while training, but none left out."""
        return self._parts(given, batch, {})

    def join(self, each: dict[str, Condition]) -> Condition:
        """One condition of all, some of which are left out while training.

        Args:
            each: As from the method of that name.
        """
        if self.training:
            rows = next(len(made.mask) for made in each.values() if made.mask is not None)
            keep = self.masking.keep(self.names, rows, self.device)
            each = {part.name: part.left_out(each[part.name], keep[part.name]) for part in self.conditioners}
        return self._together(each)

    def _together(self, each: dict[str, Condition]) -> Condition:
        """Tokens side by side; pooled vectors averaged, each as far as it is trusted."""
        weights, vectors = [], []
        for part in self.conditioners:
            mask, pooled = each[part.name].mask, each[part.name].pooled
            if mask is not None and pooled is not None:
                weights.append(torch.where(mask[:, 0], 0.0, part.trust.exp()))  # the first token is the null token
                vectors.append(pooled)
        weight = torch.stack(weights)[..., None]
        total = weight.sum(0)
        mean = (weight * torch.stack(vectors)).sum(0) / total.clamp_min(1e-9)
        pooled = torch.where(total > 0, mean, self.nothing.to(mean.dtype))
        return replace(stack(list(self._in_place(each).values())), pooled=pooled)

    def _in_place(self, each: dict[str, Condition]) -> dict[str, Condition]:
        """Hides the null tokens of parts that stand for one another.

        A denoiser that never met such a part is then told nothing new without it, and with it what the other part
        would have told.
        """
        each = dict(each)
        for part in self.conditioners:
            mine, other = each[part.name].mask, each.get(part.stands_for or "", Condition()).mask
            if part.stands_for is None or mine is None or other is None:
                continue
            absent, mine, other = mine[:, 0], mine.clone(), other.clone()
            mine[:, 0], other[:, 0] = False, other[:, 0] & absent
            each[part.name] = replace(each[part.name], mask=mine)
            each[part.stands_for] = replace(each[part.stands_for], mask=other)
        return each

    def _parts(self, given: Given, batch: int, keep: dict[str, Mask]) -> dict[str, Condition]:
        given = self.masking.disturb(given) if self.training else given
        made: dict[str, Condition] = {}
        for part in self.conditioners:
            if isinstance(part, ImageConditioner) and self.training:
                made[part.name] = part(given, batch, keep.get(part.name), self.masking.patches)
            else:
                made[part.name] = part(given, batch, keep.get(part.name))
        return made

    @property
    def device(self) -> torch.device:
        """Of its parameters."""
        return next(self.parameters()).device

    def null(self, batch: int) -> Condition:
        """The condition of rows about which nothing is known."""
        return self._together({part.name: part.null(batch) for part in self.conditioners})

    @torch.no_grad()
    def understands(self, given: Given) -> list[str]:
        """The conditions in `given` that will be used."""
        keys = {"skeleton3d": "joints", "skeleton2d": "joints2d", "image": "image"}
        return [name for name in self.names if keys[name] in given]
