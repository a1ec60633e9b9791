"""Cross-attention maps of a diffusers U-Net, with gradients, and no further than they need it.

A map says how much a place of the picture reads from a token: softmax(Q K^T / sqrt d), averaged over heads and layers.
Only the layers whose maps are kept compute their probabilities explicitly, in float32; all others stay with whatever
attention they had. The forward pass for the maps alone ends inside the last layer that counts, by an exception from
there: what runs up to it is the U-Net's own code, whatever its options.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from zoo.denoisers.attend import Attend
from zoo.shapes import AttentionMaps, Float, Latents, Time, Tokens

Place = Literal["down", "mid", "up"]


class Kept:
    """The maps of the calls of a U-Net while they are captured.

    Args:
        resolution: r.
        layers: How many there are a call.
        last: Whether the forward pass ends with the last one.
    """

    def __init__(self, resolution: int, layers: int, last: bool) -> None:
        self.calls: list[AttentionMaps] = []  # (b, r, r, n) each, one for each call of the U-Net
        self.resolution, self.layers, self.last = resolution, layers, last
        self._sum: Tensor | None = None

    def add(self, layer: int, probabilities: Float[Tensor, "b heads q n"]) -> bool:
        """Takes a layer's probabilities; whether nothing more is needed."""
        own = probabilities.mean(1).view(len(probabilities), self.resolution, self.resolution, -1)
        self._sum = own if layer == 0 or self._sum is None else self._sum + own  # 0 also after an interrupted call
        if layer < self.layers - 1:
            return False
        self.calls.append(self._sum / self.layers)
        self._sum = None
        return self.last


class _EnoughError(Exception):
    """The last layer that counts has been reached."""


class _Processor:
    """Attention with its probabilities spelled out; stands in for diffusers' plain processors."""

    def __init__(self, kept: Kept, layer: int) -> None:
        self.kept, self.layer = kept, layer

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        def split(x: Tensor) -> Tensor:  # (b, heads, l, d)
            return x.view(*x.shape[:2], attn.heads, -1).transpose(1, 2)

        told = attn.norm_encoder_hidden_states(encoder_hidden_states) if attn.norm_cross else encoder_hidden_states
        query, key = split(attn.to_q(hidden_states)), split(attn.to_k(told))
        query = query if attn.norm_q is None else attn.norm_q(query)
        key = key if attn.norm_k is None else attn.norm_k(key)
        with _full_precision(query.device.type):  # a gradient comes from differences of probabilities
            scores = query.float() @ key.float().mT * attn.scale
            if attention_mask is not None:
                mask = attn.prepare_attention_mask(attention_mask, key.shape[2], len(key))
                scores = scores + mask.view(len(key), attn.heads, -1, key.shape[2]).float()
            probabilities = scores.softmax(-1)
        if self.kept.add(self.layer, probabilities):
            raise _EnoughError
        value = split(attn.to_v(told))
        mixed = (probabilities.to(value.dtype) @ value).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](mixed)) / attn.rescale_output_factor


@contextmanager
def captured(
    net: nn.Module,
    size: Sequence[int],
    resolution: int = 16,
    places: Sequence[Place] = ("down", "up"),
    last: bool = False,
) -> Iterator[Kept]:
    """Keeps the maps of every call of the U-Net within the block; afterwards its attention is as it was.

    Args:
        net: A UNet2DConditionModel; its captured layers must have plain attention processors.
        size: Height and width of the latents.
        resolution: r, of the layers whose maps are kept.
        places: Where these layers may be.
        last: Leaves the U-Net, by an exception that the block must catch, when the last map is there.
    """
    transformers = _transformers(net, size, resolution, places)
    layers: list[Any] = [block.attn2 for transformer in transformers for block in transformer.transformer_blocks]
    before = [layer.processor for layer in layers]
    checkpointing = [transformer.gradient_checkpointing for transformer in transformers]
    _plain(before)
    kept = Kept(resolution, len(layers), last)
    try:
        for number, layer in enumerate(layers):
            layer.processor = _Processor(kept, number)
        for transformer in transformers:  # recomputed activations would come from the processors of that moment
            transformer.gradient_checkpointing = False
        yield kept
    finally:
        for layer, processor in zip(layers, before, strict=True):
            layer.processor = processor
        for transformer, was in zip(transformers, checkpointing, strict=True):
            transformer.gradient_checkpointing = was


def attention_of(
    net: nn.Module,
    x_t: Latents,
    t: Time,
    states: Tokens,
    resolution: int = 16,
    places: Sequence[Place] = ("down", "up"),
) -> AttentionMaps:
    """The maps alone: the forward pass up to the last layer that counts. Differentiable in x_t, never in the weights.

    Args:
        net: A UNet2DConditionModel. Weights that are trained stay so, but the result does not depend on them.
        x_t: (b, c, h, w) noisy latents.
        t: (b,)
        states: (b, n, d) text states.
        resolution: r, of the layers that count.
        places: Where these layers may be; those of the released code are down and up.
    """
    weights = next(net.parameters()).dtype
    with _frozen(net), captured(net, x_t.shape[-2:], resolution, places, last=True) as kept, suppress(_EnoughError):
        net.forward(x_t.to(weights), t, states.to(weights))  # not the call, which may have been compiled
    return kept.calls[-1]


@dataclass(frozen=True, eq=False)
class AttentionOf:
    """`attention_of` of one network, as text attention takes it: (x_t, t, states) -> maps.

    Args:
        net: A UNet2DConditionModel.
        resolution: r, of the layers that count.
        places: Where these layers may be.
    """

    net: nn.Module
    resolution: int = 16
    places: Sequence[Place] = ("down", "up")

    def __call__(self, x_t: Latents, t: Time, states: Tokens) -> AttentionMaps:
        return attention_of(self.net, x_t, t, states, self.resolution, self.places)


class Cost(NamedTuple):
    """Operations, two for a multiply-add, of the forward pass for the maps and of the whole one."""

    needed: int
    whole: int


def cost(
    config: dict[str, Any],
    size: Sequence[int],
    tokens: int = 77,
    resolution: int = 16,
    places: Sequence[Place] = ("down", "up"),
) -> Cost:
    """What a forward pass for the maps saves, counted on the meta device: products and convolutions, for one sample.

    Args:
        config: Of the U-Net (`net.config`).
        size: Height and width of the latents.
        tokens: n.
        resolution: r, of the layers that count.
        places: Where these layers may be.
    """
    from diffusers import UNet2DConditionModel

    with torch.device("meta"), torch.no_grad():
        net: Any = UNet2DConditionModel.from_config(config)
        x_t = torch.zeros(1, net.config["in_channels"], *size)
        t, states = torch.zeros(1, dtype=torch.long), torch.zeros(1, tokens, net.config["cross_attention_dim"])
        with FlopCounterMode(display=False) as needed:
            attention_of(net, x_t, t, states, resolution, places)
        with FlopCounterMode(display=False) as whole:
            net(x_t, t, states)
    return Cost(needed.get_total_flops(), whole.get_total_flops())


def _transformers(net: nn.Module, size: Sequence[int], resolution: int, places: Sequence[Place]) -> list[Any]:
    """Those whose queries are r x r, in the order in which they run."""
    from diffusers.models.transformers.transformer_2d import Transformer2DModel

    unet: Any = net
    sizes = [tuple(size)]
    for block in unet.down_blocks[:-1]:
        halves = block.downsamplers is not None
        sizes.append(tuple(-(-side // 2) for side in sizes[-1]) if halves else sizes[-1])
    blocks: list[tuple[Place, tuple[int, ...], Any]] = [
        ("down", s, b) for s, b in zip(sizes, unet.down_blocks, strict=True)
    ]
    blocks.append(("mid", sizes[-1], unet.mid_block))
    blocks += [("up", s, b) for s, b in zip(reversed(sizes), unet.up_blocks, strict=True)]
    reading = [part for part in blocks if part[0] in places and getattr(part[2], "has_cross_attention", False)]
    found = [model for _, s, b in reading if s == (resolution, resolution) for model in b.attentions]
    if not found:
        there = ", ".join(dict.fromkeys(f"{h}x{w}" for _, (h, w), _ in reading)) or "no resolution"
        raise ValueError(
            f"Attention maps of {resolution}x{resolution} were asked for; latents of {size[0]}x{size[1]} are read at "
            f"{there} in {', '.join(places) or 'no place'}. Ask for one of these resolutions, as a square picture has."
        )
    strange = [type(model).__name__ for model in found if not isinstance(model, Transformer2DModel)]
    if strange:
        raise ValueError(
            f"Attention maps come from Transformer2DModel layers, and this U-Net has {strange[0]}. "
            "Use a U-Net with the block types of Stable Diffusion 1 or 2."
        )
    return found


def _plain(processors: Sequence[object]) -> None:
    """Refuses attention that ours cannot stand in for."""
    from diffusers.models import attention_processor as known  # takes seconds to load, but a U-Net is here already

    plain = (
        Attend,
        known.AttnProcessor,
        known.AttnProcessor2_0,
        known.SlicedAttnProcessor,
        known.XFormersAttnProcessor,
    )
    for processor in processors:
        if isinstance(processor, _Processor):
            raise ValueError("These attention maps are being captured already. Leave the other capture first.")
        if not isinstance(processor, plain):
            raise ValueError(
                f"The U-Net's attention is done by {type(processor).__name__}, which a capture would leave out. "
                "Take it off first: net.set_attn_processor(AttnProcessor2_0())."
            )


@contextmanager
def _frozen(net: nn.Module) -> Iterator[None]:
    """No weight takes part in autograd within the block; saves what their gradients would have to be made of."""
    trained = [weight for weight in net.parameters() if weight.requires_grad]
    # recomputing comes when they are trained again, and would find another graph; a frozen network goes on recomputing
    again: list[Any] = [module for module in net.modules() if getattr(module, "gradient_checkpointing", False)]
    again = again if trained else []
    for weight in trained:
        weight.requires_grad_(False)
    for module in again:
        module.gradient_checkpointing = False
    try:
        yield
    finally:
        for weight in trained:
            weight.requires_grad_(True)
        for module in again:
            module.gradient_checkpointing = True


def _full_precision(device: str) -> AbstractContextManager[torch.autocast | None]:
    """No autocast, on devices that know of any."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
