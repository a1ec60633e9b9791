"""Denoisers: the networks that are trained."""

from zoo.denoisers.base import Denoiser
from zoo.denoisers.mesh_unet import MeshUNet

__all__ = ["Denoiser", "MeshUNet"]
