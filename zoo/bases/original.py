"""Files in the layout of the original Stable Diffusion code: one file with all parts, told apart by prefixes.

AttentionHand's own checkpoint is one of them, with the guidance copy beside the rest, and so are the first ControlNet
files. The heads and the groups of the layers leave no trace in the tensors: they are those of version 1.5, and the
report says so, unless the file's metadata says otherwise, as it does in those written here.
"""

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from zoo.bases.base import Base
from zoo.bases.names import codec_name, guide_name, unet_name
from zoo.bases.report import Line, demand, fill, match
from zoo.bases.schedules import by_betas
from zoo.bases.sizes import codec_sizes, text_sizes, unet_sizes
from zoo.bases.tensors import read_tensors
from zoo.denoisers.latent_unet import LatentUNet
from zoo.diffusion import NoiseSchedule
from zoo.encoders.clip_keys import from_hugging_face, to_hugging_face
from zoo.encoders.clip_text import ClipText
from zoo.encoders.codec import KLCodec

Group = Literal["unet", "guide", "codec", "text", "second", "averaged", "loss", "schedule", "other"]
PREFIXES: dict[str, Group] = {
    "model.diffusion_model.": "unet",
    "VAS.": "guide",  # AttentionHand's visual attention stage
    "control_model.": "guide",  # the same in ControlNet
    "first_stage_model.loss.": "loss",
    "first_stage_model.": "codec",
    "cond_stage_model.transformer.text_model.": "text",
    "cond_stage_model.transformer.": "text",
    "TAS.": "second",
    "model_ema.": "averaged",
}
WHOLE: dict[Group, str] = {
    "unet": "the U-Net (model.diffusion_model.*)",
    "codec": "the autoencoder (first_stage_model.*)",
    "text": "the text encoder (cond_stage_model.transformer.*)",
    "guide": "a guidance copy (VAS.* or control_model.*)",
}
IDLE: dict[Group, tuple[str, str]] = {
    "second": ("second U-Net (TAS)", "read and not needed, because attention maps come from the frozen U-Net itself"),
    "averaged": ("averages (model_ema)", "not needed: the weights themselves are taken"),
    "loss": ("autoencoder's loss", "not needed: it trained the autoencoder"),
    "schedule": ("noise schedule", "its betas say which; the rest follows from them"),
}
SCHEDULE = re.compile(
    r"(sqrt_|log_)?(recip_|recipm1_|one_minus_)?alphas_cumprod(_prev)?|posterior_\w+|betas|logvar|lvlb_weights|cond_ids"
)
KEY = "hand-model-zoo"  # of the metadata


@dataclass(frozen=True)
class Untold:
    """What tensors do not tell.

    Args:
        heads: Of the U-Net's attention.
        groups: Of its normalisations.
        side: Of the latents that it was made for.
        codec_groups: Of the autoencoder's.
        text_heads: Of the text encoder's attention; CLIP has one for 64 channels.
        quick_gelu: Whether that encoder has OpenAI's activation.
        padding: What follows a text's end; see `ClipText`.
        scale: Of the latents.
        schedule: Kind and length of the noise schedule.
    """

    heads: int = 8
    groups: int = 32
    side: int = 64
    codec_groups: int = 32
    text_heads: int | None = None
    quick_gelu: bool = True
    padding: Literal["end", "zero"] = "end"
    scale: float = 0.18215
    schedule: tuple[str, int] = ("scaled_linear", 1000)


@dataclass(frozen=True)
class Original:
    """A file's tensors by what they belong to, without their prefixes."""

    path: Path
    groups: Mapping[Group, dict[str, Tensor]]
    untold: Untold = field(default_factory=Untold)
    left: tuple[str, ...] = ()
    assumed: bool = True  # what tensors do not tell, for want of the file's word

    def noted(self, line: Line, *facts: str) -> Line:
        """The line with what was assumed for its part."""
        if not self.assumed:
            return line
        note = f"assumed, as in version 1.5: {', '.join(facts)}"
        return replace(line, note=f"{line.note}; {note}" if line.note else note)

    @property
    def has_base(self) -> bool:
        """Whether there is a part of a base in it."""
        return not self.groups.keys().isdisjoint(("unet", "codec", "text"))

    @property
    def has_guide(self) -> bool:
        """Whether there is a guidance copy in it."""
        return "guide" in self.groups

    def need(self, group: Group) -> dict[str, Tensor]:
        """The tensors of a part; an error when there are none."""
        if group not in self.groups:
            has = (
                ", ".join(name.partition(" (")[0] for key, name in WHOLE.items() if key in self.groups) or "none of it"
            )
            raise ValueError(
                f"{self.path} has not {WHOLE[group]}; of a model in the original layout it has {has}. "
                "Give a file that holds the whole model."
            )
        return self.groups[group]


def open_original(path: Path) -> Original:
    """Reads a file in the original layout.

    Args:
        path: A `.safetensors` file or a checkpoint.
    """
    state, facts, left = read_tensors(path)
    if "input_hint_block.0.weight" in state:  # a guidance copy by itself
        state = {f"control_model.{key}": value for key, value in state.items()}
    groups: dict[Group, dict[str, Tensor]] = {}
    for key, value in state.items():
        prefix = next((prefix for prefix in PREFIXES if key.startswith(prefix)), "")
        group = PREFIXES[prefix] if prefix else "schedule" if SCHEDULE.fullmatch(key) else "other"
        groups.setdefault(group, {})[key.removeprefix(prefix)] = value
    found = Original(path, groups, _untold(facts), left, KEY not in facts)
    _refuse_others(found)
    return found


def base_of(original: Original) -> tuple[Base, list[Line]]:
    """The base in a file, and how its parts fitted; an error when one did not."""
    untold = original.untold
    parts = {group: original.need(group) for group in ("unet", "codec", "text")}
    try:
        channels, widths, layers, context = unet_sizes(parts["unet"])
        codec_widths, codec_layers, codec_channels = codec_sizes(parts["codec"])
        width, text_layers, length, vocabulary = text_sizes(parts["text"])
    except ValueError as error:
        raise ValueError(f"{original.path} is not of the original layout: {error}.") from error
    with torch.device("meta"):
        unet = LatentUNet(channels, widths, layers, untold.heads, context, untold.groups, untold.side)
        codec = KLCodec(codec_widths, codec_layers, codec_channels, untold.codec_groups, untold.scale)
    heads = untold.text_heads or max(width // 64, 1)
    text = ClipText(width, text_layers, heads, length, vocabulary, untold.quick_gelu, untold.padding)
    lines = [
        fill(unet.net, parts["unet"], lambda name: unet_name(name, layers), "U-Net"),
        fill(codec.net, parts["codec"], lambda name: codec_name(name, len(codec_widths)), "autoencoder"),
        fill_text(text, parts["text"]),
    ]
    demand(lines, original.path)
    kind, steps = untold.schedule
    betas = original.groups.get("schedule", {}).get("betas")
    of_codec = [f"{untold.codec_groups} groups", f"scale {untold.scale}"]
    of_text = [f"{heads} heads", "quick GELU" if untold.quick_gelu else "GELU", f"padding with {untold.padding}"]
    of_unet = [*_layers(untold), f"latents of {untold.side}", "predicts the noise"]
    of_unet += [f"{kind} schedule of {steps} steps"] if betas is None else []
    lines = [original.noted(x, *y) for x, y in zip(lines, (of_unet, of_codec, of_text), strict=True)]
    schedule = NoiseSchedule(kind, steps) if betas is None else by_betas(betas, original.path)  # type: ignore[arg-type]
    return Base(codec, text, unet, schedule), lines


def fill_text(text: ClipText, state: Mapping[str, Tensor]) -> Line:
    """Puts tensors named as in `transformers`, without `text_model.`, into a text encoder."""
    wanted = to_hugging_face(text.state_dict(), prefix="")
    line, found = match(wanted, state, "text encoder", needless="embeddings.position_ids")
    if line.fits:
        text.load_state_dict(from_hugging_face(found))
    return line


def guide_of(original: Original) -> tuple[Any, Line]:
    """The guidance copy in a file, as diffusers' `ControlNetModel`, and how it fitted; an error when it did not."""
    from zoo.bases.guides import empty_guide

    state = original.need("guide")
    try:
        channels, widths, layers, context = unet_sizes(state)
        places = sorted(int(m[1]) for key in state if (m := re.fullmatch(r"input_hint_block\.(\d+)\.weight", key)))
        convolved = [state[f"input_hint_block.{place}.weight"].shape[0] for place in places]
        if len(convolved) < 2:
            raise ValueError("it has no input_hint_block, which reads the mesh image")
    except ValueError as error:
        raise ValueError(f"{original.path}: the guidance copy is not of the original layout: {error}.") from error
    hints = tuple(convolved[:-1:2])  # the others keep the width, and the last has the U-Net's
    guide = empty_guide(channels, widths, layers, original.untold.heads, context, original.untold.groups, hints)
    line = fill(guide, state, lambda name: guide_name(name, layers, len(convolved) - 2), "guidance copy")
    demand([line], original.path)
    return guide.eval(), original.noted(line, *_layers(original.untold))


def idle_lines(original: Original) -> list[Line]:
    """What a file holds that belongs to no part, and why it was left."""
    lines = [
        Line(name, len(original.groups[group]), note=note)
        for group, (name, note) in IDLE.items()
        if group in original.groups
    ]
    if other := original.groups.get("other"):
        lines.append(Line("others", unexpected=tuple(other), note="unknown here, left"))
    if original.left:
        lines.append(Line("objects", note=f"not made, not needed: {', '.join(original.left)}"))
    return lines


def load_original(path: Path) -> Base:
    """The base in a file; a warning names what is unknown in it."""
    original = open_original(path)
    base, _ = base_of(original)
    if other := original.groups.get("other"):
        warnings.warn(
            f"{path} holds {len(other)} tensors that belong to no part of a Stable Diffusion model and were left: "
            f"{', '.join(list(other)[:5])}{', ...' if len(other) > 5 else ''}.",
            stacklevel=2,
        )
    return base


def metadata(untold: Untold) -> dict[str, str]:
    """What goes into the metadata of a file for what its tensors do not tell."""
    return {"format": "pt", KEY: json.dumps(asdict(untold))}


def _layers(untold: Untold) -> tuple[str, str]:
    return f"{untold.heads} heads", f"{untold.groups} groups"


def _untold(facts: Mapping[str, str]) -> Untold:
    said: dict[str, Any] = json.loads(facts.get(KEY, "{}"))
    return Untold(**{**said, "schedule": tuple(said["schedule"])}) if said else Untold()


def _refuse_others(original: Original) -> None:
    """Says no to models that a file of this layout can be, but that are not version 1 of Stable Diffusion."""
    other, unet = original.groups.get("other", {}), original.groups.get("unet", {})
    projection = next((value for key, value in unet.items() if key.endswith("proj_in.weight")), None)
    first, last = unet.get("input_blocks.0.0.weight"), unet.get("out.2.weight")
    what = ""
    if any(key.startswith("conditioner.embedders.") for key in other) or "label_emb.0.0.weight" in unet:
        what = "Stable Diffusion XL, which reads two text encoders and sizes"
    elif any(key.startswith("cond_stage_model.model.") for key in other) or (
        projection is not None and projection.ndim == 2
    ):
        what = "Stable Diffusion 2, which has another text encoder and another U-Net"
    elif any("joint_blocks." in key or "double_blocks." in key for key in (*other, *unet)):
        what = "a diffusion transformer, which has no U-Net"
    elif "quantize.embedding.weight" in original.groups.get("codec", {}):
        what = "a model with a VQ autoencoder, whose layout is not read"
    elif first is not None and last is not None and first.shape[1] != last.shape[0]:
        what = f"a model whose U-Net reads {first.shape[1]} channels and writes {last.shape[0]}, as for inpainting"
    elif any(key.startswith(("down_blocks.", "controlnet_down_blocks.")) for key in other):
        what = "one part of a diffusers folder"
    if what:
        fix = "the folder itself" if "folder" in what else "a model of version 1, such as 1.5"
        raise ValueError(f"{original.path} is {what}. Give {fix}.")
