"""Weights of tiny, untrained models in the layout of released ones."""

from pathlib import Path

import torch
import yaml

from checkpoints.save import save
from tests.test_every_model import TINY
from zoo.registry import build, find


def untrained(folder: Path, images: bool = False) -> Path:
    """HHMR with random weights; with images it takes them at 64 pixels."""
    config = yaml.safe_load(find("model", "hhmr").read_text())
    config["init_args"]["conditioner"]["init_args"]["image"] = None
    small = {k: v for k, v in TINY["hhmr"].items() if images or "image" not in k}
    for key, value in small.items():
        *parents, name = key.split(".")
        place = config["init_args"]
        for parent in parents:
            place = place.setdefault(parent, {"class_path": "DDIM"}).setdefault("init_args", {})
        place[name] = value
    torch.manual_seed(0)
    return save(folder, config, build(config).state_dict(), "An untrained model.")
