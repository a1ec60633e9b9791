"""What a run says of itself, so that a model card claims no more: what it was trained, or tested, on."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from zoo.commands.factory.claim import placeless
from zoo.registry import name_of

Config = Mapping[str, Any]


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
    parts = (data.get("init_args") or {}).get("weights")
    if isinstance(parts, Mapping):
        return " and ".join(name for name, weight in parts.items() if weight not in (None, "None", "null"))
    return name_of("data", str(data["class_path"]))


def is_ours(data: Config) -> bool:
    """Whether all of a run's data comes with the project."""
    kind = str(data["class_path"]).rpartition(".")[2]
    return kind == "OpenHandData" or (kind == "Mix" and (data.get("init_args") or {}).get("weights") is None)


def borrowed(run: Config, model: Config, shipped: Collection[str]) -> str | None:
    """What weights learned from that does not come with the project; None where all does.

    Args:
        run: Its settings.
        model: `class_path` and `init_args`, as they were trained.
        shipped: Names of weights that come with the project.
    """
    if not run.get("data"):
        return "data that no config.yaml of a run tells of"
    if not is_ours(run["data"]):
        return dataset(run["data"])
    starts = {**dict(_starts(model)), "ckpt": run.get("ckpt")}
    for key, value in starts.items():
        if value and value not in shipped:
            return f"{key} {placeless(str(value))}"
    return None


def _starts(value: Any) -> Iterator[tuple[str, Any]]:
    """Options of a model that say which weights it began with."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            if key in ("base", "guide", "pretrained"):
                yield key, part
            else:
                yield from _starts(part)


def judged_on(test: Config, things: str) -> str | None:
    """What a test's scores are of; None where it does not say.

    Args:
        test: Its settings.
        things: That are scored: hands or pictures.
    """
    data, limit = test.get("data"), (test.get("trainer") or {}).get("limit_test_batches")
    if not data or limit not in (None, 1.0):
        return None
    if str(data["class_path"]).rpartition(".")[2] == "OpenHandData":
        count = (data.get("init_args") or {}).get("test_samples")
        return None if count is None else f"{count} held-out {things} of OpenHand"
    return f"the {things} in the test split of {dataset(data)}"
