"""HO-3D's rendered segmentations, a download of their own: hand and object in two colours, a quarter of the size.

Readers of version 2 find the hand in red, readers of version 3 in blue. The joints say which it is.
"""

from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from datamodules.ho3d.files import SIZE, HO3DPart
from datamodules.photos import UnreadableFileError, read_photo
from datamodules.scene import BoolArray, ByteArray

_SHRUNK = 4
_COLOURS = 0, 2  # red, blue
_VOTERS = 32  # frames that are asked for the hand's colour


class Masks:
    """Where in the images of a part the hand is seen, as the labels have it.

    Args:
        part: Whose images.
    """

    def __init__(self, part: HO3DPart) -> None:
        self.part = part
        archive = "HO3D_{}_segmentations_rendered"
        own = archive.format(part.version)
        folders = [part.root / archive.format(version) for version in ("v2", "v3")]
        self.archives = [folder / part.part for folder in (*folders, part.root.parent / own) if folder.is_dir()]

    def path(self, name: str) -> Path:
        """The segmentation of a frame.

        Raises:
            UnreadableFileError: There is none.
        """
        sequence, _, file = name.partition("/")
        folders = [*(archive / sequence / "seg" for archive in self.archives), self.part.folder(name, "seg")]
        for folder in folders:
            for suffix in (".jpg", ".png"):
                if (path := folder / f"{file}{suffix}").is_file():
                    return path
        raise UnreadableFileError(
            f"{folders[-1] / file}.png or .jpg is not there. Masks of HO-3D are a download of their own: unpack "
            f"HO3D_{self.part.version}_segmentations_rendered into the dataset's folder."
        )

    def read(self, name: str) -> BoolArray:
        """(480, 640) True = hand."""
        small = _in_colour(read_photo(self.path(name)), self.colour)
        return cv2.resize(small.view(np.uint8), SIZE[::-1], interpolation=cv2.INTER_NEAREST).astype(np.bool_)

    @cached_property
    def colour(self) -> int:
        """The channel that shows the hand: the colour in which more joints lie."""
        labelled = np.flatnonzero(self.part.table["labelled"])
        votes = dict.fromkeys(_COLOURS, 0)
        for row in labelled[:: max(1, len(labelled) // _VOTERS)]:
            try:
                image = read_photo(self.path(self.part.name(int(row))))
            except UnreadableFileError:
                continue
            labels = self.part.table[row]
            joints = labels["joints"][: 21 if self.part.part == "train" else 1] * np.array((1, -1, -1))
            rays = joints @ labels["camera"].T
            places = np.rint(rays[:, :2] / rays[:, 2:] / _SHRUNK).astype(int)
            x, y = places[((places >= 0) & (places < image.shape[1::-1])).all(-1)].T
            for colour in _COLOURS:
                votes[colour] += int(_in_colour(image, colour)[y, x].sum())
        if not any(votes.values()):
            raise ValueError(
                f"{self.part.root}: no joint lies on red or blue of its segmentations, so that the hand's colour is "
                "not known. Unpack the segmentations of this version of HO-3D."
            )
        return max(votes, key=lambda colour: votes[colour])


def _in_colour(image: ByteArray, colour: int) -> BoolArray:
    bright = image > 127
    return bright[..., colour] & (bright.sum(-1) == 1)
