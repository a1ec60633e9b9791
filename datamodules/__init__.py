"""Datasets of hands: read, checked, drawn and turned into batches. Names are loaded when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datamodules.augment import Augment as Augment
    from datamodules.base import FolderData as FolderData
    from datamodules.base import HandData as HandData
    from datamodules.coco.data import COCO as COCO
    from datamodules.freihand.data import FreiHAND as FreiHAND
    from datamodules.ho3d.data import HO3D as HO3D
    from datamodules.interhand.data import InterHand as InterHand
    from datamodules.openhand.data import OpenHandData as OpenHandData

_HOMES = {
    "AttentionHandData": "attentionhand.data",
    "Augment": "augment",
    "COCO": "coco.data",
    "FolderData": "base",
    "FreiHAND": "freihand.data",
    "HO3D": "ho3d.data",
    "HandData": "base",
    "InterHand": "interhand.data",
    "Mix": "mix",
    "OpenHandData": "openhand.data",
    "TwoHand500K": "twohand500k.data",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"datamodules has no {name}. It has {', '.join(__all__)}.")
    return getattr(import_module(f"datamodules.{_HOMES[name]}"), name)
