"""Latent diffusion from text (Rombach et al. 2022), trained whole and from scratch: `tiny-sd` is its small form."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from zoo.batch import Asked, Painted, SceneBatch
from zoo.condition import Condition
from zoo.denoisers.latent_unet import LatentUNet
from zoo.diffusion import Denoise, NoiseSchedule
from zoo.encoders.clip_text import ClipText
from zoo.encoders.codec import LatentCodec
from zoo.encoders.latent_cache import LatentCache
from zoo.guidance.base import Guidance
from zoo.guidance.classifier_free import ClassifierFree
from zoo.models.base import PictureMethod
from zoo.models.latents import (
    check_size,
    dropped,
    estimator,
    latent_shape,
    sample_latents,
    snr_weight,
    texts_of,
)
from zoo.models.schedule import progress
from zoo.samplers.base import Sampler
from zoo.samplers.ddim import DDIM
from zoo.shapes import Images, Latents, Scalar

SPREAD = 0.01  # share of the newest batch in the running variance of latents


def _adamw(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=5e-4, weight_decay=0.01)


class LatentDiffusion(PictureMethod):
    """A codec, a text encoder and a U-Net, learned one after the other: first the codec, then the other two together.

    Args:
        codec: Pictures to latents and back.
        text: Text to tokens.
        unet: Latents to their noise.
        schedule: Of the noise; Stable Diffusion's when None.
        size: Side of the pictures, pixels.
        sampler: Noise to latents.
        scale: Of classifier-free guidance.
        codec_share: Part of the run in which the codec learns; 0 leaves it as it is, and is what a run takes that
            starts from released weights, whose codec has learned.
        codec_rows: Rows of a batch that the codec learns from.
        codec_rate: Its learning rate as a multiple of the others'.
        edges: Weight of the error of differences between neighbouring pixels, which keeps edges sharp.
        penalty: Weight of the codec's penalty on its latents.
        local: Part of the rows that show the part of the picture around the hands.
        drop_text: Part of the rows that are learned without their text.
        cache: Folder that keeps the latents of training pictures once the codec is learned; None codes them every time.
        snr: Largest weight of a nearly clean row, `snr_weight`; None weighs all alike.
        optimizer: Builds the optimizer from the parameters.
        warmup: Part of each of the two phases in which the learning rate rises.
        final_lr: The last learning rate of each, as a share of the first; a cosine leads there.
    """

    def __init__(
        self,
        codec: LatentCodec,
        text: ClipText,
        unet: LatentUNet,
        schedule: NoiseSchedule | None = None,
        size: int = 128,
        sampler: Sampler = DDIM(steps=25),  # noqa: B008 - frozen
        scale: float = 3.0,
        codec_share: float = 0.3,
        codec_rows: int = 8,
        codec_rate: float = 2.0,
        edges: float = 1.0,
        penalty: float = 5e-7,
        local: float = 0.3,
        drop_text: float = 0.1,
        snr: float | None = 5.0,
        cache: Path | None = None,
        optimizer: OptimizerCallable = _adamw,
        warmup: float = 0.03,
        final_lr: float = 0.02,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if not 0 <= codec_share < 1:
            raise ValueError(
                f"codec_share={codec_share} leaves no time for the U-Net. Set --model.codec_share from 0 to below 1."
            )
        latent_shape(codec, size)
        self.codec, self.text, self.unet = codec, text, unet
        self.schedule = NoiseSchedule("scaled_linear") if schedule is None else schedule
        self.size, self.sampler, self.scale = size, sampler, scale
        self.codec_share, self.codec_rows, self.codec_rate = codec_share, codec_rows, codec_rate
        self.edges, self.penalty, self.local, self.drop_text, self.snr = edges, penalty, local, drop_text, snr
        self.cache = None if cache is None else LatentCache(cache, codec)
        self.optimizer, self.warmup, self.final_lr = optimizer, warmup, final_lr
        self.variance: Tensor
        self.register_buffer("variance", torch.tensor(1 / codec.scale**2))  # of the codec's unscaled latents
        self.register_load_state_dict_post_hook(lambda model, _: model.settle())  # type: ignore[no-untyped-call]

    def settle(self) -> None:
        """Gives the codec the scale that belongs to its weights."""
        self.codec.scale = float(self.variance) ** -0.5

    @property
    def coding(self) -> bool:
        """Whether it is the codec's turn to learn."""
        return bool(self.codec_share) and progress(self.trainer) < self.codec_share

    def training_step(self, batch: SceneBatch, batch_idx: int) -> Scalar:
        images = self.pictures(batch)
        if self.coding:
            losses = self.codec_losses(images[: self.codec_rows])
        else:
            losses = {"noise": self.noise_loss(images, texts_of(batch))}
        self.log_dict({f"train/{name}": loss.detach() for name, loss in losses.items()})
        total = torch.stack(list(losses.values())).sum()
        self.log("train/loss", total.detach(), prog_bar=True)
        return total

    def pictures(self, batch: SceneBatch) -> Images:
        """Whole pictures, and local parts in place of some of them."""
        images = batch["image"]
        if not len(images):
            raise ValueError("These scenes have no pictures, which are what is learned. Set --data.images true.")
        check_size(images, self.size)
        near = torch.rand(len(images), device=images.device) < self.local
        return torch.where(near[:, None, None, None], batch["image_local"], images)

    def codec_losses(self, images: Images) -> dict[str, Scalar]:
        """Error of the pictures, of their edges, and the penalty on the latents."""
        if torch.rand(()) < 0.5:
            images = images.flip(-1)
        made = self.codec.reconstruct(images)
        losses = {
            "picture": nn.functional.l1_loss(made.images, images),
            "edges": self.edges * edge_error(made.images, images),
            "latents": self.penalty * made.penalty,
        }
        with torch.no_grad():
            self.variance.lerp_((self.codec.encode(images) / self.codec.scale).var(), SPREAD)
        return {name: 2 * loss if name != "latents" else loss for name, loss in losses.items()}  # pixels in [-1, 1]

    def noise_loss(self, images: Images, texts: Sequence[str]) -> Scalar:
        """Error of the predicted noise, at times drawn uniformly, some texts left out."""
        with torch.no_grad():
            latents = self.encode(images)
        t = torch.randint(self.schedule.steps, (len(latents),), device=latents.device)
        return self.noise_error(latents, dropped(texts, self.drop_text), t, torch.randn_like(latents))

    def noise_error(self, latents: Latents, texts: Sequence[str], t: Tensor, noise: Tensor) -> Scalar:
        """Weighted squared error of the predicted noise."""
        x_t = self.schedule.add_noise(latents, noise, t)
        error = (self.unet(x_t, t, self.text(texts)).float() - noise).square().flatten(1).mean(1)
        return (snr_weight(self.schedule, t, self.snr) * error).mean()

    def encode(self, images: Images) -> Latents:
        """Latents of pictures, by the scale that their spread asks for."""
        self.settle()
        return self.codec.encode(images) if self.cache is None else self.cache(images)

    @torch.no_grad()
    def sample(
        self,
        asked: Asked,
        seeds: Sequence[int],
        sampler: Sampler | None = None,
        scale: float | None = None,
        guidance: Sequence[Guidance] = (),
    ) -> Images:
        """As `PictureMethod.sample`; the mesh is not looked at."""
        if len(seeds) != len(asked["text"]):
            raise ValueError(f"{len(seeds)} seeds were given for {len(asked['text'])} texts; give one a text.")
        condition, nothing = self.text(asked["text"]), self.text.null(len(seeds))
        denoise, unconditional = (self._denoise(told) for told in (condition, nothing))
        free = ClassifierFree(self.scale if scale is None else scale)
        latents = sample_latents(
            denoise, unconditional, latent_shape(self.codec, self.size), seeds,
            sampler or self.sampler, [free, *guidance], self.schedule, self.device,
        )  # fmt: skip
        return self.codec.decode(latents)

    def _denoise(self, condition: Condition) -> Denoise:
        return estimator(lambda x_t, t: self.unet(x_t, t, condition), self.schedule, self.unet)

    def validation_step(self, batch: SceneBatch, batch_idx: int) -> Painted | None:
        """Errors with the same noise every time; pictures of the first batch."""
        images, texts, rows = batch["image"], texts_of(batch), len(batch["image"])
        if not rows:
            return None  # nothing of it can be measured
        check_size(images, self.size)
        self.settle()
        latents = self.codec.encode(images)
        error = (self.codec.decode(latents) - images).square().flatten(1).mean(1)
        self.log(f"{self.split}/psnr_db", (-10 * error.log10()).mean(), batch_size=rows, sync_dist=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(batch_idx)
            t = torch.arange(rows, device=images.device) * self.schedule.steps // rows
            noise = torch.randn(latents.shape).to(latents)
            loss = self.noise_error(latents, texts, t, noise)
        self.log(f"{self.split}/loss", loss, batch_size=rows, sync_dist=True)
        if batch_idx:
            return None
        few = min(8, rows)
        asked = Asked(text=texts[:few])
        return Painted(images=self.sample(asked, range(few)), asked=asked, real=images[:few])

    test_step = validation_step

    def predict_step(self, batch: SceneBatch, batch_idx: int) -> Painted:
        """A picture for each text; its seed is its number in the dataset."""
        asked, index = Asked(text=list(batch["text"])), batch["index"]
        return Painted(images=self.sample(asked, index.tolist()), asked=asked, index=index)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        groups = [list(self.codec.parameters()), [*self.text.parameters(), *self.unet.parameters()]]
        optimizer = self.optimizer([{"params": group} for group in groups])
        scheduler = LambdaLR(optimizer, [self._codec_factor, self._paint_factor])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _codec_factor(self, _: int) -> float:
        return self.codec_rate * self._factor(progress(self.trainer) / max(self.codec_share, 1e-9))

    def _paint_factor(self, _: int) -> float:
        return self._factor((progress(self.trainer) - self.codec_share) / (1 - self.codec_share))

    def _factor(self, done: float) -> float:
        """A rise, then a cosine, over a phase."""
        done = min(max(done, 0.0), 1.0)
        rise = min(1.0, (done + 1e-3) / self.warmup) if self.warmup else 1.0
        return rise * (self.final_lr + (1 - self.final_lr) * (1 + math.cos(math.pi * done)) / 2)


def edge_error(one: Images, other: Images) -> Scalar:
    """Mean absolute error of the differences between neighbouring pixels, down and across."""
    difference = one - other
    return difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
