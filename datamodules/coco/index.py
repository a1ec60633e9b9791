"""COCO's annotation files as memory-mapped arrays: read once as a stream, kept in the user's cache.

COCO-WholeBody's training file is a gigabyte of text; as Python objects it would take ten, in every loader worker.
"""

from array import array
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.cached import keep
from datamodules.coco.files import Files
from datamodules.coco.labels import NUMBERS, PREFIXES, has_hand, is_counted, keypoints, sane
from datamodules.json_stream import entries
from datamodules.scene import FloatArray, IntArray
from zoo.hands.skeleton import LEFT, RIGHT

VERSION = 1  # of the arrays; another one makes them anew
# One row a person with at least one labelled hand, by image and annotation.
PEOPLE = {
    "annotation": "(n,) number of the annotation",
    "image": "(n,) row of its image",
    "box": "(n, 4) left, top, width, height of the person, pixels",
    "area": "(n,) of the person, square pixels",
    "hands": "(n, 2) whether the left and the right hand are labelled",
    "keypoints": "(n, 2, 21, 3) x, y in pixels and visibility; zeros where no hand is labelled",
    "mano_row": "(n, 2) row in `mano`, or -1",
}
OTHERS = {
    "image_id": "(i,) number of the image, rising",
    "size": "(i, 2) height and width, pixels",
    "file": "(i,) name as bytes",
    "mano": "(m, 65) pose 48, shape 10, translation 3 in metres, focal length 2 and principal point 2 in pixels",
    "caption": "bytes of all captions, one after the other",
    "caption_start": "(c + 1,) where each begins",
    "caption_first": "(i + 1,) the first caption of each image",
    "counts": "(6,) annotations; crowds or without body joints; without hands; insane boxes; MANO entries, lost ones",
}
SIDES = {LEFT: "left", RIGHT: "right"}
_MANO = (("mano_param", "pose", 48), ("mano_param", "shape", 10), ("mano_param", "trans", 3))
_CAMERA = (("cam_param", "focal", 2), ("cam_param", "princpt", 2))


class Index:
    """The arrays of one part.

    Args:
        files: Where they come from.
        cache: Folder for the arrays; None is the user's cache.
    """

    def __init__(self, files: Files, cache: Path | None = None) -> None:
        self.files = files
        self.cache = cache

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "arrays"}  # workers map them themselves

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Those of `PEOPLE` and `OTHERS`, by name, read-only."""
        given = (self.files.annotations, self.files.captions, self.files.mano)
        states = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) if path else () for path in given]
        folder = keep(
            self._write,
            cache=self.cache,
            kind="coco",
            stem=self.files.annotations.stem,
            source=f"{self.files.annotations.resolve()} {self.files.part}",
            state=f"{states} {VERSION}",
            told=(f"The index of {self.files.annotations}", "a fifth of the file's size"),
        )
        return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in (*PEOPLE, *OTHERS)}

    def captions(self, image: int) -> list[str]:
        """The captions of an image.

        Args:
            image: Its row.
        """
        first, last = self.arrays["caption_first"][image : image + 2].tolist()
        starts = self.arrays["caption_start"][first : last + 1].tolist()
        text = self.arrays["caption"]
        return [bytes(text[a:b]).decode() for a, b in pairwise(starts)]

    def _write(self, draft: Path) -> None:
        arrays = read(self.files)
        draft.mkdir()
        for name, values in arrays.items():
            np.save(draft / f"{name}.npy", values)


def read(files: Files, progress: bool = True) -> dict[str, NDArray[Any]]:
    """The arrays of one part, from its JSON files.

    Args:
        files: Where they are.
        progress: Shows bars after five seconds.

    Raises:
        ValueError: A file is damaged or another one than it should be.
    """
    images, people, counts = _read_people(files.annotations, progress)
    places = np.searchsorted(images["image_id"], people["image"])
    known = places < len(images["image_id"])
    places[~known] = 0
    known &= images["image_id"][places] == people["image"]
    if not known.all():
        raise ValueError(
            f"{files.annotations}: annotation {people['annotation'][~known][0]} is of image "
            f"{people['image'][~known][0]}, which is not in its list of images. Get the file again."
        )
    people["image"] = places
    kept = sane(people["box"], images["size"][places])
    counts[3] = int((~kept).sum())
    order = np.flatnonzero(kept)
    order = order[np.lexsort((people["annotation"][order], places[order]))]
    people = {name: values[order] for name, values in people.items()}
    mano, rows, entry_count, lost = _read_mano(files.mano, people["annotation"], people["hands"], progress)
    counts[4:] = entry_count, lost
    text, starts, first = _read_captions(files.captions, images["image_id"], progress)
    captions: dict[str, NDArray[Any]] = {"caption": text, "caption_start": starts, "caption_first": first}
    return {**people, "mano_row": rows, **images, "mano": mano, **captions, "counts": counts}


def _read_people(path: Path, progress: bool) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]], IntArray]:
    images, sizes, names = array("q"), array("q"), []
    numbers, facts, hands, points = array("q"), array("f"), array("b"), array("f")
    zeros = [0.0] * NUMBERS
    counts = np.zeros(6, np.int64)
    for (kind, *_), entry in entries(path, 2, progress=progress):
        try:
            if kind == "images":
                images.append(entry["id"])
                sizes.extend((entry["height"], entry["width"]))
                names.append(Path(entry["file_name"]).name.encode())
            elif kind == "annotations":
                counts[0] += 1
                if not is_counted(entry):
                    counts[1] += 1
                    continue
                seen = [has_hand(entry, side, path) for side in PREFIXES]
                if not any(seen):
                    counts[2] += 1
                    continue
                numbers.extend((entry["id"], entry["image_id"]))
                facts.extend((*entry["bbox"], entry["area"]))
                hands.extend(seen)
                for side, is_there in zip(PREFIXES, seen, strict=True):
                    points.extend(keypoints(entry, side, path) if is_there else zeros)
        except (KeyError, TypeError) as error:
            which = entry.get("id") if isinstance(entry, dict) else "one"
            raise ValueError(
                f"{path}: {which} in its list {kind} is not as COCO-WholeBody's are ({type(error).__name__}: {error}). "
                "Get the file again."
            ) from error
    if not len(images) or not counts[0]:
        raise ValueError(
            f"{path} has {len(images)} images and {counts[0]} annotations, but COCO-WholeBody has lists of both. Get "
            "the file again or name another one with --data.annotations."
        )
    order = np.argsort(np.array(images), kind="stable")
    table = np.array(facts, np.float32).reshape(-1, 5)
    ids = np.array(numbers, np.int64).reshape(-1, 2)
    return (
        {
            "image_id": np.array(images, np.int64)[order],
            "size": np.array(sizes, np.int64).reshape(-1, 2)[order],
            "file": np.array(names)[order],
        },
        {
            "annotation": ids[:, 0],
            "image": ids[:, 1],
            "box": table[:, :4],
            "area": table[:, 4],
            "hands": np.array(hands, np.bool_).reshape(-1, 2),
            "keypoints": np.array(points, np.float32).reshape(-1, 2, 21, 3),
        },
        counts,
    )


def _read_mano(
    path: Path | None, annotations: IntArray, hands: NDArray[np.bool_], progress: bool
) -> tuple[FloatArray, IntArray, int, int]:
    """(m, 65) parameters, (n, 2) their rows, hands with parameters, and those that belong to nobody here."""
    rows = np.full((len(annotations), 2), -1, np.int64)
    numbers, total, used = array("f"), 0, 0
    person_of = {str(number): person for person, number in enumerate(annotations.tolist())}
    for (key, *_), entry in entries(path, 1, progress=progress) if path else ():
        if not isinstance(entry, dict | None):
            raise ValueError(f"{path}: its entry {key} is no pair of hands, as NeuralAnnot's are. Get the file again.")
        person = person_of.get(str(key))
        for side, name in SIDES.items():
            fit = (entry or {}).get(name)
            if fit is None:
                continue
            total += 1
            if person is None or not hands[person, side]:
                continue  # of somebody who is left out, or of a hand that nobody saw
            values = _fit(fit)
            if values is None:
                raise ValueError(
                    f"{path}: the {name} hand of annotation {key} is not as NeuralAnnot's are: 48 pose, 10 shape and 3 "
                    "trans in mano_param, focal and princpt in cam_param, all finite. Get the file again."
                )
            if values[60] <= 0 or min(values[61:63]) <= 0:
                continue  # behind its camera
            rows[person, side] = used
            numbers.extend(values)
            used += 1
    return np.array(numbers, np.float32).reshape(-1, 65), rows, total, total - used


def _fit(entry: Any) -> list[float] | None:
    """The 65 numbers of a hand, None where there are others."""
    try:
        parts = [np.ravel(np.asarray(entry[part][name], np.float64)) for part, name, _ in (*_MANO, *_CAMERA)]
    except (KeyError, TypeError, ValueError):
        return None
    if [part.size for part in parts] != [size for *_, size in (*_MANO, *_CAMERA)]:
        return None
    values = np.concatenate(parts)
    return values.tolist() if np.isfinite(values).all() else None


def _read_captions(path: Path | None, images: IntArray, progress: bool) -> tuple[NDArray[np.uint8], IntArray, IntArray]:
    """Bytes of all captions, where each begins, and the first of each image; line breaks become spaces."""
    numbers, texts = array("q"), []
    for (kind, *_), entry in entries(path, 2, progress=progress) if path else ():
        if kind == "annotations":
            try:
                numbers.extend((entry["image_id"], entry["id"]))
                texts.append(" ".join(entry["caption"].split()).encode())
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path} holds a caption that is not as COCO's are. Get the file again.") from error
    table = np.array(numbers, np.int64).reshape(-1, 2)
    place = np.minimum(np.searchsorted(images, table[:, 0]), len(images) - 1)
    filled = np.array([bool(text) for text in texts], np.bool_)
    kept = np.flatnonzero((images[place] == table[:, 0]) & filled)
    kept = kept[np.lexsort((table[kept, 1], place[kept]))]
    lengths = np.array([len(texts[i]) for i in kept.tolist()], np.int64)
    text = np.frombuffer(b"".join(texts[i] for i in kept.tolist()), np.uint8)
    starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    first = np.searchsorted(place[kept], np.arange(len(images) + 1))
    return text, starts, first
