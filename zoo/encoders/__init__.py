"""Encoders: from raw inputs to conditions. The image mappers load timm, so they are imported on first use."""

from typing import TYPE_CHECKING, Any

from zoo.encoders.base import Conditioner
from zoo.encoders.codec import KLCodec, LatentCodec, VQCodec
from zoo.encoders.latent_cache import LatentCache
from zoo.encoders.masking import Masking
from zoo.encoders.skeleton import Skeleton2D, Skeleton3D

if TYPE_CHECKING:
    from zoo.encoders.image import ImageMapper
    from zoo.encoders.joint_image import JointImageMapper
    from zoo.encoders.multimodal import HandConditioner
    from zoo.encoders.pose_image import PoseImageMapper

__all__ = [
    "Conditioner",
    "HandConditioner",
    "ImageMapper",
    "JointImageMapper",
    "KLCodec",
    "LatentCache",
    "LatentCodec",
    "Masking",
    "PoseImageMapper",
    "Skeleton2D",
    "Skeleton3D",
    "VQCodec",
]


def __getattr__(name: str) -> Any:
    if name == "ImageMapper":
        from zoo.encoders.image import ImageMapper

        return ImageMapper
    if name == "JointImageMapper":
        from zoo.encoders.joint_image import JointImageMapper

        return JointImageMapper
    if name == "PoseImageMapper":
        from zoo.encoders.pose_image import PoseImageMapper

        return PoseImageMapper
    if name == "HandConditioner":
        from zoo.encoders.multimodal import HandConditioner

        return HandConditioner
    raise AttributeError(f"zoo.encoders has no {name}.")
