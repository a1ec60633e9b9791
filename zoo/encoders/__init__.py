"""Encoders: from raw inputs to conditions. `ImageMapper` loads timm, so it is imported on first use."""

from typing import TYPE_CHECKING, Any

from zoo.encoders.base import Conditioner
from zoo.encoders.masking import Masking
from zoo.encoders.skeleton import Skeleton2D, Skeleton3D

if TYPE_CHECKING:
    from zoo.encoders.image import ImageMapper
    from zoo.encoders.multimodal import HandConditioner

__all__ = ["Conditioner", "HandConditioner", "ImageMapper", "Masking", "Skeleton2D", "Skeleton3D"]


def __getattr__(name: str) -> Any:
    if name == "ImageMapper":
        from zoo.encoders.image import ImageMapper

        return ImageMapper
    if name == "HandConditioner":
        from zoo.encoders.multimodal import HandConditioner

        return HandConditioner
    raise AttributeError(f"zoo.encoders has no {name}.")
