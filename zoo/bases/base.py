"""What a latent diffusion method starts from."""

import hashlib
from dataclasses import dataclass, field

import torch
from torch import nn

from zoo.denoisers.latent_unet import LatentUNet
from zoo.diffusion import NoiseSchedule
from zoo.encoders.clip_text import ClipText
from zoo.encoders.codec import LatentCodec


@dataclass(frozen=True)
class Base:
    """A text-to-image model: in evaluation mode, on the CPU, in float32.

    Args:
        codec: Between pictures and latents.
        text: Prompts to tokens.
        unet: Predicts the noise in latents.
        schedule: Of that noise.
        hash: Says which weights these are; see `identity`.
    """

    codec: LatentCodec
    text: ClipText
    unet: LatentUNet
    schedule: NoiseSchedule
    hash: str = field(default="")

    def __post_init__(self) -> None:
        for part in (self.codec, self.text, self.unet):
            part.eval()
        if not self.hash:
            object.__setattr__(self, "hash", identity(self))


def identity(base: Base) -> str:
    """SHA-256 of the weights of U-Net, codec and text encoder.

    Values count as they are in float16, in the order of their names here. So a base has one hash in whatever layout
    it comes, whether in single precision or rounded to half, and on any machine.

    Args:
        base: Whose weights count.
    """
    digest = hashlib.sha256()
    parts: dict[str, nn.Module] = {"codec": base.codec, "text": base.text, "unet": base.unet}
    for part, module in parts.items():
        for name, value in sorted(module.state_dict().items()):
            digest.update(repr((part, name, tuple(value.shape))).encode())
            digest.update(value.detach().cpu().to(torch.float16).contiguous().numpy().data)
    return digest.hexdigest()
