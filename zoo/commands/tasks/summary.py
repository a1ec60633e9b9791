"""What `sample` says at the end."""

import numpy as np

from zoo.commands.manifest import say_failed
from zoo.commands.tasks.store import Store

UNITS = {
    "reprojection_px": "pixels from the keypoints",
    "reprojection_percent": "% of the hand's box",
    "mpjpe_mm": "mm from the 3D joints",
    "known_mm": "mm off the known part, at most",
    "parameters_mm": "mm between mesh and MANO's parameters",
}


def summary(store: Store) -> int:
    """Prints what was done and what was not; the exit code: 0, or 1 when a hand was left out."""
    done = store.records.values()
    if done:
        picture = store.folder / "hands.png"
        print(f"{len(done)} hands in {store.folder}" + (f", picture {picture}" if picture.is_file() else ""))
    else:
        print("No hands.")
    for key, unit in UNITS.items():
        values = [record[key] for record in done if key in record]
        if values:
            print(f"  median {np.median(values):.2f} {unit}, worst {max(values):.2f}")
    say_failed(store.failures)
    return int(bool(store.failures) or not done)
