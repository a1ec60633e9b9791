"""Loading and saving of weights: `.ckpt` files of a run, and released folders (safetensors, YAML, sha256)."""

from checkpoints.load import find, load, names, read
from checkpoints.save import save

__all__ = ["find", "load", "names", "read", "save"]
