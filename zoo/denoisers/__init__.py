"""Denoisers: the networks that are trained."""

from zoo.denoisers.base import Denoiser
from zoo.denoisers.dual_unet import DualUNet
from zoo.denoisers.latent_unet import LatentUNet, Residuals
from zoo.denoisers.mesh_unet import MeshUNet

__all__ = ["Denoiser", "DualUNet", "LatentUNet", "MeshUNet", "Residuals"]
