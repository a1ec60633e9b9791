"""What methods that diffuse latents share: losses, sampling, the rows of a batch of scenes."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from zoo.batch import SceneBatch
from zoo.denoisers.base import Denoiser
from zoo.diffusion import Denoise, Estimate, NoiseSchedule
from zoo.encoders.codec import LatentCodec
from zoo.guidance.base import Guidance, guided
from zoo.samplers.base import Sampler
from zoo.samplers.noise import normal_like, seeded
from zoo.shapes import Images, Latents, Time

Predict = Callable[[Latents, Time], Latents]


def texts_of(batch: SceneBatch) -> list[str]:
    """The texts of the rows that have a picture, in order."""
    return [text for text, pictured in zip(batch["text"], batch["has_image"].tolist(), strict=True) if pictured]


def dropped(texts: Sequence[str], share: float) -> list[str]:
    """Texts, each left empty with a probability, so that classifier-free guidance has something to move away from."""
    return ["" if drop else text for text, drop in zip(texts, (torch.rand(len(texts)) < share).tolist(), strict=True)]


def snr_weight(schedule: NoiseSchedule, t: Time, most: float | None) -> Tensor:
    """Weights (b,) of the noise's squared error: min(snr, most) / snr (Hang et al. 2023); 1 where `most` is None."""
    if most is None:
        return torch.ones(len(t), device=t.device)
    level = schedule.alpha_bar[t]
    snr = level / (1 - level)
    return snr.clamp(max=most) / snr


def estimator(predict: Predict, schedule: NoiseSchedule, denoiser: Denoiser) -> Denoise:
    """A network's prediction as samplers and guidance see it, in full precision."""

    def estimate(x_t: Tensor, t: Tensor) -> Estimate:
        return Estimate(schedule.to_x0(predict(x_t, t).float(), x_t, t, denoiser.prediction), x_t)

    return estimate


def sample_latents(
    denoise: Denoise,
    unconditional: Denoise,
    shape: tuple[int, int, int],
    seeds: Sequence[int],
    sampler: Sampler,
    guidance: Sequence[Guidance],
    schedule: NoiseSchedule,
    device: torch.device,
    start: Latents | None = None,
) -> Latents:
    """Latents, each row from its own seed.

    Args:
        denoise: Under the condition.
        unconditional: Without one.
        shape: Of a row.
        seeds: One a row.
        sampler: Noise to latents.
        guidance: First to last.
        schedule: Of the noise.
        device: Where to compute.
        start: Noisy latents to start from, in place of noise.
    """
    generators = seeded(seeds)
    noise = normal_like(torch.empty(len(seeds), *shape, device=device), generators)
    return sampler(
        guided(denoise, unconditional, guidance, schedule), noise if start is None else start, schedule, generators
    )


def latent_shape(codec: LatentCodec, size: int) -> tuple[int, int, int]:
    """Shape of the latents of a square picture.

    Raises:
        ValueError: the codec does not divide its side.
    """
    if size % codec.factor:
        raise ValueError(
            f"Pictures of {size} pixels cannot be coded: the side must be a multiple of {codec.factor}. "
            "Set --model.size and --data.size to one."
        )
    return codec.channels, size // codec.factor, size // codec.factor


def check_size(images: Images, size: int) -> None:
    """Refuses pictures of another size than the model's."""
    if images.shape[-1] != size or images.shape[-2] != size:
        raise ValueError(
            f"The data's pictures have {images.shape[-1]} x {images.shape[-2]} pixels; the model makes {size} x {size}."
            f" Set --data.size {size}, or --model.size."
        )
