"""Methods, one file each."""

from zoo.models.base import HandMethod, Method, PictureMethod
from zoo.models.hhmr import HHMR

__all__ = ["HHMR", "HandMethod", "Method", "PictureMethod"]
