"""How well attention maps serve their tokens: refinement (AttentionHand, equation 2) and what losses are made of."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from zoo.shapes import AttentionMaps, Bool, Float

Generators = torch.Generator | Sequence[torch.Generator] | None
Axis = Literal["tokens", "space"]
PerToken = Float[Tensor, "b n r r"]


def uniform(like: Tensor, low: float, high: float, generator: Generators) -> Float[Tensor, " b"]:
    """A number a row between two bounds; where generators are given one a row, each row's from its own."""

    def draw(count: int, source: torch.Generator | None) -> Tensor:
        return torch.rand(count, generator=source, device=source.device if source else like.device).to(like.device)

    if generator is None or isinstance(generator, torch.Generator):
        drawn = draw(len(like), generator)
    else:
        if len(generator) != len(like):
            raise ValueError(
                f"{len(generator)} generators were given for {len(like)} rows: one for each, or one alone."
            )
        drawn = torch.cat([draw(1, source) for source in generator])
    return low + (high - low) * drawn


def smooth(maps: PerToken, sigma: Float[Tensor, " b"], size: int = 3) -> PerToken:
    """Gaussian smoothing with mirrored borders.

    Args:
        maps: A picture a token.
        sigma: Width of each row's kernel, places. As in the released code the kernel is exp(-(d / 2 sigma)^2), that of
            a standard deviation of sqrt(2) sigma.
        size: Side of the kernel, odd.
    """
    r, reach = maps.shape[-1], size // 2
    if size % 2 == 0 or reach >= r:
        raise ValueError(
            f"A kernel of {size} over maps of {r}x{r}: it has an odd side that is less than twice the map's."
        )
    distance = torch.arange(-reach, reach + 1, device=maps.device)
    kernel = torch.exp(-((distance / (2 * sigma[:, None])) ** 2))
    kernel = kernel / kernel.sum(1, keepdim=True)
    # rows as groups, so that each has its own kernel; tokens as the batch
    around = functional.pad(maps.transpose(0, 1), (reach,) * 4, mode="reflect")
    along = functional.conv2d(around, kernel[:, None, None, :], groups=len(maps))
    return functional.conv2d(along, kernel[:, None, :, None], groups=len(maps)).transpose(0, 1)


def contrast(maps: PerToken, temperature: float, axis: Axis) -> PerToken:
    """Softmax of attention: between tokens at each place, or between the places of each token."""
    scaled = temperature * maps
    return scaled.softmax(1) if axis == "tokens" else scaled.flatten(2).softmax(2).view(maps.shape)


def neglect(scores: Float[Tensor, "b n"], counted: Bool[Tensor, "b n"]) -> Float[Tensor, " b"]:
    """Equation 3: how much the token that is served worst lacks, max over tokens of 1 - s; 0 where none counts."""
    return (1 - scores).clamp_min(0).masked_fill(~counted, 0).amax(1)


def imbalance(shares: PerToken, counted: Bool[Tensor, "b n"]) -> Float[Tensor, " b"]:
    """The load-balancing loss of sparse mixtures of experts (Switch Transformer: Fedus et al. 2022, equation 4).

    Tokens are the experts, places are what is dealt to them: n sum_k f_k p_k with f_k the share of places that read
    most from token k, and p_k the mean share that token k has of a place. It is 1 when all tokens have alike.

    Args:
        shares: Not negative; how much of a place each token has, counted tokens among themselves.
        counted: Tokens that take part.
    """
    own = torch.where(counted[..., None, None], shares, 0)
    own = own / own.sum(1, keepdim=True).clamp_min(1e-12)
    most = functional.one_hot(own.argmax(1), own.shape[1]).flatten(1, 2).float().mean(1)
    return counted.sum(1) * (most * own.flatten(2).mean(2)).sum(1)


def kept_maps(maps: AttentionMaps) -> PerToken:
    """Token by token, in float32."""
    return maps.permute(0, 3, 1, 2).float()
