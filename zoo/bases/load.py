"""From a name to a base."""

import re
from pathlib import Path

from zoo.bases.base import Base
from zoo.bases.folder import load_folder
from zoo.bases.hub import fetch
from zoo.bases.original import load_original
from zoo.bases.shipped import load_released, shelf, shipped_names
from zoo.bases.tensors import SUFFIXES
from zoo.registry import nearest


def load_base(name: str) -> Base:
    """A base by name. What is on the disk comes first; only an id of the hub that is not uses the network.

    Args:
        name: A folder of diffusers; a `.safetensors` file or checkpoint in the original Stable Diffusion layout; a name
            of weights that ship, or a folder of released ones; or `owner/name`, an id of the Hugging Face hub.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return load_original(path)
    if path.is_dir():
        return load_released(path) if (path / "model.yaml").is_file() else load_folder(path)
    known = shipped_names()
    if name in known:
        return load_released(shelf() / name)
    if re.fullmatch(r"\w[\w.-]*/[\w.-]+", name) and path.suffix not in SUFFIXES:
        return load_folder(fetch(name))
    raise FileNotFoundError(
        f"--model.base {name} is not there, and no name of weights that ship.{nearest(name, known)} Give a diffusers "
        f"folder, a .safetensors or .ckpt file, an id of the hub (owner/name), or one of: {', '.join(known) or 'none'}."
    )
