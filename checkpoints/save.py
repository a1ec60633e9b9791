"""Writes a released folder: model.safetensors, model.yaml, README.md (the model card) and SHA256SUMS."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import save_file
from torch import Tensor

from checkpoints.load import offline, read, sha256

FILES = ("model.safetensors", "model.yaml", "README.md")


def save(
    folder: str | Path,
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    card: str,
    *,
    replace: bool = False,
    check: Callable[[Path], object] | None = None,
) -> Path:
    """Releases weights. The folder appears whole or not at all.

    Args:
        folder: To be made.
        config: `class_path` and `init_args` that build the model.
        state: Its tensors, in the precision that they are to have in the file.
        card: What the weights are, trained on what, how good, under which licence; Markdown.
        replace: Whether an existing folder makes way; an error otherwise.
        check: Is given the folder before it is where it shall be; what it raises leaves nothing behind.
    """
    target = Path(folder)
    if target.exists() and not replace:
        raise FileExistsError(f"{target} exists. Released weights are not replaced: give another folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.mkdir()
    try:
        # clones, because safetensors refuses tensors that share memory
        save_file({key: value.detach().cpu().clone().contiguous() for key, value in state.items()},
                  temporary / "model.safetensors")  # fmt: skip
        os.chmod(temporary / "model.safetensors", 0o644)  # safetensors makes files that only their owner can read
        (temporary / "model.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False))
        (temporary / "README.md").write_text(card.rstrip() + "\n")
        (temporary / "SHA256SUMS").write_text("".join(f"{sha256(temporary / name)}  {name}\n" for name in FILES))
        if check is not None:
            check(temporary)
        if target.exists():
            shutil.rmtree(target)
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
    return save(folder, offline(weights.config), weights.state, card)
