"""A synthetic FreiHAND: right hands of OpenHand in the published layout, four pictures a sample."""

from pathlib import Path

from datamodules.openhand.generate import generate
from datamodules.openhand.maker import Recipe


def synth(out: Path, n: int, seed: int, workers: int) -> None:
    """Writes it; an unfinished one of the same options is gone on with.

    Args:
        out: Its folder.
        n: Training samples; an eighth as many for evaluation.
        seed: Other seeds give other hands.
        workers: Processes that draw; 0 draws in this one.
    """
    generate(Recipe(n, -(-n // 8), seed), out, workers=workers)
