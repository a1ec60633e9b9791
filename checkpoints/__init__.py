"""Loading and saving of weights: `.ckpt` files of a run, and released folders (safetensors, YAML, sha256)."""

from checkpoints.load import find, load, load_hands, load_pictures, names, read
from checkpoints.save import save
from checkpoints.shipping import manifest, ship

__all__ = ["find", "load", "load_hands", "load_pictures", "manifest", "names", "read", "save", "ship"]
