"""Bases: the text-to-image models that latent methods start from, in every layout that they come in."""

from zoo.bases.base import Base, identity
from zoo.bases.guides import read_guide, start_guide
from zoo.bases.load import load_base

__all__ = ["Base", "identity", "load_base", "read_guide", "start_guide"]
