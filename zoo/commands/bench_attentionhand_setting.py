"""What the speed cases of AttentionHand share: random weights, for nothing is to be downloaded, and rows of noise."""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.bases import Base
from zoo.encoders.latent_cache import LatentCache
from zoo.models.attentionhand import AttentionHand
from zoo.models.attentionhand_batch import Rows
from zoo.samplers.ddim import DDIM

TEXTS = (
    "A photo of an open left hand, tan skin, on a wooden table.",
    "A right fist, dark skin, holding a red cup, before a blue wall.",
    "A picture of a pointing right hand, light skin, on green cloth.",
    "A waving hand.",
)
RATE, SCALE, STEPS = 1e-6, 9.0, 20


def random_base(small: bool) -> Base:
    """A base of the embedded size, or of Stable Diffusion 1.5's, that has learned nothing."""
    torch.manual_seed(0)
    if small:
        from zoo.registry import create

        made: Any = create("tiny-sd")
        return Base(made.codec, made.text, made.unet, made.schedule)
    from zoo.denoisers.latent_unet import LatentUNet
    from zoo.diffusion import NoiseSchedule
    from zoo.encoders.clip_text import ClipText
    from zoo.encoders.codec import KLCodec

    parts = KLCodec(), ClipText(), LatentUNet(), NoiseSchedule("scaled_linear")
    return Base(*parts, hash="00" * 32)  # telling these weights from others would take longer than making them


@dataclass
class Setting:
    """What the cases share.

    Args:
        device: Where everything runs.
        batch: Rows of a training step.
        base: Made when it is needed.
        resolution: Of the attention maps that count.
        cached: Folder that keeps latents of training pictures; None codes them in every step.
    """

    device: torch.device
    batch: int = 4
    base: Callable[[], Base] = lambda: random_base(True)
    resolution: int = 8
    cached: Path | None = None

    @property
    def half(self) -> bool:
        """Whether bf16 pays."""
        return self.device.type == "cuda"

    @cached_property
    def parts(self) -> Base:
        """The base."""
        return self.base()

    def model(self, **options: Any) -> AttentionHand:
        """A model whose copy has left zero behind, so that it takes part; the same weights every time."""
        torch.manual_seed(1)
        made = AttentionHand(
            copy.deepcopy(self.parts), resolution=self.resolution, drop_text=0.0, sampler=DDIM(STEPS), **options
        )
        for layer in (*made.dual.guide.controlnet_down_blocks, made.dual.guide.controlnet_mid_block):
            torch.nn.init.normal_(layer.weight, std=0.02)
        made = made.to(self.device)
        if self.device.type == "cuda":
            made.dual.to(memory_format=torch.channels_last)
        if self.cached is not None:
            made.cache = LatentCache(self.cached, made.codec)
        return made

    def rows(self, size: int) -> tuple[Rows, list[str], Tensor, Tensor]:
        """Pictures of noise, texts, times and noise: what pictures show changes no time."""
        generator = torch.Generator().manual_seed(0)
        made = torch.rand(4, self.batch, 3, size, size, generator=generator).to(self.device)
        texts = [TEXTS[i % len(TEXTS)] for i in range(self.batch)]
        rows = Rows(texts, {"global": made[0], "local": made[1]}, {"global": made[2], "local": made[3]})
        t = torch.arange(self.batch) * 997 // self.batch + 2
        side = size // self.parts.codec.factor
        noise = torch.randn(2, self.batch, self.parts.codec.channels, side, side, generator=generator)
        return rows, texts, t.to(self.device), noise.to(self.device)

    def precision(self) -> AbstractContextManager[None]:
        """Bf16 where it pays."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)
