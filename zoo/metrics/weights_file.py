"""Weights that a user supplies as a file: read without running code, and known by their sha256."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor


class WeightsFile(NamedTuple):
    """Tensors by name, and the sha256 of the file that held them."""

    state: dict[str, Tensor]
    sha256: str


def read_weights(path: Path, flag: str, sha256: str | None = None) -> WeightsFile:
    """Reads a state dict from .safetensors, or from .pth/.pt/.bin/.ckpt with `weights_only`.

    Args:
        path: The file.
        flag: The option or argument that names it, for messages.
        sha256: What its hash must be or begin with; None takes any file. A name that ends in `-` and eight digits of
            the hash, as PyTorch's published files do, is held to them in any case.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there. Nothing is downloaded: get the file and pass its path as {flag}."
        )
    found = digest(path)
    ending = path.stem.rpartition("-")[2].lower()
    claimed = ending if len(ending) == 8 and set(ending) <= set("0123456789abcdef") else ""
    for wanted in filter(None, (sha256, claimed)):
        if not found.startswith(wanted.lower()):
            raise ValueError(
                f"{path} has the sha256 {found}, which should begin with {wanted}: it is another file, or damaged. "
                f"Get it again, or pass the right one as {flag}."
            )
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        raise _unreadable(path, flag, error) from error
    except Exception as error:
        if type(error).__name__ != "UnpicklingError":  # named so that nothing here imports pickle
            raise
        raise _unreadable(path, flag, error) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds no state dict (names and tensors). Pass a file of weights as {flag}.")
    return WeightsFile({name.removeprefix("module."): value for name, value in state.items()}, found)


def digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fill(module: torch.nn.Module, file: WeightsFile, path: Path, flag: str) -> None:
    """Loads the weights, all of them and no others."""
    own = module.state_dict()
    missing, extra = sorted(own.keys() - file.state.keys()), sorted(file.state.keys() - own.keys())
    wrong = [name for name in own.keys() & file.state.keys() if own[name].shape != file.state[name].shape]
    if missing or extra or wrong:
        raise ValueError(
            f"{path} does not fit {type(module).__name__}: {len(missing)} missing ({', '.join(missing[:3])}), "
            f"{len(extra)} unexpected ({', '.join(extra[:3])}), {len(wrong)} of another shape "
            f"({', '.join(sorted(wrong)[:3])}). Pass weights of that architecture as {flag}."
        )
    module.load_state_dict(file.state)


def _unreadable(path: Path, flag: str, error: Exception) -> ValueError:
    return ValueError(
        f"{path} cannot be read as weights ({type(error).__name__}): it is damaged, or holds objects or code, which "
        f"are never run. Pass a .safetensors file or a plain state dict as {flag}."
    )
