"""Samplers: from noise to a sample."""

from zoo.samplers.base import Sampler
from zoo.samplers.ddim import DDIM
from zoo.samplers.ddpm import DDPM

__all__ = ["DDIM", "DDPM", "Sampler"]
