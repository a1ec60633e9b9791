"""Half precision for released weights: float16 where it loses next to nothing, float32 where it would not."""

from collections.abc import Mapping

import torch
from torch import Tensor

LARGEST_LOSS = 1e-3  # of a tensor's norm; float16 rounds trained matrices to 2e-4 of it, bfloat16 to 2e-3


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices in float16, as long as they keep their numbers; everything else as it is.

    Vectors stay: biases and norms are small, and the variances that a BatchNorm counted can be smaller than float16
    knows. So do whole numbers, such as the batches that it counted.
    """
    return {name: _half(value) if value.ndim > 1 else value for name, value in state.items()}


def whole(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every floating tensor in float32."""
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def _half(value: Tensor) -> Tensor:
    if value.dtype != torch.float32:
        return value
    half = value.half()
    lost = (half.float() - value).norm() / value.norm().clamp_min(1e-30)
    return half if bool(lost <= LARGEST_LOSS) else value  # not for NaN, which an overflow gives
