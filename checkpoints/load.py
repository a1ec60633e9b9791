"""From a name, a run folder, a `.ckpt` file or a released folder to a model. Nothing is unpickled."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from checkpoints.precision import whole
from zoo.models.base import HandMethod, Method, PictureMethod
from zoo.registry import build, nearest

SHIPPED = Path(__file__).parent / "weights"


class Weights(NamedTuple):
    """A model's configuration (`class_path` and `init_args`) and its tensors, averaged ones where there are any."""

    config: dict[str, Any]
    state: dict[str, Tensor]


def names() -> list[str]:
    """Names of the weights that ship with the project."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/model.safetensors"))


def find(ckpt: str | Path) -> Path:
    """The `.ckpt` file or the released folder that `--ckpt` means.

    Args:
        ckpt: A shipped name, a `.ckpt` file, a run folder (its last checkpoint is taken) or a released folder.
    """
    path = Path(ckpt)
    if path.is_file():
        return path.parent if path.name == "model.safetensors" else path
    if (path / "model.safetensors").is_file():
        return path
    for folder in (path / "checkpoints", path):
        files = sorted(folder.glob("*.ckpt"), key=lambda file: (file.stem == "last", file.stat().st_mtime))
        if files:
            return files[-1]
    if (SHIPPED / str(ckpt) / "model.safetensors").is_file():
        return SHIPPED / str(ckpt)
    known = names()
    said = "holds no checkpoint" if path.is_dir() else "is neither a file, nor a folder, nor a known name"
    raise FileNotFoundError(
        f"--ckpt {ckpt} {said}.{nearest(str(ckpt), known)} Give a .ckpt file, the folder of a run, "
        f"or one of: {', '.join(known) or '(no weights ship yet)'}."
    )


def read(ckpt: str | Path) -> Weights:
    """Reads configuration and weights, without building the model."""
    path = find(ckpt)
    return _released(path) if path.is_dir() else _trained(path)


def load(ckpt: str | Path, **overrides: Any) -> Method:
    """A model with its weights, in evaluation mode.

    Args:
        ckpt: As for `find`.
        overrides: Constructor arguments that differ from those the weights were trained with; dots for nested ones.
    """
    weights = read(ckpt)
    model = build(offline(weights.config), **overrides)
    missing, unexpected = model.load_state_dict(weights.state, strict=False)
    if missing or unexpected:
        raise ValueError(
            f"The weights in {ckpt} do not fit the model that their own configuration builds: "
            f"{len(missing)} missing ({', '.join(missing[:3])}), {len(unexpected)} unexpected "
            f"({', '.join(unexpected[:3])}). They come from another version of {weights.config['class_path']}."
        )
    return model.eval()


def load_hands(ckpt: str | Path, **overrides: Any) -> HandMethod:
    """As `load`, for a model that makes hands.

    Raises:
        ValueError: it makes something else.
    """
    model = load(ckpt, **overrides)
    if not isinstance(model, HandMethod):
        raise ValueError(f"--ckpt {ckpt} is a {type(model).__name__}, which makes no hands. Give another one.")
    return model


def load_pictures(ckpt: str | Path, **overrides: Any) -> PictureMethod:
    """As `load`, for a model that makes pictures.

    Raises:
        ValueError: it makes something else.
    """
    model = load(ckpt, **overrides)
    if not isinstance(model, PictureMethod):
        raise ValueError(f"--ckpt {ckpt} is a {type(model).__name__}, which makes no pictures. Give another one.")
    return model


def offline(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same configuration, with nothing that training alone needs: its weights come with it.

    No part fetches pretrained weights, no copy starts from a file, and no latents are kept in a folder.
    """

    def settled(value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return {name: settled(part, name) for name, part in value.items()}
        if key in ("cache", "guide") and isinstance(value, str):
            return None
        return False if key == "pretrained" else value

    result: dict[str, Any] = settled(config)
    return result


def _released(folder: Path) -> Weights:
    lines = [line.split(maxsplit=1) for line in (folder / "SHA256SUMS").read_text().splitlines() if line]
    sums = {name: digest for digest, name in lines}
    for name in ("model.safetensors", "model.yaml"):
        if sums.get(name) != sha256(folder / name):
            raise ValueError(f"{folder / name} is damaged: its sha256 is not the one in SHA256SUMS. Copy it again.")
    state = whole(load_file(folder / "model.safetensors"))
    return Weights(yaml.safe_load((folder / "model.yaml").read_text()), state)


def _trained(path: Path) -> Weights:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        state = content["state_dict"]
    except Exception as error:
        others = [str(other) for other in sorted(path.parent.glob("*.ckpt")) if other != path and _is_whole(other)]
        such = f": {' and '.join(others)}, beside it, can be read" if others else ""
        raise ValueError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}): it is damaged, not a checkpoint, or "
            f"holds code, which is never run. Give another file with --ckpt{such}."
        ) from error
    averaged = content.get("ema", {}).get("weights", {})  # of the callback EMA
    return Weights(_config(path, content.get("hyper_parameters", {})), {**state, **averaged})


def _is_whole(path: Path) -> bool:
    try:
        return "state_dict" in torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except Exception:
        return False


def _config(path: Path, hyper: dict[str, Any]) -> dict[str, Any]:
    if "_class_path" in hyper:
        return {
            "class_path": hyper["_class_path"],
            "init_args": {key: value for key, value in hyper.items() if not key.startswith("_")},
        }
    for folder in (path.parent, path.parent.parent):
        if (folder / "config.yaml").is_file():
            config: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text())["model"]
            return config
    raise ValueError(f"{path} does not say which model it belongs to. Keep config.yaml of its run beside it.")


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
