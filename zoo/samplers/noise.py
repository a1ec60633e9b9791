"""Normal noise for a batch: from one generator, or for each row from its own."""

from collections.abc import Sequence

import torch

from zoo.shapes import Signal

Source = torch.Generator | Sequence[torch.Generator] | None  # one a row makes rows independent of their batch


def normal_like(x: Signal, generator: Source = None) -> Signal:
    """Standard normal noise of the shape, type and device of x.

    Args:
        x: (b, ...).
        generator: One for all rows; or one a row, on any device; or None for the global one.
    """
    if generator is None or isinstance(generator, torch.Generator):
        return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    if len(generator) != len(x):
        raise ValueError(f"{len(generator)} generators for {len(x)} rows; give one a row, or one for all.")
    rows = [torch.randn(x.shape[1:], generator=g, device=g.device, dtype=torch.float32) for g in generator]
    return torch.stack([row.to(x.device, x.dtype) for row in rows])


def seeded(seeds: Sequence[int]) -> list[torch.Generator]:
    """A generator on the CPU for each seed, so that every device draws the same."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]
