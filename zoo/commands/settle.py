"""What a run's options mean for one another, before anything is built."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from jsonargparse import Namespace

from zoo.commands.mistakes import imported
from zoo.registry import UsageError, option


def same_model(options: Namespace, trained: Mapping[str, Any] | None) -> None:
    """Refuses weights of another method.

    Args:
        options: Of the run.
        trained: How the model of --ckpt is built; None without one.

    Raises:
        UsageError: They are of another one.
    """
    path = str(options.model.class_path)
    made = imported(path)
    if trained is None or not isinstance(made, type):  # a function that makes the model: the weights will tell
        return
    if _class(trained) in [parent.__name__ for parent in made.__mro__]:
        return
    raise UsageError(
        f"--ckpt {options.ckpt} holds weights of {_class(trained)}, and the model is {path.rpartition('.')[2]}. Leave "
        f"--model out, as the weights know theirs, or leave --ckpt out."
    )


def same_optimizer(options: Namespace, trained: Mapping[str, Any]) -> None:
    """Refuses to go on with another optimizer, to which what the old one kept is nothing.

    Args:
        options: Of the run.
        trained: How the model of --ckpt is built.

    Raises:
        UsageError: It is another one.
    """
    before = trained.get("init_args", {}).get("optimizer")
    now = (options.model.get("init_args") or {}).get("optimizer")
    if isinstance(before, Mapping) and isinstance(now, Namespace) and _class(before) != _class(now):
        raise UsageError(
            f"--model.optimizer {_class(now)}: the run of --ckpt {options.ckpt} goes on with {_class(before)}, as it "
            "was begun. Leave it out; its numbers, such as --model.optimizer.lr, may change."
        )


def settle_image_branch(options: Namespace, words: list[str], trained: Mapping[str, Any] | None = None) -> None:
    """A model whose data has no images is built without its image branch, and saved so, unless weights bring one.

    Args:
        options: Of the run; changed in place.
        words: Of the command line.
        trained: How the model of --ckpt is built; None without one.

    Raises:
        UsageError: Images are asked for by name, and the weights have no branch that looks at them.
    """
    branched = trained is not None and _has_branch(trained)
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


def keep_codec(options: Namespace, words: list[str]) -> None:
    """A run that takes model and weights from a release leaves the codec, which has learned, unless told otherwise.

    Args:
        options: Of the run; changed in place.
        words: Of the command line.
    """
    arguments = options.model.get("init_args") or {}
    if "codec_share" in arguments and not any("codec_share" in word for word in words):
        arguments["codec_share"] = 0.0


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


def _class(spec: Mapping[str, Any] | Namespace) -> str:
    return str(spec["class_path"]).rpartition(".")[2]


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
