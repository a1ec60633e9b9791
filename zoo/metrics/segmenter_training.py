"""How the hand segmenter learns: pictures and masks, varied alike, from a source that the caller brings."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from zoo.metrics.made_hands import mask_iou
from zoo.metrics.segmenter import HandSegmenter
from zoo.shapes import Images, RawImages, Scalar

RawMasks = Bool[Tensor, "b h w"]


class Progress(NamedTuple):
    """How far the training is."""

    step: int
    loss: float
    iou: float  # of the varied batch that was learnt from, mean over pictures


def train_segmenter(
    images: RawImages,
    masks: RawMasks,
    steps: int = 1200,
    *,
    batch: int = 16,
    lr: float = 4e-3,
    seed: int = 0,
    model: HandSegmenter | None = None,
    tell: Callable[[Progress], None] | None = None,
) -> HandSegmenter:
    """Trains on pictures that are in memory; returns the network in evaluation mode.

    Args:
        images: (n, 3, h, w) RGB bytes. At 128 pixels, 10,000 of them are half a gigabyte.
        masks: (n, h, w) True = hand.
        steps: Of the optimiser.
        batch: Pictures a step.
        lr: The highest rate; it rises over the first twentieth and falls to nothing along a cosine.
        seed: Of the network, the order and the variations.
        model: To go on with; a new one when None. Its device is where the training runs.
        tell: Called after every step.
    """
    if len(images) != len(masks) or not len(images):
        raise ValueError(
            f"train_segmenter got {len(images)} pictures and {len(masks)} masks. Give as many of one as of the other."
        )
    generator = torch.Generator().manual_seed(seed)
    if model is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = HandSegmenter()
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-3)
    warm = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * s / steps))
    )
    device = next(model.parameters()).device
    for step in range(steps):
        rows = torch.randint(len(images), (batch,), generator=generator)
        seen, truth = varied(images[rows].float() / 255, masks[rows], model.side, generator)
        seen, truth = seen.to(device), truth.to(device)
        logits = model(seen)
        loss = segmentation_loss(logits, truth)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if tell is not None:
            tell(Progress(step + 1, float(loss.detach()), float(mask_iou(logits > 0, truth).mean())))
    return model.eval()


def segmentation_loss(logits: Float[Tensor, "b s s"], truth: Bool[Tensor, "b s s"]) -> Scalar:
    """Cross-entropy of pixels plus one minus the soft Dice coefficient, to which small hands count as much as large."""
    target = truth.to(logits.dtype)
    cross = F.binary_cross_entropy_with_logits(logits, target)
    share = logits.sigmoid()
    dice = (2 * (share * target).sum((1, 2)) + 1) / (share.sum((1, 2)) + target.sum((1, 2)) + 1)
    return cross + (1 - dice).mean()


def varied(
    images: Images, masks: RawMasks, side: int, generator: torch.Generator
) -> tuple[Images, Bool[Tensor, "b s s"]]:
    """Turned, moved, scaled, mirrored pictures with their masks, in other colours, some blurred or noisy.

    Hands are made up to two times smaller than a close-up shows them, for made scenes show them so. Outside of a
    picture is its mirror image, with the hands there may be in it.

    Args:
        images: RGB in [0, 1].
        masks: True = hand.
        side: Of what comes out, pixels.
        generator: Source of randomness, on the CPU.
    """

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(len(images), *shape, generator=generator)

    angle, zoom = draw(-math.pi, math.pi) * (draw(0.0, 1.0) < 0.7), torch.exp(draw(math.log(0.7), math.log(2.2)))
    flip = torch.where(draw(0.0, 1.0) < 0.5, -1.0, 1.0)
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    place = draw(-0.4, 0.4, 2)
    theta = torch.stack((cos * flip, -sin, place[:, 0], sin * flip, cos, place[:, 1]), 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, [len(images), 3, side, side], align_corners=False)
    both = torch.cat((images, masks[:, None].float()), 1)
    moved = F.grid_sample(both, grid, padding_mode="reflection", align_corners=False)
    moved, hand = moved[:, :3], moved[:, 3] > 0.5
    gray = moved.mean(1, keepdim=True)
    moved = gray + (moved - gray) * draw(0.3, 1.5, 1, 1, 1)
    moved = (moved - 0.5) * draw(0.6, 1.4, 1, 1, 1) + 0.5 + draw(-0.2, 0.2, 1, 1, 1) + draw(-0.06, 0.06, 3, 1, 1)
    blurred = F.interpolate(F.avg_pool2d(moved, 2), size=(side, side), mode="bilinear", align_corners=False)
    moved = torch.where(draw(0.0, 1.0, 1, 1, 1) < 0.25, blurred, moved)
    noise = torch.randn(moved.shape, generator=generator) * draw(0.0, 0.06, 1, 1, 1)
    return (moved + noise).clamp(0, 1), hand
