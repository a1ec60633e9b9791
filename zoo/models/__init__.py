"""Methods, one file each."""

from zoo.models.attentionhand import AttentionHand
from zoo.models.base import HandMethod, Method, PictureMethod
from zoo.models.hhmr import HHMR
from zoo.models.latent_diffusion import LatentDiffusion

__all__ = ["HHMR", "AttentionHand", "HandMethod", "LatentDiffusion", "Method", "PictureMethod"]
