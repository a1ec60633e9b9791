"""Guidance: what wraps a denoiser while sampling."""

from zoo.guidance.aligned import AlignedGradient
from zoo.guidance.base import Diverged, Guidance, guided
from zoo.guidance.classifier_free import ClassifierFree
from zoo.guidance.known_part import KnownPart
from zoo.guidance.operators import JointsAt, Operator, PixelsAt, Residual, Together, VerticesAt
from zoo.guidance.strength import Likelihood

__all__ = [
    "AlignedGradient",
    "ClassifierFree",
    "Diverged",
    "Guidance",
    "JointsAt",
    "KnownPart",
    "Likelihood",
    "Operator",
    "PixelsAt",
    "Residual",
    "Together",
    "VerticesAt",
    "guided",
]
