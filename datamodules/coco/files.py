"""Where COCO's files lie: InterWild's layout, COCO's own, or one folder with everything.

annotations/coco_wholebody_{train,val}_v1.0.json   COCO-WholeBody (Jin et al. 2020)
annotations/captions_{train,val}2017.json          COCO's captions, if wanted
annotations/MSCOCO_train_MANO_NeuralAnnot.json     MANO parameters (Moon et al. 2022), if wanted
images/{train,val}2017/000000000009.jpg            or without `images/`
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Part = Literal["train", "val"]
PARTS: tuple[Part, ...] = ("train", "val")
PUBLISHED = {"train": 118287, "val": 5000}  # images
MANO = "MSCOCO_train_MANO_NeuralAnnot.json"


@dataclass(frozen=True)
class Files:
    """The files of one part.

    Args:
        part: Which; both may have the same annotations.
        annotations: COCO-WholeBody's.
        images: Folder of the photographs; it need not be there.
        captions: COCO's, or None.
        mano: NeuralAnnot's, or None; there are none for the val part.
    """

    part: Part
    annotations: Path
    images: Path
    captions: Path | None = None
    mano: Path | None = None


def annotations_name(part: Part) -> str:
    """How COCO-WholeBody calls its file of a part."""
    return f"coco_wholebody_{part}_v1.0.json"


def find_annotations(root: Path, part: Part, annotations: Path | None = None) -> Path | None:
    """The COCO-WholeBody file of a part; None where there is none.

    Args:
        root: The dataset's folder.
        part: `train` or `val`.
        annotations: A file of another name, which then stands for both parts.
    """
    if annotations is not None:
        return annotations if annotations.is_file() else None
    for path in (root / "annotations" / annotations_name(part), root / annotations_name(part)):
        if path.is_file():
            return path
    named = any((root / place / annotations_name(other)).is_file() for place in ("annotations", "") for other in PARTS)
    loose = sorted(root.glob("*wholebody*.json"))
    return loose[0] if len(loose) == 1 and not named else None


def find_files(root: Path, part: Part, annotations: Path | None = None, images: Path | None = None) -> Files:
    """The files of a part.

    Args:
        root: The dataset's folder.
        part: `train` or `val`.
        annotations: A COCO-WholeBody file of another name, which then stands for both parts.
        images: Folder of the photographs if it is another one.

    Raises:
        FileNotFoundError: The part is not there; says what was looked for and what would help.
    """
    labels = find_annotations(root, part, annotations)
    if labels is None:
        wanted = annotations or root / "annotations" / annotations_name(part)
        raise FileNotFoundError(f"{wanted} is not there, but COCO's {part} part needs it. {_advice(root, part)}")
    folders = (root / "images" / f"{part}2017", root / f"{part}2017")
    loose = () if labels.name == annotations_name(part) else (root / "images", labels.parent)
    photos = images or next((path for path in (*folders, *loose) if path.is_dir()), folders[0])
    places = (labels.parent, root / "annotations", root)
    captions = _first([place / f"captions_{part}2017.json" for place in places])
    mano = _first([place / MANO for place in places]) if part == "train" else None
    return Files(part, labels, photos, captions, mano)


def _first(paths: list[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _advice(root: Path, part: Part) -> str:
    inner = sorted(path.parent.parent for path in root.glob(f"*/annotations/{annotations_name(part)}"))
    if inner:
        return f"Pass --data.root {inner[0]}, which has it."
    if (root / "annotations" / f"person_keypoints_{part}2017.json").is_file():
        return (
            f"person_keypoints_{part}2017.json is, but it has no hands: get COCO-WholeBody's annotations and put "
            "them beside it."
        )
    return "Put COCO-WholeBody's annotations there, change --data.root, or name the file with --data.annotations."
