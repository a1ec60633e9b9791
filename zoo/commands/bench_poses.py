"""Speed of reading labels without pictures, against Hugging Face's `datasets` with the same content."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset

from datamodules.batches import TrainBatches, read
from datamodules.hand_view import HandView
from datamodules.scene import BoolArray, HandArrays, IntArray, Scene, SceneHand, Scenes
from zoo.commands.bench_harness import Case
from zoo.hands.skeleton import RIGHT

_COLUMNS = ("vertices", "joints", "intrinsics")


class Mapped(Scenes):
    """Right hands in memory-mapped arrays.

    Args:
        folder: Of vertices.npy, joints.npy and intrinsics.npy.
    """

    def __init__(self, folder: Path) -> None:
        self.columns = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _COLUMNS}

    def __len__(self) -> int:
        return len(self.columns["joints"])

    def sides(self) -> BoolArray:
        return np.arange(2)[None] == np.full((len(self), 1), RIGHT)

    def read(self, index: int, *, image: bool = True, mask: bool = False) -> Scene:
        vertices, joints, intrinsics = (np.array(self.columns[name][index]) for name in _COLUMNS)
        return Scene(index, (224, 224), intrinsics, {RIGHT: SceneHand(RIGHT, vertices, joints)})

    def arrays(self, scenes: IntArray, sides: IntArray) -> HandArrays:
        return HandArrays(*(_rows(self.columns[name], scenes) for name in _COLUMNS))


class _Rows(Dataset[Any]):
    """Rows of arrays as tensors, a batch at a time."""

    def __init__(self, columns: dict[str, NDArray[np.float32]]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, rows: Sequence[int]) -> dict[str, Tensor]:
        where = np.asarray(rows)
        return {name: torch.from_numpy(_rows(column, where)) for name, column in self.columns.items()}


def poses61(folder: Path, n: int = 100_000, batch: int = 64) -> Case:
    """Rows of 61 pose numbers in random order through a `DataLoader`."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "poses.npy", np.random.default_rng(0).normal(size=(n, 61)).astype(np.float32))
    columns = {"pose": np.load(folder / "poses.npy", mmap_mode="r")}
    return _raw("pose rows", "61 numbers", columns, batch)


def labels(folder: Path, batch: int = 64, n: int = 4096) -> Case:
    """Meshes, joints and cameras in random order through a `DataLoader`, as they lie in the files."""
    return _raw("labels", "mesh, joints, K", Mapped(_write(folder, n)).columns, batch)


def hand_rows(folder: Path, batch: int = 64, batches: int = 32, n: int = 4096) -> Case:
    """Our whole pose-only batches, with the geometry of a crop, against the peer's labels alone."""
    scenes = Mapped(_write(folder, n))
    view = HandView(scenes, 224, 1.5, images=False)
    ours = TrainBatches(view, None, size=batch, image_rows=0)
    peer = _huggingface(scenes.columns)
    order = _shuffled(len(scenes), batch * batches)

    def train() -> list[Any]:
        return list(read(ours, range(batches), workers=0))

    def difference() -> float:
        return float((view.batch(order[:8])["joints"] - peer[order[:8]]["joints"]).abs().max())

    return Case(
        "hand batches", f"b={batch}", train, lambda: _through(peer, order, batch),
        "HF datasets, torch format: the same labels without crops", difference, 1e-5, batch * batches, "hands",
    )  # fmt: skip


def _raw(name: str, shape: str, columns: dict[str, NDArray[np.float32]], batch: int, batches: int = 32) -> Case:
    ours, peer = _Rows(columns), _huggingface(columns)
    order = _shuffled(len(ours), batch * batches)

    def difference() -> float:
        first, second = _through(ours, order, batch)[0], _through(peer, order, batch)[0]
        return max(float((first[column] - second[column]).abs().max()) for column in columns)

    return Case(
        name, f"b={batch} {shape}", lambda: _through(ours, order, batch), lambda: _through(peer, order, batch),
        "HF datasets, torch format, through DataLoader", difference, 0.0, batch * batches, "hands",
    )  # fmt: skip


def _through(dataset: Any, order: list[int], batch: int) -> list[Any]:
    """Whole batches at once on both sides: the peer's way of a row at a time is ten times slower."""
    return list(DataLoader(dataset, batch_size=None, sampler=BatchSampler(order, batch, False)))


def _huggingface(columns: dict[str, NDArray[np.float32]]) -> Any:
    from datasets import Array2D, Dataset, Features, List, Value  # type: ignore[import-untyped]

    def kind(shape: tuple[int, ...]) -> Any:
        return Array2D(shape, "float32") if len(shape) == 2 else List(Value("float32"), length=shape[0])

    features = Features({name: kind(column.shape[1:]) for name, column in columns.items()})
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    return Dataset.from_dict(arrays, features=features).with_format("torch")


def _write(folder: Path, n: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "intrinsics.npy").is_file():
        rng = np.random.default_rng(0)
        for name, shape in (("vertices", (n, 778, 3)), ("joints", (n, 21, 3))):
            points = rng.normal(scale=0.05, size=shape) + np.array([0, 0, 0.6])
            np.save(folder / f"{name}.npy", points.astype(np.float32))
        camera = np.array([[480, 0, 112], [0, 480, 112], [0, 0, 1]], np.float32)
        np.save(folder / "intrinsics.npy", np.tile(camera, (n, 1, 1)))
    return folder


def _rows(column: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.take(column.view(np.ndarray), rows, axis=0)


def _shuffled(n: int, count: int) -> list[int]:
    return cast(list[int], np.random.default_rng(1).permutation(n)[:count].tolist())


def cases(folder: Path) -> Iterator[Case]:
    """All of them."""
    yield poses61(folder)
    yield labels(folder)
    yield hand_rows(folder)
