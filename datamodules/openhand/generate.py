"""Makes the pictures of OpenHand on first use, in FreiHAND's layout: resumed when interrupted, mended when damaged."""

import errno
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from datamodules.freihand.writer import Part
from datamodules.hand_models import TWIN
from datamodules.openhand.maker import PARTS, Maker, Recipe, Shard, write_text
from zoo.hands.render import Backend
from zoo.hands.skeleton import RIGHT

RECORD = TWIN
PICTURE_BYTES, LABEL_BYTES = 12_000, 45_000  # of a 224-pixel picture and of a sample's labels, with room to spare

_log = logging.getLogger("zoo")


class _Work(Dataset[tuple[int, int | None, str]]):
    """Shards as a dataset, so that a loader's workers make them. Failures come back as errno and text."""

    def __init__(self, build: Callable[[], Maker], shards: list[Shard]) -> None:
        self.build, self.shards = build, shards
        self._maker: Maker | None = None

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> tuple[int, int | None, str]:
        if self._maker is None:
            torch.set_num_threads(1)
            cv2.setNumThreads(1)
            self._maker = self.build()
        shard = self.shards[index]
        try:
            self._maker.make(shard)
        except OSError as error:
            return 0, error.errno or errno.EIO, str(error)
        return len(shard.samples) * (len(self._maker.recipe.versions(shard.part)) if shard.pictures else 0), None, ""


def generate(recipe: Recipe, root: Path, *, workers: int = 0, backend: Backend = "auto", progress: bool = True) -> Path:
    """Makes sure that a folder holds a whole dataset: makes what is missing, mends what is damaged.

    Args:
        recipe: what to make.
        root: the folder; other files in it are an error.
        workers: processes that draw; 0 draws in this one.
        backend: of the renderer.
        progress: whether to show a bar.

    Returns:
        The folder.
    """
    if root.is_file():
        raise FileExistsError(f"{root} is a file. Choose an empty or a new folder with --data.root or --out.")
    root.mkdir(parents=True, exist_ok=True)
    _refuse_strangers(root)  # before a lock is left among them
    with _alone(root):
        recorded = _claim(recipe, root)
        wrong = damaged(root, recorded)
        if recorded and not wrong:
            return root
        if recorded:
            _log.warning("%s: %d files are missing or damaged; they are made again.", root, len(wrong))
        maker = Maker(recipe, root, backend)
        shards = [shard for part in PARTS for shard in _plan(maker, part, recorded, wrong)]
        _check_space(recipe, root, shards)
        _make(recipe, maker, shards, workers, progress)
        for part in PARTS:
            maker.finish(part)
        write_text(root / RECORD, json.dumps({"recipe": recipe.described(), "files": sizes(root)}))
    return root


def _make(recipe: Recipe, maker: Maker, shards: list[Shard], workers: int, progress: bool) -> None:
    total = sum(len(s.samples) * len(recipe.versions(s.part)) for s in shards if s.pictures)
    threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    backend = maker.studios[RIGHT].backend
    work = _Work((lambda: maker) if not workers else _Builder(recipe, maker.root, backend), shards)
    loader = DataLoader(work, batch_size=None, num_workers=min(workers, len(shards)))
    try:
        with tqdm(total=total, desc="Drawing hands", unit="picture", disable=not progress or not total) as bar:
            for made, problem, text in loader:
                if problem is not None:
                    raise OSError(
                        problem,
                        f"{maker.root}: {text}. What is made is kept. Make room or choose another place with "
                        "--data.root, then run the same command again",
                    )
                bar.update(made)
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv2_threads)


@dataclass(frozen=True)
class _Builder:
    recipe: Recipe
    root: Path
    backend: Backend

    def __call__(self) -> Maker:
        return Maker(self.recipe, self.root, self.backend)


def _plan(maker: Maker, part: Part, recorded: dict[str, int], wrong: set[str]) -> list[Shard]:
    """The shards of a part that are to be made, after taking away labels that are not to be trusted."""
    if any(name.startswith(f"{part}_") for name in wrong):
        for path in maker.root.glob(f"{part}_*.json"):
            path.unlink()
    missing = maker.writer(part).missing()
    if not recorded:
        return [Shard(part, samples, True) for samples in missing]
    count = maker.recipe.count(part)
    bad = {int(Path(name).stem) % count for name in wrong if name.startswith(f"{part}/")}
    return [
        Shard(part, samples, not bad.isdisjoint(samples))
        for samples in maker.ranges(part)
        if samples in missing or not bad.isdisjoint(samples)
    ]


def sizes(root: Path) -> dict[str, int]:
    """Size in bytes of every file of the dataset, by its path in it."""
    folders = [root, *(root / part / kind for part in PARTS for kind in ("rgb", "mask"))]
    found = {}
    for folder in folders:
        for entry in os.scandir(folder) if folder.is_dir() else ():
            if entry.is_file() and entry.name.endswith((".jpg", ".json")) and entry.name != RECORD:
                found[Path(entry.path).relative_to(root).as_posix()] = entry.stat().st_size
    return found


def damaged(root: Path, recorded: dict[str, int]) -> set[str]:
    """Recorded files that are gone or have another size."""
    found = sizes(root) if recorded else {}
    return {name for name, size in recorded.items() if found.get(name) != size}


def _refuse_strangers(root: Path) -> None:
    if (root / RECORD).exists():
        return
    if strangers := sorted(entry.name for entry in root.iterdir() if entry.name != ".lock"):
        raise FileExistsError(
            f"{root} holds {strangers[0]} and no {RECORD}: it is not a dataset of ours. Choose an empty or a new "
            "folder with --data.root or --out."
        )


def _claim(recipe: Recipe, root: Path) -> dict[str, int]:
    """The files of a finished dataset of this recipe, none of an unfinished one; another one is an error."""
    path = root / RECORD
    try:
        record = json.loads(path.read_text())
        if twin := record.get("twin_of"):
            raise FileExistsError(
                f"{root} holds a synthetic {twin}. Choose an empty or a new folder with --data.root or --out."
            )
        described, files = record["recipe"], dict(record["files"])
    except FileNotFoundError:
        write_text(path, json.dumps({"recipe": recipe.described(), "files": {}}))
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        _log.warning("%s is damaged; the dataset is made again.", path)
        for part in PARTS:
            for label in root.glob(f"{part}_*.json"):
                label.unlink()
        write_text(path, json.dumps({"recipe": recipe.described(), "files": {}}))
        return {}
    if described != recipe.described():
        differ = sorted(
            k for k in recipe.described().keys() | described.keys() if recipe.described().get(k) != described.get(k)
        )
        raise FileExistsError(
            f"{root} holds a dataset made with other options ({', '.join(differ)}). Choose another folder with "
            "--data.root or --out, give the same options, or delete it."
        )
    return files


def _check_space(recipe: Recipe, root: Path, shards: list[Shard]) -> None:
    pictures = sum(len(s.samples) * (len(recipe.versions(s.part)) + 1) for s in shards if s.pictures)
    need = int(pictures * PICTURE_BYTES * (recipe.size / 224) ** 2) + LABEL_BYTES * sum(len(s.samples) for s in shards)
    free = shutil.disk_usage(root).free
    if need > free:
        raise OSError(
            errno.ENOSPC,
            f"{root}: {need / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free. Ask for fewer with "
            "--data.samples or choose another place with --data.root",
        )


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Keeps a second process out; it waits, then finds the work done. A dead process holds no lock."""
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        yield
        return
    with (root / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("%s: another process is making this dataset; waiting for it.", root)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
