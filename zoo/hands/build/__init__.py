"""Builds OpenHand, the embedded hand model, from the vendored rig: `python -m zoo.hands.build`."""
