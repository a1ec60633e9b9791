"""Guidance copies in other layouts: folders of diffusers' ControlNet, and the original layout."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from zoo.bases.original import guide_of, open_original
from zoo.bases.report import demand, fill
from zoo.bases.tensors import SUFFIXES, read_tensors

if TYPE_CHECKING:
    from diffusers import ControlNetModel

    from zoo.denoisers.dual_unet import DualUNet
    from zoo.denoisers.latent_unet import LatentUNet

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors",
           "diffusion_pytorch_model.bin")  # fmt: skip
SIZES = (
    "in_channels",
    "block_out_channels",
    "layers_per_block",
    "cross_attention_dim",
    "down_block_types",
    "norm_num_groups",
    "attention_head_dim",
    "num_attention_heads",
    "use_linear_projection",
)  # of a configuration, those in which a copy and its U-Net agree
OURS = {"controlnet_conditioning_channel_order": "rgb", "global_pool_conditions": False, "conditioning_channels": 3}


def empty_guide(
    channels: int,
    widths: Sequence[int],
    layers: int,
    heads: int,
    context: int,
    groups: int,
    hints: Sequence[int] = (16, 32, 96, 256),
) -> "ControlNetModel":
    """A guidance copy without weights, on the meta device.

    Args:
        channels: Of the latents.
        widths: Channels on each level.
        layers: Residual blocks a level.
        heads: Of each attention.
        context: Channels of a token.
        groups: Of the normalisations.
        hints: Channels of the hint's encoder; each but the last halves the sides.
    """
    from diffusers import ControlNetModel

    with torch.device("meta"):
        return ControlNetModel(
            in_channels=channels,
            down_block_types=("CrossAttnDownBlock2D",) * (len(widths) - 1) + ("DownBlock2D",),
            block_out_channels=tuple(widths),
            layers_per_block=layers,
            attention_head_dim=heads,
            cross_attention_dim=context,
            norm_num_groups=groups,
            conditioning_embedding_out_channels=tuple(hints),
        )


def read_guide(name: str, unet: "LatentUNet | None" = None, factor: int | None = None) -> "ControlNetModel":
    """A guidance copy out of a file or a folder.

    Args:
        name: A folder of diffusers' ControlNet, or a file in the original layout: ControlNet's or AttentionHand's.
        unet: That it shall guide; an error when the sizes differ.
        factor: By how much the hint must be larger than the latents: the codec's.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        guide = _of_folder(path)
    elif path.is_file():
        guide, _ = guide_of(open_original(path))
    else:
        raise FileNotFoundError(
            f"{path} is neither a folder nor a file. Give a folder of diffusers' ControlNet (config.json and weights) "
            f"or a file in the original layout ({', '.join(SUFFIXES)})."
        )
    if unet is not None:
        check_fits(guide, unet, path)
    found = 2 ** (len(guide.config.conditioning_embedding_out_channels) - 1)
    if factor is not None and found != factor:
        raise ValueError(
            f"The guidance copy of {path} reads hints {found} times as large as the latents, but pictures are {factor} "
            "times as large. Give one that was trained for a codec of the same factor."
        )
    return guide


def start_guide(dual: "DualUNet", name: str, factor: int | None = None) -> None:
    """Starts the guidance copy, or both, of a dual U-Net from one out of a file or a folder.

    Args:
        dual: Whose copies take over the weights.
        name: As for `read_guide`.
        factor: The codec's; the dual U-Net's own when None.
    """
    found = read_guide(name, dual.base, dual.factor if factor is None else factor)
    theirs, ours = (_plain(net.config)["conditioning_embedding_out_channels"] for net in (found, dual.guide))
    if theirs != ours:
        raise ValueError(
            f"The guidance copy of {name} reads mesh images by convolutions of {theirs} channels, not {ours}. "
            f"Set the dual U-Net's hint to {theirs}."
        )
    for guide in (dual.guide, dual.guide_local):
        if guide is not None:
            guide.load_state_dict(found.state_dict())


def check_fits(guide: "ControlNetModel", unet: "LatentUNet", source: object) -> None:
    """Raises when a guidance copy and a U-Net differ in sizes.

    Args:
        guide: The copy.
        unet: What it shall guide.
        source: Where the copy came from.
    """
    theirs, ours = _plain(guide.config), _plain(unet.net.config)
    said = [f"{key} {theirs[key]} for {ours[key]}" for key in SIZES if theirs.get(key) != ours.get(key)]
    if said:
        raise ValueError(
            f"The guidance copy of {source} does not fit the base's U-Net: {', '.join(said)}. "
            "Give one that was made for this base, or set --model.base to its own."
        )


def _of_folder(folder: Path) -> "ControlNetModel":
    from diffusers import ControlNetModel

    config = read_config(folder / "config.json")
    if (kind := config.get("_class_name")) != "ControlNetModel":
        raise ValueError(
            f"{folder / 'config.json'} is of a {kind}, not of a ControlNetModel. Give a ControlNet's folder."
        )
    for key, ours in OURS.items():
        if config.get(key, ours) != ours:
            raise ValueError(f"{folder / 'config.json'} has {key} {config[key]}; a guidance copy here has {ours}.")
    with torch.device("meta"):
        guide: ControlNetModel = ControlNetModel.from_config(config)
    line = fill(guide, read_tensors(weights_of(folder, WEIGHTS)).state, lambda name: name, "guidance copy")
    demand([line], folder)
    return guide.eval()


def read_config(path: Path) -> dict[str, Any]:
    """A JSON file of settings."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there. A folder of diffusers has it; copy the whole folder.")
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}). Copy it again from the original.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no settings. Copy it again from the original.")
    return content


def weights_of(folder: Path, names: Sequence[str]) -> Path:
    """The file of weights in a folder, the first of the names that there is."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} has no weights: none of {', '.join(names)}. Copy the whole folder.")


def _plain(config: Any) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in dict(config).items()}
