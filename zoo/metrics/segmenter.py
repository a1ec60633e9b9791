"""Which pixels of a picture are hand: a small network that learns it from OpenHand's pictures and masks.

For mask IoU and the data factory's quality gate. Arms, sleeves and held things are not hand; what they hide is not.
"""

from pathlib import Path

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.metrics.extractors import resized
from zoo.metrics.weights_file import WeightsFile, digest, fill
from zoo.shapes import Images

FORMAT = "hand-segmenter"
SHIPPED = Path(__file__).parent / "assets" / "hand-segmenter.safetensors"  # of plain OpenHand pictures


class HandSegmenter(nn.Module):
    """A U-Net: convolutions on five scales from half of its side down, and back up.

    Args:
        widths: Channels of each scale.
        side: Of the squares that it looks at, pixels; a multiple of 2 to the number of scales.
    """

    def __init__(self, widths: tuple[int, ...] = (12, 20, 28, 36, 36), side: int = 128) -> None:
        super().__init__()
        if side % 2 ** len(widths):
            raise ValueError(
                f"HandSegmenter(side={side}) has {len(widths)} scales. Give a multiple of {2 ** len(widths)}, or fewer "
                "widths."
            )
        self.widths, self.side = tuple(widths), side
        self.down = nn.ModuleList(
            _block(inputs, outputs, 2) for inputs, outputs in zip((3, *widths), widths, strict=False)
        )
        self.up = nn.ModuleList(
            _block(deep + shallow, shallow, 1) for deep, shallow in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        # Four answers a place, which the sight of its four pixels sharpens: cheaper than channels at full size.
        self.head = nn.Conv2d(widths[0] + 12, widths[0], 3, padding=1)
        self.out = nn.Conv2d(widths[0], 4, 3, padding=1)

    def forward(self, images: Images) -> Float[Tensor, "b s s"]:
        """RGB in [0, 1] of any size to logits at the network's own side; above 0 is hand."""
        x = picture = 2 * resized(images, self.side) - 1
        levels = []
        for block in self.down:
            x = block(x)
            levels.append(x)
        for block, level in zip(self.up, levels[-2::-1], strict=True):
            x = block(torch.cat((F.interpolate(x, scale_factor=2.0, mode="bilinear"), level), 1))
        x = F.silu(self.head(torch.cat((x, F.pixel_unshuffle(picture, 2)), 1)))
        return F.pixel_shuffle(self.out(x), 2)[:, 0]

    @torch.no_grad()
    def masks(self, images: Images, threshold: float = 0.5) -> Bool[Tensor, "b h w"]:
        """The hand's pixels, at the pictures' own size.

        Args:
            images: RGB in [0, 1].
            threshold: Least probability.
        """
        if self.training:
            raise ValueError("HandSegmenter.masks needs evaluation mode, for its answers would move with the batch.")
        logits = self(images)[:, None]
        size = list(images.shape[-2:])
        if size != list(logits.shape[-2:]):
            logits = F.interpolate(logits, size, mode="bilinear", antialias=True)
        return (logits.sigmoid() > threshold)[:, 0]

    def save(self, path: str | Path) -> str:
        """Writes weights and sizes as safetensors; returns the file's sha256."""
        about = {"format": FORMAT, "widths": " ".join(map(str, self.widths)), "side": str(self.side)}
        save_file({name: value.contiguous().cpu() for name, value in self.state_dict().items()}, path, about)
        return digest(Path(path))

    @classmethod
    def load(cls, path: str | Path = SHIPPED) -> "HandSegmenter":
        """Builds the network of a file that `save` wrote, in evaluation mode.

        Args:
            path: The file; the weights that come with the project without. Those learned 4,000 steps of 16 plain
                pictures of OpenHand and find hands of held-out ones with a mean IoU of 0.85.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is not there. Train one: python -m zoo.commands.segmenter --root DIR --out {path}"
            )
        try:
            with safe_open(path, "pt") as file:
                about = file.metadata() or {}
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except SafetensorError as error:
            raise ValueError(
                f"{path} is not a whole .safetensors file ({error}): cut short, or another kind of file. Copy it "
                "again, or train one: python -m zoo.commands.segmenter --help"
            ) from error
        if about.get("format") != FORMAT:
            raise ValueError(f"{path} holds no hand segmenter. Train one: python -m zoo.commands.segmenter --help")
        made = cls(tuple(int(width) for width in about["widths"].split()), int(about["side"]))
        fill(made, WeightsFile(state, ""), path, "the segmenter's file")
        return made.eval()


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Two convolutions, the first of which may halve the side."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.SiLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.SiLU(),
    )  # fmt: skip
