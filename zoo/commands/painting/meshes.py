"""What `--mesh` names: pictures of meshes, mesh files, hand parameters, AttentionHand's folders; all become scenes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from datamodules.attentionhand.data import AttentionHandData
from datamodules.attentionhand.files import MODALITIES
from datamodules.hand_models import find_models
from datamodules.mesh_boxes import BRIGHT, local_box
from datamodules.scene import ByteArray, HandModels, Scene, Scenes
from zoo.commands.painting.hand_files import HandReader
from zoo.commands.painting.scenes import Posed
from zoo.commands.painting.stand import Stand
from zoo.commands.tasks.case import Unreadable
from zoo.hands.meshfile import load_mesh

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MESHES = (".obj", ".ply", ".glb")
MOST = 0.9  # share of a picture that a hand may take: what is brighter is no mesh on black


class Source(NamedTuple):
    """A file or a folder of meshes.

    Args:
        many: How many there are.
        read: Reads them, one at a time.
    """

    many: int
    read: Callable[[], Iterator[Posed | Unreadable]]


@dataclass
class Meshes:
    """Meshes of files and folders: how many is known, and each is read when its turn comes.

    Args:
        sources: Where they are.
        captioned: Whether some bring sentences.
    """

    sources: list[Source] = field(default_factory=list)
    captioned: bool = False

    def __len__(self) -> int:
        return sum(source.many for source in self.sources)

    def __iter__(self) -> Iterator[Posed | Unreadable]:
        for source in self.sources:
            yield from source.read()


@dataclass(frozen=True)
class MeshReader:
    """What the command line says about all meshes.

    Args:
        stand: Where meshes without a camera stand.
        unit: Of the files' coordinates: m, cm or mm.
        side: Of hands whose file does not say it; right when None.
        mano: Folder of MANO's files, for parameters of MANO's; OpenHand's when None.
    """

    stand: Stand
    unit: str = "m"
    side: int | None = None
    mano: Path | None = None

    @cached_property
    def models(self) -> HandModels | None:
        """Of the parameters in the files."""
        return None if self.mano is None else find_models(self.mano, self.mano)

    def read(self, given: Sequence[str]) -> "Meshes":
        """All meshes, in the order given, of files and of folders; none is read before it is asked for.

        Raises:
            FileNotFoundError: A path is not there, or a folder holds nothing to read.
        """
        found = Meshes()
        for word in given:
            path = Path(word).expanduser()
            if not path.exists():
                raise FileNotFoundError(f"--mesh {word} is not there. Give pictures of meshes, hands, or a folder.")
            if any((path / part / MODALITIES).is_file() for part in ("", "samples", "data")):
                scenes = AttentionHandData(path, mano=self.mano).scenes("predict")
                found.sources.append(Source(len(scenes), partial(_rows, scenes)))
                found.captioned = True
                continue
            files = [path]
            if path.is_dir():
                known = (*PICTURES, *MESHES, ".npz")
                files = sorted(file for file in path.iterdir() if file.suffix.lower() in known)
                if not files:
                    raise FileNotFoundError(f"--mesh {word} holds no {', '.join(known)} file and no {MODALITIES}.")
            found.sources += [Source(self._count(file), partial(self._tried, file)) for file in files]
        return found

    def _count(self, file: Path) -> int:
        """How many meshes a file gives; one that cannot be read gives the reason."""
        if file.suffix.lower() != ".npz":
            return 1
        try:
            return self._hands.count(file)
        except (ValueError, OSError):
            return 1

    @property
    def _hands(self) -> HandReader:
        return HandReader(self.stand, self.models, self.unit, self.side)

    def _tried(self, file: Path) -> Iterator[Posed | Unreadable]:
        try:
            yield from self._file(file)
        except (ValueError, OSError) as error:
            yield Unreadable(file.stem, f"{file}: {error}")

    def _file(self, file: Path) -> Iterator[Posed | Unreadable]:
        suffix = file.suffix.lower()
        if suffix in PICTURES:
            picture = read_mesh_picture(file)
            yield Posed(drawn_scene(file.stem, picture))
        elif suffix in MESHES:
            mesh = load_mesh(file)
            picture = self.stand.picture(mesh.vertices / self.stand.units(self.unit), mesh.faces)
            yield Posed(drawn_scene(file.stem, picture))
        elif suffix == ".npz":
            yield from self._hands.read(file)
        else:
            raise ValueError(f"it is no kind known here; there are {', '.join((*PICTURES, *MESHES, '.npz'))}")


def _rows(scenes: Scenes) -> Iterator[Posed | Unreadable]:
    """The rows of one of AttentionHand's folders, with their sentences."""
    for number in range(len(scenes)):
        try:
            scene = scenes.read(number)
        except (ValueError, OSError) as error:
            yield Unreadable(f"row_{number:06d}", str(error))
        else:
            yield Posed(replace(scene, image=None), scenes.models)


def read_mesh_picture(file: Path) -> ByteArray:
    """(h, w, 3) a picture of meshes; one channel becomes three, what is transparent becomes black.

    Raises:
        ValueError: It is no picture, or shows no hand bright on dark.
    """
    try:
        with Image.open(file) as opened:
            image: Image.Image = opened
            if opened.mode.startswith("I"):  # 16 bits of grey
                image = Image.fromarray((np.asarray(opened, np.float64) / 257).round().clip(0, 255).astype(np.uint8))
            picture = np.array(Image.alpha_composite(_black(image.size), image.convert("RGBA")).convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError("it is no whole picture. Write it again") from None
    bright = float((picture.max(-1) > BRIGHT).mean())
    if bright > MOST:
        raise ValueError(f"{100 * bright:.0f} % of it is bright; a picture of meshes shows them bright on black")
    if local_box(picture) is None:
        raise ValueError("it shows nothing bright; a picture of meshes shows them bright on black")
    return picture


def drawn_scene(name: str, picture: ByteArray) -> Scene:
    """A scene that is known by the picture of its meshes alone."""
    height, width = picture.shape[:2]
    focal = max(height, width)  # made up: no label hangs on it
    camera = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]], np.float32)
    return Scene(0, (height, width), camera, mesh_image=picture, name=name)


def _black(size: tuple[int, int]) -> Image.Image:
    return Image.new("RGBA", size, (0, 0, 0, 255))
