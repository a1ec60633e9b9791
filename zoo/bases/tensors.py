"""Reads the tensors of `.safetensors` files and of PyTorch's own checkpoints. Nothing that a file names is run."""

import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

PICKLED = (".ckpt", ".pt", ".pth", ".bin")
SUFFIXES = (".safetensors", *PICKLED)


class Tensors(NamedTuple):
    """What a file holds."""

    state: dict[str, Tensor]
    facts: dict[str, str] = {}  # noqa: RUF012 - a tuple's default; the metadata of a .safetensors file
    left: tuple[str, ...] = ()  # classes whose objects were in the file, and were not made


class Inert:
    """Stands for an object that a checkpoint pickled; takes whatever it is given and does nothing."""

    def __new__(cls, *args: object, **kwargs: object) -> Any:
        # PyTorch's reader puts items into nothing but dictionaries of its own kinds
        return OrderedDict() if "dict" in cls.__name__.lower() else super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def read_tensors(path: Path) -> Tensors:
    """Reads a file of weights.

    Args:
        path: A `.safetensors` file, or what `torch.save` wrote; of a checkpoint, its `state_dict`.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path} ends in {path.suffix or 'nothing'}; weights are read from {', '.join(SUFFIXES)}.")
    found = _safe(path) if path.suffix == ".safetensors" else _pickled(path)
    if not found.state:
        raise ValueError(f"{path} holds no tensors. Give the file of a model's weights.")
    return found


def _safe(path: Path) -> Tensors:
    try:
        with safe_open(path, framework="pt") as file:
            return Tensors({key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {}))  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a whole .safetensors file ({error}): cut short, or another kind of file. Copy it again."
        ) from error


def _pickled(path: Path) -> Tensors:
    mapped = zipfile.is_zipfile(path)  # as torch.save writes since 1.6: read where it lies, not twice into memory
    left: tuple[str, ...] = ()
    try:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except pickle.UnpicklingError:
            # Lightning's checkpoints hold callbacks and settings beside the tensors. For each class that PyTorch does
            # not know, its restricted reader is handed an inert one: nothing of the class itself is looked up.
            left = tuple(sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path)))
            inert: list[Any] = [(type(name, (Inert,), {}), name) for name in left]
            with torch.serialization.safe_globals(inert):
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a damaged file can raise nearly anything
        if named := re.search(r"GLOBAL (\S+) whose module", str(error)):
            raise ValueError(
                f"{path} asks for {named[1]}, which weights do not need and which could run code: refused, nothing "
                "was run. Use the original file, or its .safetensors form."
            ) from None
        raise ValueError(
            f"{path} cannot be read as weights ({type(error).__name__}): cut short, damaged, or another kind of file. "
            "Copy it again from the original."
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    return Tensors({str(key): value.detach() for key, value in state.items() if isinstance(value, Tensor)}, left=left)
