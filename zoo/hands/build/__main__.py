"""Write OpenHand's two files: `python -m zoo.hands.build [folder]`."""

import argparse
from pathlib import Path

from zoo.hands.build.model import ASSETS, build, save


def main() -> None:
    parser = argparse.ArgumentParser(description="Build OpenHand from the vendored rig.")
    parser.add_argument("folder", type=Path, nargs="?", default=ASSETS / "openhand", help="where the files go")
    folder: Path = parser.parse_args().folder
    for side, arrays in build().items():
        save(folder / f"openhand_{side}.npz", arrays)


if __name__ == "__main__":
    main()
