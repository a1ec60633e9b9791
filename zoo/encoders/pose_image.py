"""Images to a skeleton, and the skeleton to the tokens that a 3D skeleton would give."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.encoders.images import ImageConditioner, Marks, Shown, Sight, make_backbone
from zoo.encoders.residual import Residual
from zoo.encoders.skeleton import Skeleton3D
from zoo.hands.skeleton import SNAP_JOINTS
from zoo.shapes import Images, Joints

MARKED = 0.1  # crop coordinates: how far from its given place what a joint looks like is gathered


class PoseImageMapper(ImageConditioner):
    """Finds every joint by a heat map, lifts all of them to 3D, and reads the result as a `Skeleton3D` does.

    A denoiser that knows 3D skeletons understands these images without any training: the mapper learns from
    `Readout` alone, which costs a small part of a denoising step. 2D joints that are given besides take the place of
    what the heat maps find, so that the two conditions agree. Heat maps after the integral regression of Sun et
    al., "Integral Human Pose Regression", ECCV 2018.

    Args:
        reader: Reads the guessed skeleton; `adopt` gives it the weights of a trained one.
        backbone: Any timm model with feature maps down to a 32nd of the image.
        options: More arguments of the backbone, such as its widths.
        pretrained: False for random weights, True to let timm fetch its ImageNet weights, or a local file
            (.safetensors, or .pth read with weights_only).
        size: Side of the image, pixels.
        seen: Side to which it is shrunk for the backbone, a multiple of 32; None leaves it as it is.
        width: Channels of the joined feature maps, a quarter of the side seen.
        waist: Channels of each joint's feature on its way to the lifting.
        hidden: Width of the lifting.
        depth: Its residual blocks.
        turns: Degrees by which the image is turned besides; outside of training the guess is the mean over all views.
    """

    stands_for = "skeleton3d"
    grid: Tensor

    def __init__(
        self,
        reader: Skeleton3D,
        backbone: str = "resnet10t",
        options: Mapping[str, Any] | None = None,
        pretrained: bool | str = False,
        size: int = 96,
        seen: int | None = None,
        width: int = 48,
        waist: int = 24,
        hidden: int = 320,
        depth: int = 2,
        turns: Sequence[float] = (),
    ) -> None:
        super().__init__(reader.dim, size)
        self.seen = size if seen is None else seen
        if self.seen % 32:
            raise ValueError(
                f"PoseImageMapper(size={size}, seen={seen}) needs a multiple of 32. "
                "Set --model.conditioner.image.seen, or .size together with --data.size, to one."
            )
        self.reader, self.turns = reader, [0.0, *turns]
        self.backbone = make_backbone(backbone, pretrained, (1, 2, 3, 4), options)
        channels = self.backbone.feature_info.channels()  # type: ignore[operator,union-attr]
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.join = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width), nn.ReLU(),
        )  # fmt: skip
        joints, cells = len(SNAP_JOINTS), (self.seen // 32) ** 2
        self.heat = nn.Conv2d(width, joints, 1)
        self.feature = nn.Linear(width, waist)
        self.place = nn.Linear(joints * (waist + 3), hidden)
        self.whole = nn.Linear(channels[-1] * cells, hidden)
        self.lift = nn.Sequential(*[Residual(hidden, 0.0) for _ in range(depth)], nn.LayerNorm(hidden))
        self.skeleton = nn.Linear(hidden, (joints - 1) * 3)
        side = self.seen // 4
        line = (2 * torch.arange(side) + 1) / side - 1
        self.register_buffer("grid", torch.cartesian_prod(line, line).flip(-1), persistent=False)

    def adopt(self, part: nn.Module) -> None:
        """Takes over how a trained `Skeleton3D` speaks to the denoiser, where it has the same shape."""
        if isinstance(part, Skeleton3D) and part.shape == self.reader.shape:
            self.reader.load_state_dict(part.state_dict())
            for name in ("kind", "null_token", "trust"):
                getattr(self, name).data.copy_(getattr(part, name))

    def encode(self, image: Images, shown: Shown | None = None, marks: Marks | None = None) -> Sight:
        if self.seen != self.size:
            image = nn.functional.interpolate(image, (self.seen, self.seen), mode="bilinear", antialias=True)
        if shown is not None:
            side = self.seen // 32
            mask = shown(len(image), side * side, image.device).view(-1, 1, side, side)
            image = image * nn.functional.interpolate(mask.to(image.dtype), size=image.shape[-2:])
        views = self.turns[:1] if self.training else self.turns
        black = -self.mean / self.std
        turned = [turn(image - black, math.radians(angle)) + black if angle else image for angle in views]
        turns = [around_z(math.radians(angle), self.grid) for angle in views]
        if marks is not None:
            marks = Marks(torch.cat([marks.places @ t[:2, :2].mT for t in turns]), marks.known.repeat(len(views), 1))
        heat, guesses = self.look(torch.cat(turned), marks)
        each = zip(turns, guesses.chunk(len(views)), strict=True)
        joints = torch.stack([guess @ t.to(guess) for t, guess in each]).mean(0)
        tokens = self.reader.tokens_of(joints, joints.new_ones(joints.shape[:2], dtype=torch.bool))
        return Sight(tokens, heat[: len(image)], joints)

    def look(self, image: Images, marks: Marks | None = None) -> tuple[Tensor, Joints]:
        """Heat maps and the guessed skeletons of images as the backbone takes them, around joints that are marked."""
        levels = self.backbone(image.contiguous(memory_format=torch.channels_last))
        joined = self.lateral[-1](levels[-1])
        for lateral, level in zip(self.lateral[-2::-1], levels[-2::-1], strict=True):
            joined = lateral(level) + nn.functional.interpolate(joined, size=level.shape[-2:], mode="nearest")
        joined = self.join(joined)
        heat = self.heat(joined).float()
        near = heat.flatten(2)
        if marks is not None:
            off = (marks.places[:, :, None].float() - self.grid).square().sum(-1) / (2 * MARKED**2)
            near = near - off.masked_fill(~marks.known[..., None], 0.0)
        maps = near.softmax(-1).to(joined.dtype)
        found = self.feature(maps @ joined.flatten(2).mT)
        places = maps @ self.grid.to(maps.dtype)
        if marks is not None:
            places = torch.where(marks.known[..., None], marks.places.to(places.dtype), places)
        seen = torch.cat([found, 2 * places, maps.amax(-1, keepdim=True)], dim=-1).flatten(1)
        lifted = self.lift(self.place(seen) + self.whole(levels[-1].flatten(1)))
        joints = torch.unflatten(self.skeleton(lifted).float(), 1, (-1, 3))
        return heat, nn.functional.pad(joints, (0, 0, 1, 0))


def turn(image: Images, angle: float) -> Images:
    """The same images with what they show turned clockwise about their middle, zero outside; radians."""
    turned = around_z(-angle, image)[:2]
    grid = nn.functional.affine_grid(turned.expand(len(image), 2, 3), list(image.shape), align_corners=False)
    return nn.functional.grid_sample(image, grid, align_corners=False)


def around_z(angle: float, like: Tensor) -> Tensor:
    """(3, 3) turn of columns (x right, y down, z) that looks clockwise; radians."""
    c, s = math.cos(angle), math.sin(angle)
    return like.new_tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
