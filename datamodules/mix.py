"""Several datasets at once: every training batch holds rows of all of them, in the proportion of their weights."""

import dataclasses
import inspect
import logging
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import yaml

from datamodules.base import FolderData, HandData
from datamodules.batches import View
from datamodules.mix_batches import MixBatches, MixView
from datamodules.scene import Scenes, Split
from zoo import registry

FREE = {"openhand": 0.25, "poses": 0.75}  # what can be mixed without any licensed file
_FREE_OPTIONS: dict[str, dict[str, Any]] = {
    "openhand": {"image_fraction": 1.0},
    "poses": {"data": "openhand", "images": False},
}
_WHOLE = ("batch_size", "size", "workers", "batches_per_epoch", "seed", "rows")  # one value for all parts
_LEFT_OUT = (None, "None", "null")  # a null of the command line arrives as a word

_log = logging.getLogger("zoo")


class Mix(HandData):
    """A mixture of datasets. Its parts are named like datasets, or have the dataset's name in their option `data`.

    Every batch has the parts' rows in the proportion of the weights; a part whose share of a batch is less than a row
    has one in some batches. Each part is shuffled on its own, and shown whole before any of its rows comes again.
    Validation, test and prediction go through the parts' own splits one after another.

    Args:
        weights: By part; any positive numbers, only their proportions count. null leaves a part out. None mixes
            openhand's pictures with its endless poses, which needs no files.
        roots: Folders of the parts' datasets.
        options: By part, options of its dataset that are its own, such as `{interhand: {fps: 30, images: false}}` or
            `{interhand.fps: 30}`; `data` there is the dataset of a part with another name.
        limit: At most so many rows of each part in validation and test, evenly spread over it; None for all.
        mano: Folder of MANO_RIGHT and MANO_LEFT, for the parts that take it.
        cache: Folder for indexes and parsed label files; None is the user's cache.
        shared: Of `HandData`, for all parts.
    """

    def __init__(
        self,
        weights: dict[str, int | float | str | None] | None = None,
        roots: dict[str, str | os.PathLike[str]] | None = None,
        options: dict[str, Any] | None = None,
        limit: int | None = 2000,
        mano: str | os.PathLike[str] | None = None,
        cache: str | os.PathLike[str] | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        given = FREE if weights is None else weights
        own = _by_part(options or {})
        self.weights = {name: _number(name, weight) for name, weight in given.items() if weight not in _LEFT_OUT}
        self.limit = limit
        _check_numbers(self.weights, limit)
        _check_names("roots", roots or {}, given)
        _check_names("options", own, given)
        extra = {"mano": mano, "cache": cache}
        self.parts: dict[str, HandData] = {}
        for name in self.weights:
            root = (roots or {}).get(name)
            first = _FREE_OPTIONS[name] if weights is None else {}
            self.parts[name] = self._build(name, {**first, **own.get(name, {})}, {"root": root, **extra})

    def _build(self, part: str, options: dict[str, Any], folders: Mapping[str, Any]) -> HandData:
        dataset = str(options.pop("data", part))
        known = [name for name in registry.names("data") if _class_name(name) != "Mix"]
        if dataset not in known:
            raise ValueError(
                f"{part} is not a dataset.{registry.nearest(dataset, known)} Known: {', '.join(known)}. Change "
                f"--data.weights.{part}, or name the dataset of this part with --data.options.{part}.data."
            )
        for name in sorted(_WHOLE & options.keys()):
            raise ValueError(
                f"--data.options.{part}.{name} cannot differ between the parts of a batch. Set --data.{name}."
            )
        config = yaml.safe_load(registry.find("data", dataset).read_text())
        kind = _class_of(config["class_path"])
        where = {name: os.fspath(path) for name, path in folders.items() if path is not None and _takes(kind, name)}
        root = Path(options.get("root", where.get("root", ""))).expanduser()
        if issubclass(kind, FolderData):
            if "root" not in where and "root" not in options:
                raise FileNotFoundError(
                    f"{part} needs a folder, because {kind.title} may not be passed on. Get {kind.source} and pass "
                    f"--data.roots.{part}, or leave this part out with --data.weights.{part} null."
                )
            if not root.exists():
                raise FileNotFoundError(f"{root} is not there. Change --data.roots.{part}.")
        common = {name: _plain(getattr(self, name)) for name in _shared_names()}
        common["seed"] = _own_seed(self.seed, part)
        init_args = {**(config.get("init_args") or {}), **common, **where, **options}
        with _speaking_of(part):
            return _instance(part, {"class_path": config["class_path"], "init_args": init_args})

    def prepare_data(self) -> None:
        for name, part in self.parts.items():
            with _speaking_of(name):
                part.prepare_data()

    def setup(self, stage: str) -> None:
        for part in self.parts.values():
            part.setup(stage)

    def scenes(self, split: Split) -> Scenes | None:
        """Not of a mixture.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"A mixture has no scenes of its own. Look at its parts by their own names: {', '.join(self.parts)}."
        )

    def view(self, split: Split) -> "MixView":  # type: ignore[override]
        """The rows of all parts that have this split, one part after another."""
        views: dict[str, View] = {}
        for name, part in self.parts.items():
            part.meshes = self.meshes
            try:
                view = part.view(split)
                if not len(view):
                    raise ValueError("it is empty.")
            except (FileNotFoundError, ValueError) as error:
                _log.warning("The %s split leaves %s out: %s", split, name, _as_here(str(error), name))
            else:
                views[name] = view
        if not views:
            raise ValueError(
                f"None of {', '.join(self.parts)} has a {split} split. Add a part that has one with --data.weights."
            )
        limit = self.limit if split in ("val", "test") else None
        for name, rows in ((name, len(view)) for name, view in views.items()):
            if split == "test" and limit is not None and rows > limit:
                _log.warning("Testing on %d of %s's %d rows; --data.limit null tests on all.", limit, name, rows)
        return MixView(views, limit)

    def train_batches(self) -> MixBatches:
        batches = {}
        for name, part in self.parts.items():
            part.meshes = self.meshes
            with _speaking_of(name):
                batches[name] = part.train_batches()
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return MixBatches(batches, self.weights, self.batch_size, self.seed, rank=rank, world=world)


def _by_part(options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Options by part of `{part: {option: value}}`, `{part.option: value}` or, from the command line, `part/option`."""
    own: dict[str, dict[str, Any]] = {}
    for key, value in options.items():
        part, option = [*re.split("[./]", key, maxsplit=1), ""][:2]
        if not option and not isinstance(value, Mapping):
            raise ValueError(
                f"--data.options.{part} is {value!r}, but options have names. Set --data.options.{part}.NAME VALUE."
            )
        own.setdefault(part, {}).update({option: value} if option else value)
    return own


def _number(name: str, weight: int | float | str | None) -> float:
    if isinstance(weight, int | float):
        return float(weight)
    raise ValueError(f"The weight of {name} is {weight!r}. Set --data.weights.{name} to a positive number or null.")


def _check_numbers(weights: Mapping[str, float], limit: int | None) -> None:
    if not weights:
        raise ValueError("A mixture needs a part. Add one with --data.weights.NAME 1.")
    for name, weight in weights.items():
        if not 0 < weight < float("inf"):
            raise ValueError(
                f"The weight of {name} is {weight}; a weight is above zero. Set --data.weights.{name} to a positive "
                "number, or to null to leave it out."
            )
    if limit is not None and limit < 1:
        raise ValueError(f"limit={limit} leaves nothing. Set --data.limit to at least 1, or to null for all rows.")


def _check_names(option: str, given: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
    for name in given:
        if name not in parts:
            raise ValueError(
                f"--data.{option}.{name} belongs to no part of the mixture.{registry.nearest(name, parts)} Parts: "
                f"{', '.join(parts)}. Give it a weight with --data.weights.{name}."
            )


def _class_name(dataset: str) -> str:
    return registry.class_path("data", dataset).rpartition(".")[2]


def _class_of(path: str) -> type[HandData]:
    import datamodules

    return cast(type[HandData], getattr(datamodules, path.rpartition(".")[2]))


def _shared_names() -> list[str]:
    return [name for name in inspect.signature(HandData.__init__).parameters if name != "self"]


def _takes(kind: type[HandData], option: str) -> bool:
    return issubclass(kind, FolderData) or option in inspect.signature(kind.__init__).parameters


def _own_seed(seed: int, part: str) -> int:
    """Parts of equal length must not be shuffled alike, and one more part must not shuffle the others."""
    return int(np.random.SeedSequence((seed, zlib.crc32(part.encode()))).generate_state(1)[0])


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


def _instance(part: str, config: Mapping[str, Any]) -> HandData:
    """Builds a dataset as the command line does, its options checked by name and type."""
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(HandData, "data", fail_untyped=False, required=True)
    try:
        data: HandData = parser.instantiate_classes(parser.parse_object({"data": config})).data
    except ArgumentError as error:
        text = str(error)
        if unknown := re.search(r"Option '([^']*)' is not accepted", text):
            known = _options_of(_class_of(config["class_path"]))
            raise ValueError(
                f"--data.options.{part}.{unknown[1]} is not an option of its dataset."
                f"{registry.nearest(unknown[1], known)} Known: {', '.join(known)}."
            ) from error
        if wrong := re.search(r'Parser key "(\w+)":\s+(Expected [^\n]*)', text):
            raise ValueError(f"--data.options.{part}.{wrong[1]} does not fit. {wrong[2]}.") from error
        raise ValueError(f"{part} cannot be built: {text} Change --data.options.{part}.") from error
    return data


def _options_of(kind: type[HandData]) -> list[str]:
    names = {
        name
        for base in kind.__mro__
        if issubclass(base, HandData)
        for name in inspect.signature(base.__init__).parameters
    }
    return sorted(names - {"self", "options", "root", *_WHOLE})


@contextmanager
def _speaking_of(part: str) -> Iterator[None]:
    """Errors of a part name the flags as a mixture has them."""
    try:
        yield
    except (FileNotFoundError, ValueError) as error:
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        raise kind(f"{part}: {_as_here(str(error), part)}") from error


def _as_here(text: str, part: str) -> str:
    text = re.sub(r"--data\.root\b", f"--data.roots.{part}", text)
    return re.sub(r"--data\.(?=(\w+))", lambda found: _flag(part, found[1]), text)


def _flag(part: str, option: str) -> str:
    own = option not in {*_shared_names(), "mano", "cache", "roots", "options", "weights", "limit"}
    return f"--data.options.{part}." if own else "--data."
