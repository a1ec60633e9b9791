"""Guidance: what wraps a denoiser while sampling."""

from zoo.guidance.base import Guidance, guided
from zoo.guidance.classifier_free import ClassifierFree

__all__ = ["ClassifierFree", "Guidance", "guided"]
