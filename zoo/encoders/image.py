"""Images to tokens: a convolutional backbone, patches, and a ViT with a global token (HHMR section 4.3)."""

from typing import Any

import torch
from torch import nn

from zoo.encoders.images import ImageConditioner, Marks, Shown, Sight, make_backbone
from zoo.shapes import Images


class ImageMapper(ImageConditioner):
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
        super().__init__(dim, size)
        self.backbone = make_backbone(backbone, pretrained, (-1,))
        info: Any = self.backbone.feature_info
        side = -(-size // info.reduction()[-1])
        self.patches = side * side
        self.project = nn.Linear(info.channels()[-1], width)
        self.position = nn.Parameter(0.02 * torch.randn(1 + self.patches, width))
        self.overall = nn.Parameter(0.02 * torch.randn(width))
        self.hidden = nn.Parameter(0.02 * torch.randn(width))  # stands for a masked patch
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True)
        self.vit = nn.TransformerEncoder(layer, depth, nn.LayerNorm(width), enable_nested_tensor=False)
        self.out = nn.Linear(width, dim)

    def encode(self, image: Images, shown: Shown | None = None, marks: Marks | None = None) -> Sight:
        feature = self.backbone(image)[-1]
        patches = self.project(feature.flatten(2).mT)
        if shown is not None:
            patches = torch.where(
                shown(len(patches), patches.shape[1], patches.device)[..., None], patches, self.hidden.to(patches.dtype)
            )
        overall = self.overall.to(patches.dtype).expand(len(patches), 1, -1)
        return Sight(self.out(self.vit(torch.cat([overall, patches], dim=1) + self.position.to(patches.dtype))))
