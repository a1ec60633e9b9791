"""Guidance: what wraps a denoiser while sampling."""

from zoo.guidance.aligned import AlignedGradient
from zoo.guidance.base import Diverged, Guidance, guided
from zoo.guidance.classifier_free import ClassifierFree
from zoo.guidance.known_part import KnownPart
from zoo.guidance.operators import JointsAt, Operator, PixelsAt, Residual, Together, VerticesAt
from zoo.guidance.strength import Likelihood
from zoo.guidance.text_attention import Moved, TextAttention, residual_noise
from zoo.guidance.text_attention_guidance import TextAttentionGuidance
from zoo.guidance.text_attention_presets import PAPER, RELEASED, released_positions

__all__ = [
    "PAPER",
    "RELEASED",
    "AlignedGradient",
    "ClassifierFree",
    "Diverged",
    "Guidance",
    "JointsAt",
    "KnownPart",
    "Likelihood",
    "Moved",
    "Operator",
    "PixelsAt",
    "Residual",
    "TextAttention",
    "TextAttentionGuidance",
    "Together",
    "VerticesAt",
    "guided",
    "released_positions",
    "residual_noise",
]
