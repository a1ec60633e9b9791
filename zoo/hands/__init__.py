"""Hand models, rotations, cameras and pictures of hands."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.hands.mano import Mano
    from zoo.hands.model import HandMesh, HandModel
    from zoo.hands.openhand import OpenHand

__all__ = ["HandMesh", "HandModel", "Mano", "OpenHand"]

_HOMES = {"HandMesh": "model", "HandModel": "model", "Mano": "mano", "OpenHand": "openhand"}


def __getattr__(name: str) -> Any:  # importing torch only when a model is asked for
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo.hands' has no attribute '{name}'")
    return getattr(import_module(f"zoo.hands.{_HOMES[name]}"), name)
