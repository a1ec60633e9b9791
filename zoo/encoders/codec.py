"""Codecs: between pictures and the small latents in which a diffusion model works."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoo.fingerprint import fingerprint
from zoo.shapes import Images, Latents, Scalar

Generators = torch.Generator | Sequence[torch.Generator] | None


class Posterior(NamedTuple):
    """A normal distribution of latents, before they are scaled."""

    mean: Latents
    log_variance: Latents


class Reconstruction(NamedTuple):
    """What training a codec looks at."""

    images: Images  # RGB around [0, 1], not clamped
    penalty: Scalar  # of the latents


class LatentCodec(nn.Module, ABC):
    """Pictures to latents of about unit variance, and back.

    Args:
        channels: Of the latents.
        factor: Sides of the picture over sides of the latents.
        scale: Factor on the network's latents that gives them unit variance.
        slicing: Whether pictures go through the network one by one, which takes less memory.
    """

    def __init__(self, channels: int, factor: int, scale: float, slicing: bool) -> None:
        super().__init__()
        self.channels, self.factor, self.scale, self.slicing = channels, factor, scale, slicing

    @abstractmethod
    def encode(self, images: Images, generator: Generators = None) -> Latents:
        """Latents of pictures, scaled.

        Args:
            images: Sides are multiples of `factor`.
            generator: Draws them, one for all rows or one for each; None takes the most likely ones.
        """

    @abstractmethod
    def decode(self, latents: Latents) -> Images:
        """Pictures of scaled latents."""

    @abstractmethod
    def reconstruct(self, images: Images, generator: Generators = None) -> Reconstruction:
        """Pictures coded and decoded as in training, with gradients, and the penalty on their latents.

        Args:
            images: Sides are multiples of `factor`.
            generator: Draws the latents; the global one when None.
        """

    def fingerprint(self) -> str:
        """SHA-256 of the weights and the scale."""
        return fingerprint(self, self.scale)

    def _sliced(self, images: Images) -> tuple[Tensor, ...]:
        height, width = images.shape[-2:]
        if height % self.factor or width % self.factor:
            raise ValueError(
                f"Pictures of {width} x {height} pixels cannot be coded: both sides must be multiples of {self.factor}."
                " Set --data.size to one."
            )
        return torch.split(2 * images - 1, 1 if self.slicing else max(len(images), 1))


class KLCodec(LatentCodec):
    """The variational autoencoder of latent diffusion (Rombach et al. 2022); the defaults are Stable Diffusion's.

    Args:
        widths: Channels on each level; each level but the last halves the sides.
        layers: Residual blocks a level of the encoder; the decoder has one more.
        channels: Of the latents.
        groups: Of the normalisations.
        scale: One over the standard deviation of the network's latents.
        slicing: Whether pictures go through the network one by one, which takes less memory.
    """

    def __init__(
        self,
        widths: Sequence[int] = (128, 256, 512, 512),
        layers: int = 2,
        channels: int = 4,
        groups: int = 32,
        scale: float = 0.18215,
        slicing: bool = False,
    ) -> None:
        from diffusers import AutoencoderKL  # takes seconds to load

        super().__init__(channels, 2 ** (len(widths) - 1), scale, slicing)
        self.net = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            up_block_types=("UpDecoderBlock2D",) * len(widths),
            block_out_channels=tuple(widths),
            layers_per_block=layers,
            latent_channels=channels,
            norm_num_groups=groups,
            scaling_factor=scale,
        )

    def posterior(self, images: Images) -> Posterior:
        """Mean and log variance of the latents, not scaled."""
        parts = [self.net.encode(part.to(self.net.dtype)).latent_dist for part in self._sliced(images)]
        mean, log_variance = torch.cat([p.mean for p in parts]), torch.cat([p.logvar for p in parts])
        return Posterior(mean.to(images.dtype), log_variance.to(images.dtype))

    def encode(self, images: Images, generator: Generators = None) -> Latents:
        posterior = self.posterior(images)
        return self.scale * (posterior.mean if generator is None else _draw(posterior, generator))

    def decode(self, latents: Latents) -> Images:
        return self._images(latents / self.scale).clamp(0, 1)

    def reconstruct(self, images: Images, generator: Generators = None) -> Reconstruction:
        """As `LatentCodec`; the penalty is the KL divergence from N(0, 1), summed over a latent, mean over the rows."""
        posterior = mean, log_variance = self.posterior(images)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance) / 2
        return Reconstruction(self._images(_draw(posterior, generator)), divergence.flatten(1).sum(1).mean())

    def _images(self, latents: Latents) -> Images:
        parts = torch.split(latents.to(self.net.dtype), 1 if self.slicing else max(len(latents), 1))
        images = torch.cat([self.net.decode(part).sample for part in parts])
        return (images.to(latents.dtype) + 1) / 2


class VQCodec(LatentCodec):
    """The vector-quantised autoencoder of latent diffusion (VQ-GAN, Esser et al. 2021).

    Latents are those before quantisation, as in latent diffusion: decoding quantises, so that a diffusion model's
    errors below half the distance of two codes vanish. They have no spread: a generator changes nothing.

    Args:
        widths: Channels on each level; each level but the last halves the sides.
        layers: Residual blocks a level of the encoder; the decoder has one more.
        channels: Of the latents and of a code.
        codes: Entries of the code book.
        groups: Of the normalisations.
        scale: One over the standard deviation of the network's latents.
        slicing: Whether pictures go through the network one by one, which takes less memory.
    """

    def __init__(
        self,
        widths: Sequence[int] = (128, 256, 256, 512),
        layers: int = 2,
        channels: int = 4,
        codes: int = 16384,
        groups: int = 32,
        scale: float = 1.0,
        slicing: bool = False,
    ) -> None:
        from diffusers import VQModel  # takes seconds to load

        super().__init__(channels, 2 ** (len(widths) - 1), scale, slicing)
        self.net = VQModel(
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            up_block_types=("UpDecoderBlock2D",) * len(widths),
            block_out_channels=tuple(widths),
            layers_per_block=layers,
            latent_channels=channels,
            num_vq_embeddings=codes,
            vq_embed_dim=channels,
            norm_num_groups=groups,
            scaling_factor=scale,
        )

    def encode(self, images: Images, generator: Generators = None) -> Latents:
        return self.scale * self._latents(images)

    def decode(self, latents: Latents) -> Images:
        return self._images(latents / self.scale)[0].clamp(0, 1)

    def reconstruct(self, images: Images, generator: Generators = None) -> Reconstruction:
        """As `LatentCodec`; the penalty draws latents and codes together, gradients pass the quantisation unchanged."""
        return Reconstruction(*self._images(self._latents(images)))

    def _latents(self, images: Images) -> Latents:
        parts = [self.net.encode(part.to(self.net.dtype)).latents for part in self._sliced(images)]
        return torch.cat(parts).to(images.dtype)

    def _images(self, latents: Latents) -> tuple[Images, Scalar]:
        parts = torch.split(latents.to(self.net.dtype), 1 if self.slicing else max(len(latents), 1))
        images, penalties = zip(*(self.net.decode(part, return_dict=False) for part in parts), strict=True)
        return (torch.cat(images).to(latents.dtype) + 1) / 2, torch.stack(penalties).mean().to(latents.dtype)


def _draw(posterior: Posterior, generator: Generators) -> Latents:
    mean, log_variance = posterior
    if isinstance(generator, Sequence):
        if len(generator) != len(mean):
            raise ValueError(f"{len(generator)} generators were given for {len(mean)} rows; give one a row, or one.")
        rows = [_noise(mean[:1], one) for one in generator]
        noise = torch.cat(rows) if rows else torch.zeros_like(mean)
    else:
        noise = _noise(mean, generator)
    return mean + (log_variance / 2).exp() * noise


def _noise(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)
