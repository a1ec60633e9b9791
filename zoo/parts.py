"""Loads every part, so that configs and flags can name classes by their short name."""

from importlib import import_module

PARTS = (
    "encoders",
    "encoders.clip_text",
    "encoders.image",
    "encoders.joint_image",
    "encoders.clip_text",
    "encoders.hand_words",
    "encoders.pose_image",
    "denoisers",
    "samplers",
    "guidance",
    "models",
    "hands.mano",
)


def import_parts() -> None:
    """Imports the homes of all parts; what they define has a short name."""
    for part in PARTS:
        import_module(f"zoo.{part}")
