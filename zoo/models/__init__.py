"""Methods, one file each."""

from zoo.models.base import Method
from zoo.models.hhmr import HHMR

__all__ = ["HHMR", "Method"]
