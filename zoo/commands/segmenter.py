"""`python -m zoo.commands.segmenter`: trains the network that tells which pixels of a picture are hand."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.registry import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from datamodules.freihand.files import FreiHANDPart


def segmenter(
    root: Path,
    out: Path,
    steps: int = 1200,
    n: int = 8000,
    held_out: int = 200,
    batch: int = 16,
    seed: int = 0,
    start: Path | None = None,
) -> None:
    """Trains a hand segmenter on the pictures and masks of a folder in FreiHAND's layout; says its IoU.

    Args:
        root: The folder, such as `data synth freihand` writes.
        out: The .safetensors file.
        steps: Of the optimiser.
        n: Pictures held in memory at most; samples are spread over all of them.
        held_out: Unique samples, the last ones, that are scored and not learnt from.
        batch: Pictures a step.
        seed: Another one gives another network.
        start: Weights to go on from, another file than `out`.
    """
    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out} must end in .safetensors.")

    from datamodules.freihand.files import FreiHANDPart
    from zoo.metrics.made_hands import MaskIoU
    from zoo.metrics.segmenter import HandSegmenter
    from zoo.metrics.segmenter_training import Progress, train_segmenter

    part = FreiHANDPart(root.expanduser(), "training")
    if part.samples <= held_out:
        raise UsageError(f"--root {root} has {part.samples} samples, all of which --held_out {held_out} keeps back.")
    side = HandSegmenter().side
    images, masks = _load(part, range(part.samples - held_out), n, side)
    print(f"{len(images)} pictures of {part.samples - held_out} samples, {side} pixels; {held_out} samples held out.")
    started, recent = time.monotonic(), [0.0]

    def tell(progress: Progress) -> None:
        recent.append(progress.iou)
        if progress.step % 100 == 0 or progress.step == steps:
            seconds = time.monotonic() - started
            mean = sum(recent[-100:]) / len(recent[-100:])
            print(f"step {progress.step}: loss {progress.loss:.3f}, IoU {mean:.3f}, {seconds:.0f} s", flush=True)

    known = None if start is None else HandSegmenter.load(start)
    model = train_segmenter(images, masks, steps, batch=batch, seed=seed, model=known, tell=tell)
    score = MaskIoU()
    images, masks = _load(part, range(part.samples - held_out, part.samples), n, side)
    for first in range(0, len(images), 64):
        rows = slice(first, first + 64)
        score.update(model.masks(images[rows].float() / 255), masks[rows])
    out.parent.mkdir(parents=True, exist_ok=True)
    digest = model.save(out)
    weights = sum(value.numel() for value in model.parameters())
    print(f"IoU {float(score.compute()):.3f} on {len(images)} pictures of held-out samples.")
    print(f"{out} is written: {weights} weights, sha256 {digest}.")


def _load(part: "FreiHANDPart", samples: range, most: int, side: int) -> "tuple[Tensor, Tensor]":
    """Pictures and masks of samples in every version, at most so many, resized."""
    import cv2
    import numpy as np
    import torch

    from datamodules.photos import read_jpeg

    total = len(samples) * part.versions
    chosen = np.unique(np.linspace(0, total - 1, min(most, total)).astype(int))
    images = torch.empty(len(chosen), 3, side, side, dtype=torch.uint8)
    masks = torch.empty(len(chosen), side, side, dtype=torch.bool)
    for row, number in enumerate(chosen.tolist()):
        version, sample = divmod(number, len(samples))
        sample = samples[sample]
        picture = read_jpeg(part.images / f"{version * part.samples + sample:08d}.jpg")
        mask = read_jpeg(part.masks / f"{sample:08d}.jpg", "GRAY")
        small, hand = (cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA) for pixels in (picture, mask))
        images[row], masks[row] = torch.from_numpy(small).permute(2, 0, 1), torch.from_numpy(hand) > 127
    return images, masks


def main() -> int:
    """Runs it from the shell; a mistake is one sentence."""
    from zoo.commands.errors import explain
    from zoo.commands.own import run_command

    try:
        return run_command("segmenter", segmenter, sys.argv[1:])
    except Exception as error:
        message, code = explain(error)
        sys.stderr.write(f"zoo: {message}\n")
        return code


if __name__ == "__main__":
    sys.exit(main())
