"""What a run says of itself, so that a model card claims no more: what it was trained, or tested, on."""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from zoo.commands.factory.claim import placeless
from zoo.registry import class_path, name_of, names

Config = Mapping[str, Any]

_OURS = "OpenHandData"
_FREE = {"openhand": "openhand", "poses": "openhand"}  # the parts of a mixture that was given none, and what they read
_NULL = (None, "None", "null")  # weights that leave a part out
_TERMS = "whose terms decide how its weights may be passed on"


def run_config(*folders: Path) -> dict[str, Any]:
    """The settings of a run that lie in the first of the folders that has any; nothing where none has."""
    for folder in folders:
        if (folder / "config.yaml").is_file():
            config: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text()) or {}
            return config
    return {}


def trained_on(run: Config) -> str | None:
    """A sentence on the data of a run; None where it does not say.

    Args:
        run: Its settings.
    """
    data = run.get("data")
    if not data:
        return None
    options = data.get("init_args") or {}
    images = bool(options.get("images", True))
    if is_ours(data):
        said = "OpenHand (embedded hand, MIT), made on the spot"
        if images and "samples" in options:
            said += f", {options['samples']:,} of its hands in drawn pictures"
        said += "; no recorded images"
    else:
        said = f"{dataset(data)}, {'with' if images else 'without'} its images"
    start = run.get("ckpt")
    return said if start is None else f"{said}; it went on from {placeless(str(start))}"


def dataset(data: Config) -> str:
    """The name of a run's dataset; those of its parts, of a mixture."""
    if _kind(data) == "Mix":
        return " and ".join(dict.fromkeys(_parts(data)))
    return name_of("data", str(data["class_path"]))


def is_ours(data: Config) -> bool:
    """Whether all of a run's data comes with the project."""
    if _kind(data) != "Mix":
        return _kind(data) == _OURS
    known = names("data")
    return all(name in known and _kind({"class_path": class_path("data", name)}) == _OURS for name in _parts(data))


def _kind(data: Config) -> str:
    return str(data["class_path"]).rpartition(".")[2]


def _parts(data: Config) -> list[str]:
    """The datasets that the parts of a mixture read, whatever the parts are called."""
    given = data.get("init_args") or {}
    weights = given.get("weights")
    read = dict(_FREE) if weights is None else {name: name for name, weight in weights.items() if weight not in _NULL}
    for key, value in (given.get("options") or {}).items():
        part, option = [*re.split("[./]", key, maxsplit=1), ""][:2]
        own = {option: value} if option else value
        if part in read and "data" in own:
            read[part] = str(own["data"])
    return list(read.values())


def borrowed(run: Config, model: Config, shipped: Collection[str]) -> str | None:
    """Why the licence of weights is not for the project alone to choose, as "--ckpt X ..." goes on; None where it is.

    Args:
        run: Its settings.
        model: `class_path` and `init_args`, as they were trained.
        shipped: Names of weights that come with the project.
    """
    return _borrowed(run, model, shipped, ())


def _borrowed(run: Config, model: Config, shipped: Collection[str], seen: tuple[Config, ...]) -> str | None:
    if not run.get("data"):
        return "does not say what it learned from"
    if not is_ours(run["data"]):
        return f"learned from {dataset(run['data'])}, {_TERMS}"
    for key, value in _starts(model):
        if value and value not in shipped:
            return f"learned from {key} {placeless(str(value))}, {_TERMS}"
    start = run.get("ckpt")
    if not start or start in shipped:
        return None
    before, seen = _run_of(str(start)), (*seen, run)
    before = {} if before in seen else before  # what it went on from has been replaced
    why = _borrowed(before, before.get("model") or {}, shipped, seen)
    return why and f"went on from {placeless(str(start))}, which {why}"


def _run_of(ckpt: str) -> dict[str, Any]:
    """The settings of the run that made weights; nothing where it is gone."""
    from checkpoints import find

    try:
        source = find(ckpt)
    except FileNotFoundError:
        return {}
    return {} if source.is_dir() else run_config(source.parent, source.parent.parent)


def _starts(value: Any) -> Iterator[tuple[str, Any]]:
    """Options of a model that say which weights it began with."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            if key in ("base", "guide", "pretrained"):
                yield key, part
            else:
                yield from _starts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _starts(part)


def judged_on(test: Config, things: str) -> str | None:
    """What a test's scores are of; None where it does not say.

    Args:
        test: Its settings.
        things: That are scored: hands or pictures.
    """
    data, trainer = test.get("data"), test.get("trainer") or {}
    limit = trainer.get("limit_test_batches")
    whole = limit is None or (isinstance(limit, float) and limit == 1)  # the whole number 1 means one batch
    if not data or not whole or trainer.get("fast_dev_run") or trainer.get("overfit_batches"):
        return None
    if _kind(data) == _OURS:
        count = (data.get("init_args") or {}).get("test_samples")
        return None if count is None else f"{count} held-out {things} of OpenHand"
    return f"the {things} in the test split of {dataset(data)}"
