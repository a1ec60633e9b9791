"""Sizes of Stable Diffusion's parts, read off the shapes of their tensors in the original layout."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

State = Mapping[str, Tensor]


class UNetSizes(NamedTuple):
    """What `LatentUNet` is called with; the heads and groups of its layers leave no trace in the tensors."""

    channels: int
    widths: tuple[int, ...]
    layers: int
    context: int


class CodecSizes(NamedTuple):
    """What `KLCodec` is called with."""

    widths: tuple[int, ...]
    layers: int
    channels: int


class TextSizes(NamedTuple):
    """What `ClipText` is called with."""

    width: int
    layers: int
    context: int
    vocabulary: int


def unet_sizes(state: State) -> UNetSizes:
    """Sizes of a U-Net, or of a guidance copy, whose encoder has the same names.

    Args:
        state: Tensors by their original names, without a prefix.
    """
    blocks = _count(state, r"input_blocks\.(\d+)\.")
    ends = [block for block in range(blocks) if f"input_blocks.{block}.0.op.weight" in state]
    layers, levels = (ends[0] if ends else blocks) - 1, len(ends) + 1
    if layers < 1 or blocks != levels * (layers + 1) or ends != [(i + 1) * (layers + 1) for i in range(levels - 1)]:
        raise ValueError(
            f"its encoder has {blocks} blocks, of which {ends or 'none'} halve the sides; levels of a U-Net of Stable "
            "Diffusion have as many blocks each"
        )
    firsts = [f"input_blocks.{1 + level * (layers + 1)}.0.in_layers.2.weight" for level in range(levels)]
    attention = next((key for key in state if key.endswith("attn2.to_k.weight")), "the weight of an attention to text")
    shapes = _shapes(state, ["input_blocks.0.0.weight", attention, *firsts])
    return UNetSizes(shapes[0][1], tuple(shape[0] for shape in shapes[2:]), layers, shapes[1][1])


def codec_sizes(state: State) -> CodecSizes:
    """Sizes of an autoencoder.

    Args:
        state: Tensors by their original names, without a prefix.
    """
    levels = _count(state, r"encoder\.down\.(\d+)\.")
    layers = _count(state, r"encoder\.down\.0\.block\.(\d+)\.")
    firsts = [f"encoder.down.{level}.block.0.conv1.weight" for level in range(levels)]
    shapes = _shapes(state, ["post_quant_conv.weight", *firsts])
    if not firsts:
        raise ValueError("it has no encoder.down.0, with which an autoencoder begins")
    return CodecSizes(tuple(shape[0] for shape in shapes[1:]), layers, shapes[0][1])


def text_sizes(state: State) -> TextSizes:
    """Sizes of a CLIP text transformer.

    Args:
        state: Tensors by their names in `transformers`, without `text_model.`.
    """
    tokens, places = _shapes(state, ["embeddings.token_embedding.weight", "embeddings.position_embedding.weight"])
    return TextSizes(tokens[1], _count(state, r"encoder\.layers\.(\d+)\."), places[0], tokens[0])


def _count(state: State, pattern: str) -> int:
    """One more than the largest number in the names that match."""
    return max((int(match[1]) for key in state if (match := re.match(pattern, key))), default=-1) + 1


def _shapes(state: State, keys: list[str]) -> list[tuple[int, ...]]:
    if missing := [key for key in keys if key not in state]:
        raise ValueError(f"it has no {missing[0]}")
    return [tuple(state[key].shape) for key in keys]
