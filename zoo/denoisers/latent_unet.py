"""The U-Net of latent diffusion, run in two halves."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from zoo.attention import Backend, resolve_backend
from zoo.condition import Condition
from zoo.denoisers.attend import Attend
from zoo.denoisers.base import Denoiser
from zoo.shapes import Latents, Time


class Residuals(NamedTuple):
    """What a guidance copy adds inside of the U-Net.

    Args:
        down: One for each skip connection, in the order of the encoder; (b, c, h, w) each.
        mid: For the result of the middle block.
    """

    down: tuple[Tensor, ...]
    mid: Tensor


class Halfway(NamedTuple):
    """A U-Net's state after the middle block.

    Args:
        hidden: The middle block's result.
        skips: Skip connections in the order of the encoder.
        time: (b, d) embedded time.
        tokens: (b, n, d) what attention reads.
        bias: (b, 1, n) added to the scores of attention to the tokens, or None.
    """

    hidden: Tensor
    skips: tuple[Tensor, ...]
    time: Tensor
    tokens: Tensor
    bias: Tensor | None


class LatentUNet(Denoiser):
    """Stable Diffusion's U-Net (Rombach et al. 2022): residual blocks, and attention to the tokens of a text.

    There is attention on all levels but the last, and in the middle. The defaults are those of version 1.5.

    Args:
        channels: Of the latents.
        widths: Channels on each level; each level but the last halves the sides.
        layers: Residual blocks a level of the encoder; the decoder has one more.
        heads: Of each attention.
        context: Channels of a token.
        groups: Of the normalisations; divides the widths.
        side: Side of the latents that it is made for; other sides work too.
        attention: `auto`, `sdpa`, `xformers` or `math`, all with the same result.
        checkpointing: Whether gradients recompute the blocks instead of keeping their activations.
    """

    prediction = "eps"

    def __init__(
        self,
        channels: int = 4,
        widths: Sequence[int] = (320, 640, 1280, 1280),
        layers: int = 2,
        heads: int = 8,
        context: int = 768,
        groups: int = 32,
        side: int = 64,
        attention: Backend = "auto",
        checkpointing: bool = False,
    ) -> None:
        from diffusers import UNet2DConditionModel  # takes seconds to load

        super().__init__()
        for width in widths:
            if width % groups or width % heads:
                raise ValueError(
                    f"LatentUNet(widths={list(widths)}, groups={groups}, heads={heads}): groups and heads must divide "
                    f"every width, but not {width}. Set --model.unet.widths, .groups or .heads."
                )
        inner = len(widths) - 1
        self.net = UNet2DConditionModel(
            sample_size=side,
            in_channels=channels,
            out_channels=channels,
            down_block_types=("CrossAttnDownBlock2D",) * inner + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * inner,
            block_out_channels=tuple(widths),
            layers_per_block=layers,
            attention_head_dim=heads,  # diffusers' name for the number of heads
            cross_attention_dim=context,
            norm_num_groups=groups,
        )
        self.attention = resolve_backend(attention)
        set_attention(self.net, self.attention)
        if checkpointing:
            self.net.enable_gradient_checkpointing()

    def forward(self, x_t: Latents, t: Time, condition: Condition, residuals: Residuals | None = None) -> Latents:
        """The noise in latents.

        Args:
            x_t: Noisy latents.
            t: Diffusion time.
            condition: Its tokens are read, its control is not.
            residuals: Added to the skip connections and after the middle block.
        """
        return self.decode(self.encode(x_t, t, condition), residuals).to(x_t.dtype)

    def encode(self, x_t: Latents, t: Time, condition: Condition) -> Halfway:
        """The first half: everything that residuals do not reach."""
        tokens, bias = read_tokens(condition)
        return descend(self.net, x_t, t, tokens, bias)

    def decode(self, half: Halfway, residuals: Residuals | None = None) -> Latents:
        """The second half, in the U-Net's type."""
        hidden, skips, time, tokens, bias = half
        if residuals is not None:
            if len(residuals.down) != len(skips):
                raise ValueError(
                    f"{len(residuals.down)} residuals were given for {len(skips)} skip connections. "
                    "Make the guidance copy from this U-Net."
                )
            skips = tuple(skip + add.to(skip.dtype) for skip, add in zip(skips, residuals.down, strict=True))
            hidden = hidden + residuals.mid.to(hidden.dtype)
        return ascend(self.net, Halfway(hidden, skips, time, tokens, bias))


def read_tokens(condition: Condition) -> tuple[Tensor, Tensor | None]:
    """Tokens of a condition, and what is added to their scores: -10,000 where they are masked."""
    if condition.tokens is None:
        raise ValueError("A latent U-Net reads a text, but the condition has no tokens. Give the null text's at least.")
    if condition.mask is None:
        return condition.tokens, None
    return condition.tokens, (~condition.mask).to(condition.tokens.dtype)[:, None] * -10000.0


def descend(net: Any, x: Tensor, t: Time, tokens: Tensor, bias: Tensor | None, hint: Tensor | None = None) -> Halfway:
    """Encoder and middle block of diffusers' U-Net, or of its guidance copy, in the type of its weights.

    Args:
        net: A `UNet2DConditionModel` or a `ControlNetModel`.
        x: (b, c, h, w) noisy latents.
        t: Diffusion time.
        tokens: (b, n, d).
        bias: (b, 1, n), or None.
        hint: (b, w, h, w) added after the first convolution.
    """
    x, tokens = x.to(net.dtype), tokens.to(net.dtype)
    bias = None if bias is None else bias.to(net.dtype)
    time = net.time_embedding(net.time_proj(t).to(net.dtype))
    hidden = net.conv_in(x)
    if hint is not None:
        hidden = hidden + hint
    skips = (hidden,)
    for block in net.down_blocks:
        hidden, new = _block(block, hidden, time, tokens, bias)
        skips += new
    return Halfway(_block(net.mid_block, hidden, time, tokens, bias), skips, time, tokens, bias)


def ascend(net: Any, half: Halfway) -> Tensor:
    """Decoder of diffusers' U-Net.

    Args:
        net: A `UNet2DConditionModel`.
        half: From `descend`, residuals added.
    """
    hidden, skips, time, tokens, bias = half
    # Sides that cannot be halved that often do not come back by doubling: the skip connections say the size.
    odd = any(n % 2 ** (len(net.up_blocks) - 1) for n in skips[0].shape[-2:])
    for block in net.up_blocks:
        count = len(block.resnets)
        mine, skips = skips[-count:], skips[:-count]
        size = skips[-1].shape[-2:] if odd and skips else None
        hidden = _block(block, hidden, time, tokens, bias, res_hidden_states_tuple=mine, upsample_size=size)
    return net.conv_out(net.conv_act(net.conv_norm_out(hidden)))


def set_attention(net: Any, backend: str) -> None:
    """Chooses how diffusers' networks compute attention.

    Args:
        net: A network with `set_attn_processor`.
        backend: `sdpa`, `xformers` or `math`.
    """
    net.set_attn_processor(Attend(backend))


def _block(block: Any, hidden: Tensor, time: Tensor, tokens: Tensor, bias: Tensor | None, **more: Any) -> Any:
    if getattr(block, "has_cross_attention", False):
        more |= {"encoder_hidden_states": tokens, "encoder_attention_mask": bias}
    return block(hidden, temb=time, **more)
