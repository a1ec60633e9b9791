"""What a checkpoint says of the run that made it: words that a command line leaves out."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import checkpoints
from zoo import registry
from zoo.registry import UsageError, class_path, name_of, names, option, without


def with_model(words: list[str]) -> list[str]:
    """With a checkpoint the model is built as it was trained, unless `--model` is another one.

    Raises:
        UsageError: Weights that ship are called by the name of another model.
    """
    ckpt, named = option(words, "ckpt"), option(words, "model")
    if ckpt is None or option(words, "config") is not None or (named is not None and named not in names("model")):
        return words
    config = checkpoints.read(ckpt).config
    built = str(config["class_path"]).rpartition(".")[2]
    if named is not None and class_path("model", named).rpartition(".")[2] != built:
        return words
    path = checkpoints.find(ckpt)
    if named is not None and named != path.name and path.is_dir() and path.name in names("model"):
        raise UsageError(
            f"--ckpt {ckpt} holds weights of {path.name}, not of {named}. Leave --model out, as the weights know "
            f"theirs, or give weights of {named}."
        )
    name = name_of("model", built, named or Path(ckpt).name)
    defaults = registry.folder("model") / "runs" / f"{name}.yaml"
    first = [f"--config={defaults}"] if defaults.is_file() else []
    return [words[0], *first, *without(words[1:], "model"), f"--model={json.dumps(config)}"]


def with_data(words: list[str]) -> list[str]:
    """A run is scored on, and goes on with, the data that it was trained on, unless others are named."""
    ckpt = option(words, "ckpt")
    if ckpt is None or option(words, "data") is not None or option(words, "config") is not None:
        return words
    path = checkpoints.find(ckpt)
    trained = path.parent.parent / "config.yaml"
    if path.is_dir() or not trained.is_file():
        return words
    data = yaml.safe_load(trained.read_text()).get("data")
    return [words[0], f"--data={json.dumps(data)}", *words[1:]] if data else words


def as_told(words: list[str], configured: bool) -> list[str]:
    """`fit` goes on with what the run was told besides model and data: its trainer, seed and callbacks.

    Args:
        words: As `resolve` gives them; flags among them win.
        configured: Whether the user gave a --config, which then stands in the place of the run's.
    """
    ckpt = option(words, "ckpt")
    path = None if ckpt is None or configured or words[0] != "fit" else checkpoints.find(ckpt)
    if path is None or path.is_dir() or not (told := path.parent.parent / "config.yaml").is_file():
        return words
    own = ("model", "data", "out", "overwrite", "ckpt", "config")
    kept = {key: value for key, value in yaml.safe_load(told.read_text()).items() if key not in own}
    last = max((place for place, word in enumerate(words) if word.startswith("--config=")), default=0)
    return [*words[: last + 1], f"--config={json.dumps(kept)}", *words[last + 1 :]]


def begun_from(out: Path, data: Mapping[str, Any]) -> str | None:
    """The `--ckpt` that a run which goes on in its own folder was begun with, so that `--config` repeats the whole.

    Args:
        out: The folder.
        data: What the run shall go on with.

    Raises:
        UsageError: The run learned from another dataset, of which its settings would no longer tell.
    """
    told = out / "config.yaml"
    if not told.is_file():
        return None
    before: dict[str, Any] = yaml.safe_load(told.read_text())
    learned = before.get("data") or data
    if _dataset(learned) != _dataset(data):
        raise UsageError(
            f"--out {out} has learned from {_dataset(learned)[0]}, and its settings tell of one dataset. Leave --out "
            "away, or give a new folder, to go on with another."
        )
    return before.get("ckpt")


def _dataset(data: Mapping[str, Any]) -> tuple[str, str]:
    """The class, and the parts of a mixture."""
    path, arguments = str(data["class_path"]).rpartition(".")[2], data.get("init_args") or {}
    parts = [arguments.get(key) for key in ("weights", "options")] if path == "Mix" else []
    return path, json.dumps(parts, default=str, sort_keys=True)
