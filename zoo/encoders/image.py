"""Images to tokens: a convolutional backbone, patches, and a ViT with a global token (HHMR section 4.3)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from zoo.batch import Given
from zoo.condition import Condition
from zoo.encoders.base import Conditioner
from zoo.shapes import Images, Mask

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which the backbones were trained with


class ImageMapper(Conditioner):
    """A global token and one token a patch of the backbone's last feature map.

    Args:
        dim: Channels per token.
        backbone: Any timm model with feature maps; the paper takes `resnet50`.
        pretrained: False for random weights, True to let timm fetch its ImageNet weights, or a local file
            (.safetensors, or .pth read with weights_only).
        size: Side of the image, pixels; fixes the number of patches.
        depth: ViT layers.
        heads: ViT attention heads.
        width: ViT channels.
        dropout: In the ViT.
    """

    name = "image"
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        dim: int = 512,
        backbone: str = "resnet50",
        pretrained: bool | str = False,
        size: int = 256,
        depth: int = 4,
        heads: int = 8,
        width: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(dim)
        self.backbone = _backbone(backbone, pretrained)
        info: Any = self.backbone.feature_info
        side = -(-size // info.reduction()[-1])
        self.size, self.patches = size, side * side
        self.project = nn.Linear(info.channels()[-1], width)
        self.position = nn.Parameter(0.02 * torch.randn(1 + self.patches, width))
        self.overall = nn.Parameter(0.02 * torch.randn(width))
        self.hidden = nn.Parameter(0.02 * torch.randn(width))  # stands for a masked patch
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True)
        self.vit = nn.TransformerEncoder(layer, depth, nn.LayerNorm(width), enable_nested_tensor=False)
        self.out = nn.Linear(width, dim)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(
        self,
        given: Given,
        batch: int,
        keep: Mask | None = None,
        shown: Callable[[int, int, torch.device], Tensor] | None = None,
    ) -> Condition:
        """As `Conditioner.forward`.

        Args:
            given: Its `image` is packed: only rows whose `has_image` is True.
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
        few = self.encode(image, shown)
        tokens = few.new_zeros(batch, *few.shape[1:]).masked_scatter(has[:, None, None], few)
        return self.with_null(tokens, has[:, None].expand(-1, tokens.shape[1]), tokens[:, 0], has)

    def encode(self, image: Images, shown: Callable[[int, int, torch.device], Tensor] | None = None) -> Tensor:
        """(m, 3, s, s) to (m, 1 + patches, dim)."""
        if image.shape[-2:] != (self.size, self.size):
            height, width = image.shape[-2:]
            raise ValueError(
                f"ImageMapper(size={self.size}) got {height}x{width} images. "
                f"Set --data.size {self.size} or --model.conditioner.image.size {height}."
            )
        feature = self.backbone((image - self.mean) / self.std)[-1]
        patches = self.project(feature.flatten(2).mT)
        if shown is not None:
            patches = torch.where(
                shown(len(patches), patches.shape[1], patches.device)[..., None], patches, self.hidden.to(patches.dtype)
            )
        overall = self.overall.to(patches.dtype).expand(len(patches), 1, -1)
        return self.out(self.vit(torch.cat([overall, patches], dim=1) + self.position.to(patches.dtype)))


def _backbone(name: str, pretrained: bool | str) -> nn.Module:
    extra: dict[str, Any] = {"pretrained_cfg_overlay": {"file": pretrained}} if isinstance(pretrained, str) else {}
    if isinstance(pretrained, str) and not Path(pretrained).is_file():
        raise FileNotFoundError(
            f"ImageMapper(pretrained={pretrained!r}): there is no such file. Give the path of timm's {name} weights."
        )
    try:
        return timm.create_model(name, pretrained=bool(pretrained), features_only=True, out_indices=(-1,), **extra)
    except Exception as error:  # timm and the hub raise many kinds; what to do is the same
        if not pretrained:
            raise
        raise ValueError(
            f"timm could not load weights for {name} ({type(error).__name__}). Download them elsewhere and set "
            "--model.conditioner.image.pretrained FILE, or false for random weights."
        ) from error
