"""Methods, one file each."""

from zoo.models.base import HandMethod, Method, PictureMethod
from zoo.models.hhmr import HHMR
from zoo.models.latent_diffusion import LatentDiffusion

__all__ = ["HHMR", "HandMethod", "LatentDiffusion", "Method", "PictureMethod"]
