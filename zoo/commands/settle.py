"""What a run's options mean for one another, before anything is built."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from jsonargparse import Namespace

import checkpoints
from zoo.registry import UsageError, option


def settle_image_branch(options: Namespace, words: list[str]) -> None:
    """A model whose data has no images is built without its image branch, and saved so, unless weights bring one.

    Args:
        options: Of the run; changed in place.
        words: Of the command line.

    Raises:
        UsageError: Images are asked for by name, and the weights have no branch that looks at them.
    """
    branched = bool(options.ckpt) and _has_branch(checkpoints.read(options.ckpt).config)
    conditioner = (options.model.get("init_args") or {}).get("conditioner")
    parts = None if conditioner is None else conditioner.get("init_args")
    if parts is None or "image" not in parts:
        return
    if not branched and (options.data.get("init_args") or {}).get("images") is False:
        parts["image"] = None
    if parts["image"] is None and (option(words, "data.images") or "").lower() == "true":
        raise UsageError(
            f"--data.images true: the model of --ckpt {options.ckpt} looks at no images. Leave it out, give weights "
            "with an image branch, or add one with --model.conditioner.image FILE.yaml."
        )


def unfuse_optimizer(options: Namespace) -> None:
    """Lightning refuses to clip the gradients of a fused optimizer under mixed precision, bf16 too."""
    optimizer = (options.model.get("init_args") or {}).get("optimizer")
    arguments = optimizer.get("init_args") if isinstance(optimizer, Namespace) else None
    mixed = str(options.trainer.precision) in ("16", "16-mixed", "bf16", "bf16-mixed")
    if mixed and options.trainer.gradient_clip_val and arguments is not None and arguments.get("fused"):
        arguments["fused"] = False


def read_by(options: Namespace) -> list[str]:
    """All words that may name what a run reads: of its dataset, its model and its configurations."""
    return [*map(str, options.get("config") or []), *_words(options.model.as_dict()), *_words(options.data.as_dict())]


def _has_branch(config: Mapping[str, Any]) -> bool:
    conditioner = config.get("init_args", {}).get("conditioner") or {}
    return (conditioner.get("init_args") or {}).get("image") is not None


def _words(value: Any) -> Iterator[str]:
    """All texts in nested dictionaries and lists."""
    if isinstance(value, str | os.PathLike):
        yield os.fspath(value)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _words(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _words(part)
