"""Names are files: `--model NAME` is `zoo/configs/NAME.yaml`, `--data NAME` is `datamodules/configs/NAME.yaml`."""

import difflib
import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from zoo.models.base import Method

KINDS = {"model": "zoo", "data": "datamodules"}  # option: the package whose `configs` folder holds its names
DEFAULT_DATA, DEFAULT_SCENES = "openhand", "openhand-scenes"


class UsageError(ValueError):
    """Wrong words on the command line: exit code 2."""


def folder(kind: str) -> Path:
    """The folder that holds the YAML files of a kind, found without importing the package."""
    spec = find_spec(KINDS[kind])
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"The package {KINDS[kind]} is not installed. Run pip install -e . in the project.")
    return Path(spec.origin).parent / "configs"


def names(kind: str = "model") -> list[str]:
    """Known names of a kind, "model" or "data"."""
    return sorted(path.stem for path in folder(kind).glob("*.yaml"))


def nearest(word: str, known: Iterable[str]) -> str:
    """A sentence ` Did you mean ...?`, or nothing when no known word is near."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.55)
    return f" Did you mean {by_lower[close[0]]}?" if close else ""


def find(kind: str, name: str) -> Path:
    """The YAML file of a name.

    Raises:
        UsageError: if there is none; it says which names there are.
    """
    path = folder(kind) / f"{name}.yaml"
    if "/" in name or not path.is_file():
        known = names(kind)
        raise UsageError(f"--{kind}={name} is not in the zoo.{nearest(name, known)} Known: {', '.join(known)}.")
    return path


def class_path(kind: str, name: str) -> str:
    """The class that a name stands for."""
    return str(yaml.safe_load(find(kind, name).read_text())["class_path"])


def name_of(kind: str, path: str, given: str | None = None) -> str:
    """The short name of a class, for folders and for people: the name given, else one whose class it is."""
    if given is not None and given in names(kind):
        return given
    for name in names(kind):
        if yaml.safe_load(find(kind, name).read_text())["class_path"].rpartition(".")[2] == path.rpartition(".")[2]:
            return name
    return path.rpartition(".")[2].lower()


def option(argv: Sequence[str], name: str) -> str | None:
    """The value of `--name value` or `--name=value` in a command line; the last one counts."""
    return _take(list(argv), name)[1]


def without(argv: Sequence[str], name: str) -> list[str]:
    """A command line without `--name value` and `--name=value`."""
    return _take(list(argv), name)[0]


def resolve(argv: Sequence[str]) -> list[str]:
    """Turns the names in a trainer command line into files, and moves them in front of every other option.

    Class paths, class names, files and JSON pass unchanged. A model's run defaults (`zoo/configs/runs/NAME.yaml`:
    trainer and callback settings) come first of all, so that a user's `--config` beats them and flags beat both.

    Args:
        argv: The words after `python -m zoo`, the subcommand first.

    Raises:
        UsageError: for an unknown name, for a seed of the data alone, or when there is no model.
    """
    command, rest = argv[0], list(argv[1:])
    if "-h" in rest or "--help" in rest:
        return [command, "--help"]
    if any(word.partition("=")[0] in ("--data.seed", "--data.init_args.seed") for word in rest):
        raise UsageError("--data.seed would be ignored: one seed decides model and data. Give --seed N in its place.")
    rest = [_help_value(rest, i) for i in range(len(rest))]
    rest, model = _take(rest, "model")
    rest, data = _take(rest, "data")
    configured = _config_keys(rest)
    helping = any(word.partition("=")[0].endswith(".help") for word in rest)
    if model is None and "model" not in configured and not helping:
        raise UsageError(
            f"{command} needs --model NAME. Known: {', '.join(names())}. Example: python -m zoo {command} --model hhmr"
        )
    front: list[str] = []
    if model is not None:
        runs = {path.stem: path for path in (folder("model") / "runs").glob("*.yaml")}
        front += [f"--config={runs[model]}"] if model in runs else []
        front += [f"--model={_value('model', model)}"]
    if data is None and "data" not in configured and not helping:
        data = default_data(None if model is None else _value("model", model))
    if data is not None:
        spec = _value("data", data)
        text = spec if "{" in spec else Path(spec).read_text() if Path(spec).is_file() else ""
        _refuse_seed(yaml.safe_load(text), f"--data {data}")
        front += [f"--data={spec}"]
    return [command, *front, *map(_one_key, rest)]


def _one_key(word: str) -> str:
    """`--data.options.PART.NAME` with a single key: of keys with dots, jsonargparse would forget all but the last."""
    return re.sub(r"^(--data\.options\.[^.=]+)\.", r"\1/", word)


def create(name: str, **overrides: Any) -> "Method":
    """Builds a model by name, as the command line does.

    Args:
        name: A name of the zoo, or a YAML file with `class_path` and `init_args`.
        overrides: Constructor arguments that replace those of the file; nested ones as dictionaries, or with
            dots: `create("hhmr", **{"sampler.steps": 5})`.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else find("model", name)
    return build(yaml.safe_load(path.read_text()), **overrides)


def build(config: Mapping[str, Any], **overrides: Any) -> "Method":
    """Builds a model from `class_path` and `init_args`.

    Args:
        config: The content of a model's YAML file.
        overrides: As for `create`.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    from zoo.models.base import Method
    from zoo.parts import import_parts

    import_parts()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Method, "model", fail_untyped=False, required=True)
    words = [f"--model={json.dumps(config)}"]
    words += [
        f"--model.{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in overrides.items()
    ]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Attribute '.*' is an instance of `nn.Module`")
            model: Method = parser.instantiate_classes(parser.parse_args(words)).model
    except ArgumentError as error:
        raise ValueError(f"{config.get('class_path')} cannot be built: {error}") from error
    except ValueError as error:  # jsonargparse's account of every type that it tried
        said: BaseException = error
        while said.__cause__ is not None:
            said = said.__cause__
        raise said from None  # what a constructor said
    return model


def default_data(model: str | None) -> str:
    """The embedded data that a model reads: `DEFAULT_DATA`, as crops or as whole scenes.

    Args:
        model: A YAML file, its content, or a class path; None where a `--config` of the user's names the model.
    """
    if model is None:
        return DEFAULT_DATA
    text = model if "{" in model else Path(model).read_text() if Path(model).is_file() else None
    path = model if text is None else str(yaml.safe_load(text)["class_path"])
    home, _, name = path.rpartition(".")
    try:
        kind = getattr(import_module(home or "zoo.models"), name, None)
    except ModuleNotFoundError:  # the parser says so with the option's name
        return DEFAULT_DATA
    return DEFAULT_SCENES if getattr(kind, "rows", "hands") == "scenes" else DEFAULT_DATA


def _help_value(argv: list[str], i: int) -> str:
    """`--model.help hhmr` and `--model.help=hhmr` need the class."""
    for kind in KINDS:
        option, _, value = argv[i].partition("=")
        if option == f"--{kind}.help" and value in names(kind):
            return f"{option}={class_path(kind, value)}"
        if i and argv[i - 1] == f"--{kind}.help" and argv[i] in names(kind):
            return class_path(kind, argv[i])
    return argv[i]


def _take(argv: list[str], kind: str) -> tuple[list[str], str | None]:
    """Removes `--kind value` and `--kind=value`; the last one counts."""
    rest, value, words = [], None, iter(argv)
    for word in words:
        option, equals, inline = word.partition("=")
        if option != f"--{kind}":
            rest.append(word)
            continue
        value = inline if equals else next(words, "")
        if not value or value.startswith("--"):
            known = f" Known: {', '.join(names(kind))}." if kind in KINDS else ""
            raise UsageError(f"--{kind} needs a value.{known}")
    return rest, value


def _value(kind: str, value: str) -> str:
    is_name = "." not in value and "{" not in value and not value[:1].isupper() and not Path(value).is_file()
    return str(find(kind, value)) if is_name else value


def _config_keys(argv: list[str]) -> set[str]:
    """Top-level keys of the user's `--config` files."""
    keys: set[str] = set()
    words = iter(argv)
    for word in words:
        option, equals, inline = word.partition("=")
        if option in ("--config", "-c"):
            path = Path(inline if equals else next(words, ""))
            if not path.is_file():
                raise UsageError(f"--config {path} is not a file. Give the path of a YAML file.")
            content = yaml.safe_load(path.read_text())
            if isinstance(content, dict):
                keys |= {key for key, value in content.items() if value}
                _refuse_seed(content.get("data"), f"--config {path}")
    return keys


def _refuse_seed(data: Any, where: str) -> None:
    """What a file says of the data must not have a seed, which would be ignored."""
    if isinstance(data, Mapping) and any("seed" in part for part in (data, data.get("init_args") or {})):
        raise UsageError(
            f"{where} has a seed of the data, which would be ignored: one seed decides model and data. Take it out, "
            "and give --seed N in its place."
        )
