"""Datasets of hands: read, checked, drawn and turned into batches. Names are loaded when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datamodules.augment import Augment as Augment
    from datamodules.base import HandData as HandData
    from datamodules.freihand import FreiHAND as FreiHAND
    from datamodules.openhand import OpenHandData as OpenHandData

_HOMES = {"Augment": "augment", "FreiHAND": "freihand", "HandData": "base", "OpenHandData": "openhand"}

__all__ = ["Augment", "FreiHAND", "HandData", "OpenHandData"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"datamodules has no {name}. It has {', '.join(__all__)}.")
    return getattr(import_module(f"datamodules.{_HOMES[name]}"), name)
