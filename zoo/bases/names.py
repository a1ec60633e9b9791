"""Names of tensors in the original Stable Diffusion layout, by their names in diffusers.

The original U-Net numbers its blocks through all levels (`input_blocks.4.1`), diffusers counts levels and layers
(`down_blocks.1.attentions.0`). Every function takes a diffusers name and says what the original calls it.
"""

import re

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OUTSIDE = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.attentions.0": "middle_block.1",
    "controlnet_mid_block": "middle_block_out.0",
}
_VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}


def unet_name(name: str, layers: int) -> str:
    """The original name of a tensor of a U-Net or of a guidance copy (ControlNet).

    Args:
        name: In diffusers' `UNet2DConditionModel` or `ControlNetModel`.
        layers: Residual blocks a level on the way down.
    """
    if match := re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)", name):
        way, level, kind, layer = match[1], int(match[2]), match[3], int(match[4])
        block = level * (layers + 1) + layer
        place = f"input_blocks.{block + 1}" if way == "down" else f"output_blocks.{block}"
        return f"{place}.0.{_renamed(match[5], _RESNET)}" if kind == "resnets" else f"{place}.1.{match[5]}"
    if match := re.fullmatch(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.+)", name):
        return f"input_blocks.{(int(match[1]) + 1) * (layers + 1)}.0.op.{match[2]}"
    if match := re.fullmatch(r"up_blocks\.(\d+)\.upsamplers\.0\.conv\.(.+)", name):
        last = int(match[1]) * (layers + 1) + layers
        after = 2 if int(match[1]) else 1  # the attention, of which the lowest level has none
        return f"output_blocks.{last}.{after}.conv.{match[2]}"
    if match := re.fullmatch(r"mid_block\.resnets\.(\d)\.(.+)", name):
        return f"middle_block.{2 * int(match[1])}.{_renamed(match[2], _RESNET)}"
    return _renamed(name, _OUTSIDE)


def guide_name(name: str, layers: int, hints: int = 6) -> str:
    """The original name of a tensor of a guidance copy.

    Args:
        name: In diffusers' `ControlNetModel`.
        layers: Residual blocks a level.
        hints: Inner convolutions of the hint encoder; six in every published one.
    """
    if match := re.fullmatch(r"controlnet_down_blocks\.(\d+)\.(.+)", name):
        return f"zero_convs.{match[1]}.0.{match[2]}"
    if match := re.fullmatch(r"controlnet_cond_embedding\.(?:(conv_in)|(conv_out)|blocks\.(\d+))\.(.+)", name):
        place = 0 if match[1] else hints + 1 if match[2] else int(match[3]) + 1
        return f"input_hint_block.{2 * place}.{match[4]}"  # every other one is an activation
    return unet_name(name, layers)


def codec_name(name: str, levels: int) -> str:
    """The original name of a tensor of the autoencoder.

    Args:
        name: In diffusers' `AutoencoderKL`.
        levels: Resolutions; the original counts them from the finest on both ways.
    """
    if match := re.fullmatch(r"(encoder|decoder)\.(down|up)_blocks\.(\d+)\.(.+)", name):
        level = int(match[3]) if match[2] == "down" else levels - 1 - int(match[3])
        inner = re.sub(r"^(down|up)samplers\.0\.", r"\1sample.", match[4].replace("resnets.", "block."))
        return f"{match[1]}.{match[2]}.{level}.{inner.replace('conv_shortcut', 'nin_shortcut')}"
    if match := re.fullmatch(r"(encoder|decoder)\.mid_block\.resnets\.(\d)\.(.+)", name):
        return f"{match[1]}.mid.block_{int(match[2]) + 1}.{match[3]}"
    if match := re.fullmatch(r"(encoder|decoder)\.mid_block\.attentions\.0\.(.+)", name):
        return f"{match[1]}.mid.attn_1.{_renamed(match[2], _VAE_ATTENTION)}"
    return name.replace("conv_norm_out", "norm_out")


def codec_spelling(name: str) -> str:
    """A name of diffusers' `AutoencoderKL` as it is spelled since 0.18; folders of Stable Diffusion 1 are older."""
    match = re.fullmatch(r"(.+\.mid_block\.attentions\.0)\.(query|key|value|proj_attn)\.(weight|bias)", name)
    now = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    return f"{match[1]}.{now[match[2]]}.{match[3]}" if match else name


def _renamed(name: str, table: dict[str, str]) -> str:
    for theirs, original in table.items():
        if name.startswith(f"{theirs}."):
            return original + name[len(theirs) :]
    return name
