"""Images to one token a joint: where the joint is, and what the image looks like there."""

import torch
from torch import Tensor, nn

from zoo.encoders.images import ImageConditioner, Marks, Shown, Sight, make_backbone
from zoo.encoders.residual import Residual
from zoo.hands.skeleton import SNAP_JOINTS
from zoo.shapes import Images


class JointImageMapper(ImageConditioner):
    """Finds every joint by a heat map, gathers features there, and lifts them together.

    Learns from few images where `ImageMapper`, the paper's, needs ImageNet's weights and long training: the places of
    the joints, which `Readout` supervises, carry most of the pose. After the integral regression of Sun et al.,
    "Integral Human Pose Regression", ECCV 2018.

    Args:
        dim: Channels per token.
        backbone: Any timm model with feature maps down to a 32nd of the image.
        pretrained: False for random weights, True to let timm fetch its ImageNet weights, or a local file
            (.safetensors, or .pth read with weights_only).
        size: Side of the image, pixels.
        width: Channels of the joined feature maps, an eighth of the image's side.
        waist: Channels of each joint's feature on its way to the lifting.
        hidden: Width of the lifting.
        depth: Its residual blocks.
    """

    grid: Tensor

    def __init__(
        self,
        dim: int = 128,
        backbone: str = "regnetx_002",
        pretrained: bool | str = False,
        size: int = 96,
        width: int = 96,
        waist: int = 16,
        hidden: int = 320,
        depth: int = 2,
    ) -> None:
        super().__init__(dim, size)
        if size % 32:
            raise ValueError(
                f"JointImageMapper(size={size}) needs a multiple of 32. "
                "Set --model.conditioner.image.size and --data.size to one."
            )
        self.backbone = make_backbone(backbone, pretrained, (2, 3, 4))
        channels = self.backbone.feature_info.channels()  # type: ignore[operator,union-attr]
        self.patches = (size // 32) ** 2
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.join = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width), nn.ReLU(),
        )  # fmt: skip
        self.heat = nn.Conv2d(width, len(SNAP_JOINTS), 1)
        self.whole = nn.Linear(channels[-1], hidden)
        self.feature = nn.Linear(width, waist)
        self.place = nn.Linear(len(SNAP_JOINTS) * (waist + 2), hidden)
        self.lift = nn.Sequential(*[Residual(hidden, 0.0) for _ in range(depth)], nn.LayerNorm(hidden))
        self.out = nn.Linear(hidden, dim)
        self.token = nn.Linear(width, dim)
        self.locate = nn.Linear(2, dim)
        side = size // 8
        line = (2 * torch.arange(side) + 1) / side - 1
        self.register_buffer("grid", torch.cartesian_prod(line, line).flip(-1), persistent=False)

    def encode(self, image: Images, shown: Shown | None = None, marks: Marks | None = None) -> Sight:
        if shown is not None:
            side = self.size // 32
            mask = shown(len(image), self.patches, image.device).view(-1, 1, side, side)
            image = image * nn.functional.interpolate(mask.to(image.dtype), size=(self.size, self.size))
        levels = self.backbone(image)
        fine = levels[0].shape[-2:]
        joined = sum(
            nn.functional.interpolate(lateral(level), size=fine, mode="nearest")
            for lateral, level in zip(self.lateral, levels, strict=True)
        )
        joined = self.join(joined)
        heat = self.heat(joined).float()
        maps = heat.flatten(2).softmax(-1).to(joined.dtype)
        places = maps @ self.grid.to(maps.dtype)
        found = maps @ joined.flatten(2).mT
        seen = torch.cat([self.feature(found), 2 * places], dim=-1).flatten(1)
        whole = self.out(self.lift(self.place(seen) + self.whole(levels[-1].mean((-2, -1)))))
        return Sight(torch.cat([whole[:, None], self.token(found) + self.locate(places)], dim=1), heat)
