"""The weights of CLIP's text half under the names that other projects give them.

Every function takes a whole state dict and returns a whole one. What it does not know or does not find is an error that
lists the keys; only what is known to belong to CLIP's other half or to no weight is left out.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

State = Mapping[str, Tensor]

# ours (open_clip's) and Hugging Face's names of what each block holds, besides the attention's input
BLOCK = {
    "ln_1": "layer_norm1",
    "attn.out_proj": "self_attn.out_proj",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
OUTSIDE = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
IN = "net.transformer.resblocks.{}.attn.in_proj_{}"  # query, key and value in one
SINGLE_FILE = "cond_stage_model.transformer."
# no weight of the text transformer: the image half, both projections, temperatures, constants kept as buffers
OTHERS = re.compile(
    r"(vision_model|visual|visual_projection)\..+|text_projection(\.weight|\.bias)?|logit_(scale|bias)|attn_mask"
    r"|input_resolution|context_length|vocab_size|embeddings\.position_ids"
)


def from_hugging_face(state: State) -> dict[str, Tensor]:
    """`ClipText`'s state dict from that of transformers' CLIPTextModel or CLIPModel.

    Files have the keys `text_model.encoder.layers.N...`; transformers 5 drops `text_model.` in memory. Both are read.
    """
    state = _named({key.removeprefix("text_model."): value for key, value in state.items()})
    blocks = _blocks(state, r"encoder\.layers\.(\d+)\.")
    names = _hugging_face_names(blocks)
    asked = [*names.values(), *(f"{part}.{kind}" for _, kind, parts in _attentions(blocks) for part in parts)]
    _same_keys(state, asked, "Hugging Face's CLIPTextModel")
    ours = {name: state[theirs] for name, theirs in names.items()}
    for block, kind, parts in _attentions(blocks):
        ours[IN.format(block, kind)] = torch.cat([state[f"{part}.{kind}"] for part in parts])
    return ours


def from_single_file(state: State) -> dict[str, Tensor]:
    """`ClipText`'s state dict out of a Stable Diffusion 1.x checkpoint in the original layout.

    The text model is what starts with `cond_stage_model.transformer.`; the rest belongs to U-Net and codec.
    """
    found = {key.removeprefix(SINGLE_FILE): value for key, value in state.items() if key.startswith(SINGLE_FILE)}
    if not found:
        raise ValueError(
            f"None of {len(state)} keys starts with {SINGLE_FILE!r}, where a Stable Diffusion 1.x checkpoint has its "
            "text model. Give a 1.x checkpoint, or the text model's own file."
        )
    return from_hugging_face(found)


def from_open_clip(state: State) -> dict[str, Tensor]:
    """`ClipText`'s state dict from open_clip's CLIP (`transformer...`) or CustomTextCLIP (`text.transformer...`).

    `module.` in front of every key, which distributed training leaves, is dropped.
    """
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    state = _named({key.removeprefix("text."): value for key, value in state.items()})
    blocks = _blocks(state, r"transformer\.resblocks\.(\d+)\.")
    ours = {name.removeprefix("net."): name for name in our_names(blocks)}
    _same_keys(state, ours, "open_clip's text transformer")
    return {name: state[theirs] for theirs, name in ours.items()}


def to_hugging_face(state: State, prefix: str = "text_model.") -> dict[str, Tensor]:
    """The state dict of transformers' CLIPTextModel from `ClipText`'s, as a diffusers folder's file has it.

    Args:
        state: `ClipText.state_dict()`.
        prefix: In front of every key; transformers 5 has none in memory, Stable Diffusion's single files have
            "cond_stage_model.transformer.text_model.".
    """
    blocks = _blocks(state, r"net\.transformer\.resblocks\.(\d+)\.")
    _same_keys(state, our_names(blocks), "ClipText")
    theirs = {name: state[ours] for ours, name in _hugging_face_names(blocks).items()}
    for block, kind, parts in _attentions(blocks):
        thirds = state[IN.format(block, kind)].chunk(3)
        theirs |= {f"{part}.{kind}": third.clone() for part, third in zip(parts, thirds, strict=True)}
    return {prefix + name: value for name, value in theirs.items()}


def sizes(state: State) -> dict[str, int]:
    """What `ClipText` is to be built with for a state dict of its: width, layers, context and vocab.

    The heads leave no trace in the weights; every published CLIP has width / 64.
    """
    vocab, width = state["net.token_embedding.weight"].shape
    layers = _blocks(state, r"net\.transformer\.resblocks\.(\d+)\.")
    return {
        "width": width,
        "layers": layers,
        "context": len(state["net.positional_embedding"]),
        "vocab": vocab,
    }


def our_names(blocks: int) -> list[str]:
    """The keys of a `ClipText` with that many blocks."""
    attention = [IN.format(block, kind) for block, kind, _ in _attentions(blocks)]
    return [*_hugging_face_names(blocks), *attention]


def _hugging_face_names(blocks: int) -> dict[str, str]:
    """Hugging Face's name of each of our weights, but for the attention's input."""
    names = {f"net.{ours}": theirs for ours, theirs in OUTSIDE.items()}
    for block in range(blocks):
        for ours, theirs in BLOCK.items():
            for kind in ("weight", "bias"):
                names[f"net.transformer.resblocks.{block}.{ours}.{kind}"] = f"encoder.layers.{block}.{theirs}.{kind}"
    return names


def _attentions(blocks: int) -> list[tuple[int, str, list[str]]]:
    """Block, weight or bias, and Hugging Face's three parts of its attention's input in our order."""
    return [
        (block, kind, [f"encoder.layers.{block}.self_attn.{part}_proj" for part in "qkv"])
        for block in range(blocks)
        for kind in ("weight", "bias")
    ]


def _named(state: State) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not OTHERS.fullmatch(key)}


def _blocks(state: State, pattern: str) -> int:
    numbers = [int(found[1]) for key in state if (found := re.match(pattern, key))]
    return max(numbers, default=-1) + 1


def _same_keys(state: State, asked: Iterable[str], layout: str) -> None:
    missing, unexpected = sorted(set(asked) - set(state)), sorted(set(state) - set(asked))
    if missing or unexpected:
        raise ValueError(
            f"These are not the weights of {layout}: {len(missing)} missing ({', '.join(missing[:20])}), "
            f"{len(unexpected)} unexpected ({', '.join(unexpected[:20])}). "
            "Give the state dict of the text model as that project saves it."
        )
