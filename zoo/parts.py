"""Loads every part, so that configs and flags can name classes by their short name."""

import pkgutil
from importlib import import_module

PARTS = ("encoders", "denoisers", "samplers", "guidance", "models")


def import_parts() -> None:
    """Imports the modules of all part folders."""
    for part in PARTS:
        package = import_module(f"zoo.{part}")
        for module in pkgutil.iter_modules(package.__path__):
            import_module(f"zoo.{part}.{module.name}")
