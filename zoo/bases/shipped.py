"""Weights that ship with the project, found without importing the package that they lie in."""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from zoo.bases.base import Base
from zoo.bases.tensors import read_tensors
from zoo.registry import build

BUILDER = "LatentDiffusion"  # the model whose weights are a base


def shelf() -> Path:
    """The folder of weights that ship."""
    spec = find_spec("checkpoints")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("The package checkpoints is not installed. Run pip install -e . in the project.")
    return Path(spec.origin).parent / "weights"


def shipped_names(folder: Path | None = None) -> list[str]:
    """Names of shipped weights that are a base."""
    paths = (folder or shelf()).glob("*/model.yaml")
    return sorted(path.parent.name for path in paths if _kind(path) == BUILDER)


def load_released(folder: Path) -> Base:
    """The base in a folder of released weights: model.yaml, model.safetensors, SHA256SUMS."""
    if (kind := _kind(folder / "model.yaml")) != BUILDER:
        raise ValueError(
            f"{folder} holds the weights of {kind}, which is no base. Known bases: {', '.join(shipped_names())}."
        )
    lines = [line.split(maxsplit=1) for line in (folder / "SHA256SUMS").read_text().splitlines() if line]
    sums = {name: digest for digest, name in lines}
    for name in ("model.safetensors", "model.yaml"):
        with (folder / name).open("rb") as file:
            if sums.get(name) != hashlib.file_digest(file, "sha256").hexdigest():
                raise ValueError(f"{folder / name} is damaged: its sha256 is not that in SHA256SUMS. Copy it again.")
    model: Any = build(yaml.safe_load((folder / "model.yaml").read_text()))
    state = read_tensors(folder / "model.safetensors").state
    whole = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    missing, unexpected = model.load_state_dict(whole, strict=False)
    if missing or unexpected:
        raise ValueError(
            f"The weights in {folder} do not fit the model that their own configuration builds: {len(missing)} missing "
            f"({', '.join(missing[:3])}), {len(unexpected)} unexpected ({', '.join(unexpected[:3])})."
        )
    return Base(model.codec, model.text, model.unet, model.schedule)


def _kind(path: Path) -> str:
    return str(yaml.safe_load(path.read_text())["class_path"]).rpartition(".")[2]
