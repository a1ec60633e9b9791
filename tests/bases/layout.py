"""Checkpoints in the original layout, their names out of diffusers' own converters rather than out of ours.

Those converters go from the original layout to diffusers', by rules. Here each is run on the names that ours gives, and
what it makes of them must be what we started from; so a checkpoint that this writes has the original's names.
"""

import torch
from diffusers.loaders.single_file_utils import (
    convert_controlnet_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)

from zoo.bases.names import codec_name, guide_name, unet_name
from zoo.encoders.clip_keys import to_hugging_face

SCHEDULE = [
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
    "logvar",
]


def unet_state(net, prefix="model.diffusion_model."):
    layers = net.config.layers_per_block
    state = {prefix + unet_name(key, layers): value for key, value in net.state_dict().items()}
    if prefix == "model.diffusion_model.":
        _agree(convert_ldm_unet_checkpoint(dict(state), net.config), net)
    return state


def guide_state(net, prefix="control_model."):
    layers = net.config.layers_per_block
    state = {guide_name(key, layers): value for key, value in net.state_dict().items()}
    _agree(
        convert_controlnet_checkpoint({f"control_model.{key}": value for key, value in state.items()}, net.config), net
    )
    return {prefix + key: value for key, value in state.items()}


def codec_state(net, prefix="first_stage_model."):
    """Queries, keys, values and projections are convolutions of one pixel there."""
    levels = len(net.config.block_out_channels)
    state = {}
    for key, value in net.state_dict().items():
        matrix = "attentions" in key and value.ndim == 2
        state[prefix + codec_name(key, levels)] = value[:, :, None, None] if matrix else value
    _agree(convert_ldm_vae_checkpoint(dict(state), net.config), net)
    return state


def text_state(text, prefix="cond_stage_model.transformer.text_model."):
    ids = {f"{prefix}embeddings.position_ids": torch.arange(text.tokens.context)[None]}
    return to_hugging_face(text.state_dict(), prefix) | ids


def base_state(base):
    """What a checkpoint of Stable Diffusion 1 holds, the buffers of its noise schedule too."""
    buffers = {name: torch.zeros(base.schedule.steps) for name in SCHEDULE} | {"betas": base.schedule.beta.clone()}
    return {**unet_state(base.unet.net), **codec_state(base.codec.net), **text_state(base.text), **buffers}


def attentionhand_state(base, guide):
    """The authors' own: the guidance copy as VAS, and the pipeline of the text attention with its second U-Net."""
    second = {f"TAS.unet.{key}": value + 1 for key, value in base.unet.net.state_dict().items()}
    return {**base_state(base), **guide_state(guide, "VAS."), **second}


def _agree(converted, net):
    own = net.state_dict()
    assert converted.keys() == own.keys()
    assert all(torch.equal(converted[key], own[key]) for key in own)
