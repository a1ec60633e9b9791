"""A model zoo for hands. Names are loaded when they are first used, so that importing `zoo` costs nothing."""

from importlib import import_module
from typing import Any

_WHERE = {
    "UsageError": "zoo.registry",
    "create": "zoo.registry",
    "names": "zoo.registry",
    "HandBatch": "zoo.batch",
    "Given": "zoo.batch",
    "Hands": "zoo.batch",
    "OpenHand": "zoo.hands.openhand",
    "Mano": "zoo.hands.mano",
    "Method": "zoo.models.base",
    "HHMR": "zoo.models.hhmr",
}
__all__ = [*_WHERE]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
