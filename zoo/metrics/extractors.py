"""What turns pictures into features for FID and KID. Nothing here is ever downloaded."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.shapes import Images


class Extractor(nn.Module, ABC):
    """Pictures of any size to features. Fixed: it stays in evaluation mode and has no gradients."""

    name: str  # part of the name of every number that it is behind
    num_features: int
    side: int  # pixels of the square that it looks at; crops of hands are resized to it
    about: str  # what it is and what its numbers may be compared with

    @abstractmethod
    def forward(self, images: Images) -> Float[Tensor, "b d"]: ...

    def train(self, mode: bool = True) -> "Extractor":
        """Stays in evaluation mode, whatever the model around it does."""
        return super().train(False)


KEY = 5  # of the random numbers; another key is another extractor
WIDTHS = (24, 40, 56, 72)
GAINS = (6.0, 2.0, 2.0, 2.0)  # bring the features of photographs to about unit size
SHA256 = "4899b5c0cd6741587fb460078b3c138fcd9c3585fda42bf888e11920e7c2b6aa"  # of the weights; a test holds them to it


class ZooSmall(Extractor):
    """Random convolutions of four scales, pooled: needs no file, and its numbers mean nothing outside of this project.

    Four layers of 3x3 filters that are blind to brightness, a rectifier after each, the side halved between them. The
    features are mean and standard deviation over the picture of every channel of every layer, and of the colours.
    Random convolutions see texture, contrast, edges and colour, hardly what a picture shows: such numbers rank sets of
    pictures of the same kind, at an equal number of pictures, and compare with no published one.

    The weights come from Philox's raw integers, which NumPy keeps the same for ever, so that they are the same bits on
    every machine; sums may differ in their last digits.
    """

    name = "zoo-small"
    num_features = 2 * (3 + sum(WIDTHS))
    side = 128
    about = (
        "zoo-small: random fixed convolutions of ours, no learned weights. Not comparable with published numbers, only "
        "with others of the same extractor at the same number of pictures."
    )

    def __init__(self) -> None:
        super().__init__()
        source = np.random.Philox(key=KEY)
        for layer, (inputs, outputs) in enumerate(pairwise((3, *WIDTHS))):
            filters = _uniform(source, (outputs, inputs, 3, 3))
            filters -= filters.mean((1, 2, 3), keepdims=True)
            filters /= np.sqrt(np.square(filters).sum((1, 2, 3), keepdims=True))
            # Not persistent: they are part of the code, not of a checkpoint.
            self.register_buffer(f"filters{layer}", torch.from_numpy(filters.astype(np.float32)), persistent=False)
        self.eval()

    @property
    def sha256(self) -> str:
        """Of the weights' bytes."""
        found = hashlib.sha256()
        for filters in self.buffers():
            found.update(filters.cpu().numpy().tobytes())
        return found.hexdigest()

    @torch.no_grad()
    def forward(self, images: Images) -> Float[Tensor, "b d"]:
        """RGB in [0, 1] to features of about unit size."""
        with torch.autocast(images.device.type, enabled=False), torch.backends.cudnn.flags(allow_tf32=False):
            x = resized(images.float(), self.side)
            found = [x.mean((2, 3)), 4 * x.std((2, 3), correction=0)]
            for filters, gain in zip(self.buffers(), GAINS, strict=True):
                x = F.relu(gain * F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), filters))
                found += [x.mean((2, 3)), x.std((2, 3), correction=0)]
                x = F.avg_pool2d(x, 2)
            return torch.cat(found, 1)


def resized(images: Images, side: int) -> Float[Tensor, "b 3 s s"]:
    """Squares of `side` pixels, whatever the shape was: bicubic, with antialiasing, kept in [0, 1]."""
    if images.shape[-2:] == (side, side):
        return images
    return F.interpolate(images, (side, side), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def _uniform(source: np.random.Philox, shape: Sequence[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Numbers in [-1, 1), exactly the same ones everywhere."""
    raw = source.random_raw(int(np.prod(shape)))
    return (raw >> np.uint64(11)).astype(np.float64).reshape(tuple(shape)) * 2.0**-52 - 1
