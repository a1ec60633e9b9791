"""Encoders: from raw inputs to conditions. The image mappers load timm, so they are imported on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zoo.encoders.base import Conditioner
from zoo.encoders.codec import KLCodec, LatentCodec, VQCodec
from zoo.encoders.latent_cache import LatentCache
from zoo.encoders.masking import Masking
from zoo.encoders.skeleton import Skeleton2D, Skeleton3D

if TYPE_CHECKING:
    from zoo.encoders.clip_text import ClipText
    from zoo.encoders.clip_tokens import ClipTokens
    from zoo.encoders.grammar import Gerunds, Nltk, Suffix
    from zoo.encoders.hand_lexicon import Lexicon
    from zoo.encoders.hand_words import ExactTokens, HandTokens, ReleasedTokens
    from zoo.encoders.image import ImageMapper
    from zoo.encoders.joint_image import JointImageMapper
    from zoo.encoders.multimodal import HandConditioner
    from zoo.encoders.pose_image import PoseImageMapper
    from zoo.encoders.spans import HandTagger

__all__ = [
    "ClipText",
    "ClipTokens",
    "Conditioner",
    "ExactTokens",
    "Gerunds",
    "HandConditioner",
    "HandTagger",
    "HandTokens",
    "ImageMapper",
    "JointImageMapper",
    "KLCodec",
    "LatentCache",
    "LatentCodec",
    "Lexicon",
    "Masking",
    "Nltk",
    "PoseImageMapper",
    "ReleasedTokens",
    "Skeleton2D",
    "Skeleton3D",
    "Suffix",
    "VQCodec",
]

HOMES = {
    "ClipText": "clip_text",
    "ClipTokens": "clip_tokens",
    "ExactTokens": "hand_words",
    "Gerunds": "grammar",
    "HandConditioner": "multimodal",
    "HandTagger": "spans",
    "HandTokens": "hand_words",
    "ImageMapper": "image",
    "JointImageMapper": "joint_image",
    "Lexicon": "hand_lexicon",
    "Nltk": "grammar",
    "PoseImageMapper": "pose_image",
    "ReleasedTokens": "hand_words",
    "Suffix": "grammar",
}


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(import_module(f"zoo.encoders.{HOMES[name]}"), name)
    raise AttributeError(f"zoo.encoders has no {name}.")
