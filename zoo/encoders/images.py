"""What conditioners that look at images have in common."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from torch import Tensor, nn

from zoo.batch import Given
from zoo.condition import Condition
from zoo.encoders.base import Conditioner
from zoo.shapes import Images, JointMask, Joints, Joints2D, Mask

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which the backbones were trained with

Shown = Callable[[int, int, torch.device], Tensor]


class Sight(NamedTuple):
    """What an image conditioner makes of m images.

    Args:
        tokens: (m, 1 + k, dim), the first of which is pooled.
        heat: (m, 21, h, w) logits of the joints' places.
        joints: (m, 21, 3) its own guess of the skeleton, relative to the wrist, in tenths of a metre.
    """

    tokens: Tensor
    heat: Tensor | None = None
    joints: Joints | None = None


class Marks(NamedTuple):
    """Where joints of m images are known to be.

    Args:
        places: (m, 21, 2) crop coordinates, -1 to 1.
        known: (m, 21) which of them are.
    """

    places: Joints2D
    known: JointMask


class ImageConditioner(Conditioner):
    """Packed square images to tokens.

    Args:
        dim: Channels per token.
        size: Side of the image, pixels.
    """

    name = "image"
    mean: Tensor
    std: Tensor

    def __init__(self, dim: int, size: int) -> None:
        super().__init__(dim)
        self.size = size
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(
        self,
        given: Given,
        batch: int,
        keep: Mask | None = None,
        shown: Shown | None = None,
    ) -> Condition:
        """As `Conditioner.forward`.

        Args:
            given: Its `image` is packed: only rows whose `has_image` is True. Outside of training, 2D joints in it mark
                where they are in the image: they are known better than a conditioner can find them.
            batch: Rows of the batch.
            keep: Rows whose image may be used.
            shown: (images, patches, device) -> mask of the patches that are shown; None shows all.
        """
        if "image" not in given or not len(given["image"]):
            return self.null(batch)
        image = given["image"]
        has = given.get("has_image", torch.ones(len(image), dtype=torch.bool, device=image.device))
        if keep is not None:
            image, has = image[keep[has]], has & keep  # images that would be dropped are not computed
            if not len(image):
                return self.null(batch)
        self.check(image)
        marks = None if self.training else _marks(given, has, len(image))
        seen = self.encode((image - self.mean) / self.std, shown, marks)
        tokens, heat, joints = (None if few is None else _spread(few, has) for few in seen)
        assert tokens is not None
        made = self.with_null(tokens, has[:, None].expand(-1, tokens.shape[1]), tokens[:, 0], has)
        return replace(made, heat=heat, joints=joints)

    @abstractmethod
    def encode(self, image: Images, shown: Shown | None = None, marks: Marks | None = None) -> Sight:
        """What m images show.

        Args:
            image: (m, 3, s, s), less the mean, over the deviation of ImageNet's pixels.
            shown: As for `forward`.
            marks: Joints whose places are known, for those who can use them.
        """

    def check(self, image: Images) -> None:
        """Refuses images of another size, whose patches would lie elsewhere."""
        if image.shape[-2:] != (self.size, self.size):
            height, width = image.shape[-2:]
            raise ValueError(
                f"{type(self).__name__}(size={self.size}) got {height}x{width} images. "
                f"Set --data.size {self.size} or --model.conditioner.image.size {height}."
            )


def _marks(given: Given, has: Mask, images: int) -> Marks | None:
    """The 2D joints of the rows that have an image."""
    if "joints2d" not in given:
        return None
    rows = (~has).byte().argsort(stable=True)[:images]  # as `has` would select them, but of a size known beforehand
    places = given["joints2d"][rows]
    known = given["joints2d_valid"][rows] if "joints2d_valid" in given else places.new_ones(places.shape[:2]).bool()
    return Marks(places, known)


def _spread(few: Tensor, has: Mask) -> Tensor:
    """Rows of the images among those of the batch, zeros elsewhere."""
    return few.new_zeros(len(has), *few.shape[1:]).masked_scatter(has.view(-1, *[1] * (few.ndim - 1)), few)


def make_backbone(
    name: str, pretrained: bool | str, levels: tuple[int, ...], options: Mapping[str, Any] | None = None
) -> nn.Module:
    """A timm model that returns feature maps.

    Args:
        name: Of the model.
        pretrained: False for random weights, True to let timm fetch its ImageNet weights, or a local file.
        levels: Which feature maps; -1 is the coarsest.
        options: More arguments of that model, such as its widths.
    """
    extra: dict[str, Any] = {"pretrained_cfg_overlay": {"file": pretrained}} if isinstance(pretrained, str) else {}
    extra |= options or {}
    if isinstance(pretrained, str) and not Path(pretrained).is_file():
        raise FileNotFoundError(
            f"--model.conditioner.image.pretrained {pretrained}: there is no such file. "
            f"Give the path of timm's {name} weights."
        )
    try:
        return timm.create_model(name, pretrained=bool(pretrained), features_only=True, out_indices=levels, **extra)
    except Exception as error:  # timm and the hub raise many kinds; what to do is the same
        if not pretrained:
            raise
        raise ValueError(
            f"timm could not load weights for {name} ({type(error).__name__}). Download them elsewhere and set "
            "--model.conditioner.image.pretrained FILE, or false for random weights."
        ) from error
