"""Writes a released folder: model.safetensors, model.yaml, README.md (the model card) and SHA256SUMS."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import save_file
from torch import Tensor

from checkpoints.load import read, sha256


def save(folder: str | Path, config: Mapping[str, Any], state: Mapping[str, Tensor], card: str) -> Path:
    """Releases weights. The folder appears whole or not at all, and an existing one is not replaced.

    Args:
        folder: To be made.
        config: `class_path` and `init_args` that build the model.
        state: Its tensors.
        card: What the weights are, trained on what, how good, under which licence; Markdown.
    """
    target = Path(folder)
    if target.exists():
        raise FileExistsError(f"{target} exists. Released weights are not replaced: give another folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.mkdir()
    try:
        # clones, because safetensors refuses tensors that share memory
        save_file({key: value.detach().cpu().clone().contiguous() for key, value in state.items()},
                  temporary / "model.safetensors")  # fmt: skip
        (temporary / "model.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False))
        (temporary / "README.md").write_text(card.rstrip() + "\n")
        files = ("model.safetensors", "model.yaml", "README.md")
        (temporary / "SHA256SUMS").write_text("".join(f"{sha256(temporary / name)}  {name}\n" for name in files))
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def release(ckpt: str | Path, folder: str | Path, card: str) -> Path:
    """Releases the (averaged) weights of a run.

    Args:
        ckpt: A run folder or `.ckpt` file.
        folder: To be made.
        card: The model card, Markdown.
    """
    weights = read(ckpt)
    return save(folder, weights.config, weights.state, card)
