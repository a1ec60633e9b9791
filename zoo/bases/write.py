"""Writes bases and guidance copies as other software reads them. What is written appears whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file
from torch import Tensor

from zoo.bases.base import Base
from zoo.bases.names import codec_name, guide_name, unet_name
from zoo.bases.original import Untold, metadata
from zoo.bases.schedules import to_config
from zoo.bases.tokenizer import write_tokenizer
from zoo.encoders.clip_keys import to_hugging_face
from zoo.encoders.clip_text import ClipText
from zoo.encoders.codec import KLCodec

if TYPE_CHECKING:
    from diffusers import ControlNetModel

MARKS = ("config.json", "model_index.json")  # one of them is in every folder of diffusers
PARTS = {
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "tokenizer": ("transformers", "CLIPTokenizer"),
    "scheduler": ("diffusers", "DDIMScheduler"),
}


@contextmanager
def appearing(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path beside a target, which takes its name at the end, when nothing went wrong.

    Args:
        target: A file or folder to be made.
        overwrite: Whether one of that name makes way; of folders, only what diffusers could read.
    """
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists. Give another --to, or --overwrite to replace it.")
    if target.is_dir() and any(target.iterdir()) and not any((target / mark).is_file() for mark in MARKS):
        raise FileExistsError(
            f"{target} does not look like a folder of diffusers, so --overwrite will not empty it. Give another --to."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        yield temporary
        for path in (temporary, *temporary.rglob("*.safetensors")):
            if path.is_file():
                path.chmod(0o644)  # safetensors makes files that only their owner can read
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(temporary, target)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)


def write_guide(guide: "ControlNetModel", folder: Path, overwrite: bool = False) -> None:
    """Writes a guidance copy as a folder that `ControlNetModel.from_pretrained` reads.

    Args:
        guide: The copy.
        folder: To be made.
        overwrite: Whether a folder of that name makes way.
    """
    with appearing(folder, overwrite) as temporary:
        guide.save_pretrained(temporary)


def write_base(base: Base, folder: Path, overwrite: bool = False) -> None:
    """Writes a base as a folder that `StableDiffusionPipeline.from_pretrained` reads, its tokenizer with it.

    Args:
        base: To be written; its codec must be a `KLCodec`, which is the one that those pipelines know.
        folder: To be made.
        overwrite: Whether a folder of that name makes way.
    """
    codec = _kl(base)
    with appearing(folder, overwrite) as temporary:
        base.unet.net.save_pretrained(temporary / "unet")
        codec.net.save_pretrained(temporary / "vae")
        settings = temporary / "vae" / "config.json"  # where training may have found another scale than it began with
        _write_json(settings, {**json.loads(settings.read_text()), "scaling_factor": codec.scale})
        _write_text(base.text, temporary / "text_encoder")
        write_tokenizer(base.text.tokens, temporary / "tokenizer")
        _write_json(temporary / "scheduler" / "scheduler_config.json", to_config(base.schedule))
        index: dict[str, Any] = {"_class_name": "StableDiffusionPipeline", **PARTS}
        index |= {"safety_checker": (None, None), "feature_extractor": (None, None), "requires_safety_checker": False}
        _write_json(temporary / "model_index.json", index)


def write_original(
    base: Base,
    file: Path,
    guide: "ControlNetModel | None" = None,
    prefix: str = "control_model.",
    overwrite: bool = False,
) -> None:
    """Writes a base, and a guidance copy where there is one, as one file in the original layout.

    Args:
        base: To be written.
        file: A `.safetensors` file to be made.
        guide: The copy.
        prefix: Of the copy's tensors: `control_model.` for ControlNet, `VAS.` for AttentionHand's own code.
        overwrite: Whether a file of that name makes way.
    """
    codec, layers = _kl(base), base.unet.net.config.layers_per_block
    state = {
        f"model.diffusion_model.{unet_name(key, layers)}": value for key, value in base.unet.net.state_dict().items()
    }
    levels = len(codec.net.config.block_out_channels)
    for key, value in codec.net.state_dict().items():
        name = codec_name(key, levels)
        matrix = ".mid.attn_1." in name and value.ndim == 2
        state[f"first_stage_model.{name}"] = value[:, :, None, None] if matrix else value
    state |= to_hugging_face(base.text.state_dict(), "cond_stage_model.transformer.text_model.")
    state["betas"] = base.schedule.beta
    if guide is not None:
        inner = len(guide.controlnet_cond_embedding.blocks)
        copied = guide.state_dict().items()
        state |= {f"{prefix}{guide_name(key, guide.config.layers_per_block, inner)}": value for key, value in copied}
    with appearing(file, overwrite) as temporary:
        save_file(_plain(state), temporary, metadata(untold_of(base)))


def untold_of(base: Base) -> Untold:
    """What the tensors of a base do not tell."""
    config = base.unet.net.config
    block = base.text.net.transformer.resblocks[0]
    return Untold(
        config.num_attention_heads or config.attention_head_dim,
        config.norm_num_groups,
        config.sample_size,
        _kl(base).net.config.norm_num_groups,
        block.attn.num_heads,
        _quick(base.text),
        base.text.tokens.padding,
        base.codec.scale,
        (base.schedule.kind, base.schedule.steps),
    )


def _write_text(text: ClipText, folder: Path) -> None:
    width, net = text.dim, text.net
    config = {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": len(net.transformer.resblocks),
        "num_attention_heads": net.transformer.resblocks[0].attn.num_heads,
        "max_position_embeddings": text.tokens.context,
        "vocab_size": text.tokens.vocab,
        "hidden_act": "quick_gelu" if _quick(text) else "gelu",
        "layer_norm_eps": net.ln_final.eps,
        "projection_dim": width,
        "bos_token_id": text.tokens.start,
        "eos_token_id": text.tokens.end,
        "pad_token_id": text.tokens.end if text.tokens.padding == "end" else 0,
    }
    _write_json(folder / "config.json", config)
    save_file(_plain(to_hugging_face(text.state_dict())), folder / "model.safetensors", {"format": "pt"})


def _write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def _quick(text: ClipText) -> bool:
    return type(text.net.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"


def _kl(base: Base) -> KLCodec:
    if not isinstance(base.codec, KLCodec):
        raise ValueError(
            f"The base has a {type(base.codec).__name__}, which layouts of Stable Diffusion have no place for. "
            "Give a base with a KLCodec."
        )
    return base.codec


def _plain(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().cpu().contiguous() for key, value in state.items()}
