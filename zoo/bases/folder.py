"""Folders of diffusers' Stable Diffusion: `unet`, `vae`, `text_encoder`, `scheduler`, each with its settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.bases.base import Base
from zoo.bases.guides import WEIGHTS, read_config, weights_of
from zoo.bases.names import codec_spelling
from zoo.bases.original import fill_text
from zoo.bases.report import Line, demand, fill
from zoo.bases.schedules import by_config
from zoo.bases.tensors import read_tensors
from zoo.denoisers.latent_unet import LatentUNet
from zoo.encoders.clip_text import ClipText
from zoo.encoders.codec import KLCodec, LatentCodec, VQCodec

SETTINGS = ("unet/config.json", "vae/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json")
TEXT_WEIGHTS = ("model.safetensors", "model.fp16.safetensors", "pytorch_model.bin")
# settings without a say in what a network computes, or read one by one
ASIDE = {"sample_size", "attention_head_dim", "num_attention_heads", "scaling_factor", "force_upcast"}
ACTIVATIONS = {"quick_gelu": True, "gelu": False}
VERSION_1 = "Give a model of version 1, such as 1.5."


def load_folder(folder: Path) -> Base:
    """The base in a folder of diffusers."""
    base, _ = base_of_folder(folder)
    return base


def base_of_folder(folder: Path) -> tuple[Base, list[Line]]:
    """The base in a folder, and how its parts fitted; an error when one did not."""
    if missing := [name for name in SETTINGS if not (folder / name).is_file()]:
        raise FileNotFoundError(
            f"{folder} is not a whole folder of diffusers' Stable Diffusion: it has no {', '.join(missing)}. "
            "Copy the whole folder, or give a single file in the original layout."
        )
    if (folder / "text_encoder_2").is_dir():
        raise ValueError(f"{folder} has two text encoders, as Stable Diffusion XL; one is read here. {VERSION_1}")
    unet = _unet(read_config(folder / "unet" / "config.json"), folder)
    codec = _codec(read_config(folder / "vae" / "config.json"), folder)
    text = _text(read_config(folder / "text_encoder" / "config.json"), folder)
    schedule = by_config(read_config(folder / "scheduler" / "scheduler_config.json"), folder / "scheduler")
    states = {
        part: read_tensors(weights_of(folder / part, TEXT_WEIGHTS if part == "text_encoder" else WEIGHTS)).state
        for part in ("unet", "vae", "text_encoder")
    }
    pictures = {codec_spelling(key): value for key, value in states["vae"].items()}
    words = {key.removeprefix("text_model."): value for key, value in states["text_encoder"].items()}
    net: nn.Module = codec.net  # type: ignore[assignment]  # of both codecs
    lines = [
        fill(unet.net, states["unet"], str, "U-Net"),
        fill(net, pictures, str, "autoencoder"),
        fill_text(text, words),
    ]
    demand(lines, folder)
    return Base(codec, text, unet, schedule), lines


def _unet(config: Mapping[str, Any], folder: Path) -> LatentUNet:
    heads = config.get("num_attention_heads") or config.get("attention_head_dim", 8)
    if not isinstance(heads, int):
        raise ValueError(f"{folder / 'unet'} has {heads} heads on its levels, as Stable Diffusion 2 has. {VERSION_1}")
    channels, out = config.get("in_channels", 4), config.get("out_channels", 4)
    if channels != out:
        raise ValueError(
            f"{folder / 'unet'} reads {channels} channels and writes {out}, as for inpainting. {VERSION_1}"
        )
    widths = config.get("block_out_channels", (320, 640, 1280, 1280))
    layers, context = config.get("layers_per_block", 2), config.get("cross_attention_dim", 1280)
    groups, side = config.get("norm_num_groups", 32), config.get("sample_size") or 64
    with torch.device("meta"):
        unet = LatentUNet(channels, widths, layers, heads, context, groups, side)
    _agree(config, unet.net.config, folder / "unet")
    return unet


def _codec(config: Mapping[str, Any], folder: Path) -> LatentCodec:
    widths, layers = config.get("block_out_channels", (64,)), config.get("layers_per_block", 1)
    channels, groups = config.get("latent_channels", 4), config.get("norm_num_groups", 32)
    scale = config.get("scaling_factor", 0.18215)
    codec: LatentCodec
    with torch.device("meta"):
        if config.get("_class_name") == "VQModel":
            codec = VQCodec(widths, layers, channels, config.get("num_vq_embeddings", 256), groups, scale)
        else:
            codec = KLCodec(widths, layers, channels, groups, scale)
    _agree(config, codec.net.config, folder / "vae")
    return codec


def _text(config: Mapping[str, Any], folder: Path) -> ClipText:
    width, inner = config.get("hidden_size", 512), config.get("intermediate_size", 2048)
    activation = config.get("hidden_act", "quick_gelu")
    if inner != 4 * width or activation not in ACTIVATIONS:
        raise ValueError(
            f"{folder / 'text_encoder'} has {inner} channels inside of its blocks of {width}, and {activation}; "
            f"CLIP has four times as many, and {' or '.join(ACTIVATIONS)}. {VERSION_1}"
        )
    return ClipText(
        width,
        config.get("num_hidden_layers", 12),
        config.get("num_attention_heads", 8),
        config.get("max_position_embeddings", 77),
        config.get("vocab_size", 49408),
        ACTIVATIONS[activation],
    )


def _agree(theirs: Mapping[str, Any], ours: Mapping[str, Any], folder: Path) -> None:
    """Raises when a folder's settings ask for another network than ours."""
    said = [
        f"{key} {value}"
        for key, value in theirs.items()
        if key in ours and key not in ASIDE and not key.startswith("_") and _listed(value) != _listed(ours[key])
    ]
    if said:
        raise ValueError(
            f"{folder / 'config.json'} asks for what Stable Diffusion 1 has not: {', '.join(said)}. {VERSION_1}"
        )


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
