"""Which files of a folder are its pictures: those that it lists, or else all of them."""

import json
from pathlib import Path

from zoo.metrics.picture_folder import pictures_below


def picture_names(root: Path) -> list[str]:
    """Names relative to the folder, sorted, with / between; of files outside of it, whole paths.

    Sets in AttentionHand's layout and runs of `sample` hold pictures of meshes, masks and sheets too, which are none.
    """
    listed = next((found for found in (_rows(root), _sampled(root)) if found is not None), None)
    return pictures_below(root) if listed is None else sorted(set(listed))


def _rows(root: Path) -> list[str] | None:
    """Photographs of the rows of a `modalities.json`; None where there is none."""
    from datamodules.attentionhand.files import MODALITIES, AttentionHandFolder

    part = next((place for place in (root, root / "data") if (place / MODALITIES).is_file()), None)
    if part is None:
        return None
    folder, names, whole = AttentionHandFolder(part), [], root.absolute()
    for row in map(folder.row, range(len(folder))):
        if "rgb" in row:
            places = list(folder.places("rgb", row["rgb"]))
            path = next((place for place in places if place.is_file()), places[0])
            names.append(path.relative_to(whole).as_posix() if path.is_relative_to(whole) else str(path))
    return names


def _sampled(root: Path) -> list[str] | None:
    """Pictures that the manifest of `sample` lists, or those of a run that was killed; None where there is none."""
    try:
        manifest = json.loads((root / "manifest.json").read_text())
        files = [row["file"] for row in manifest["results"] if row["status"] == "ok"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none of ours
    names = [name for name in files if str(name).startswith("pictures/")]
    if files or not (root / "pictures").is_dir():
        return names or None
    return [f"pictures/{name}" for name in pictures_below(root / "pictures")]
