"""Weights that ship with the project: a folder each, and a manifest of them all."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from checkpoints.kinds import Kind, kind_of
from checkpoints.load import SHIPPED, Weights, load, names, offline, sha256
from checkpoints.precision import halved
from checkpoints.save import save

PLACES = ("base", "file", "guide", "path", "root")  # options that hold places, or names, of what is read
GIVEN = {"skeleton3d": "3D joints", "skeleton2d": "2D joints", "image": "image", "none": "nothing"}


def manifest(folder: Path = SHIPPED) -> dict[str, dict[str, Any]]:
    """What `manifest.yaml` says, by name; empty when there is none."""
    path = folder / "manifest.yaml"
    return (yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}


def ship(
    name: str,
    weights: Weights,
    facts: Mapping[str, Any],
    scores: Mapping[str, float],
    *,
    folder: Path = SHIPPED,
    replace: bool = False,
) -> Path:
    """Puts weights, in half precision, among those that ship, and into the manifest: whole and loadable, or not at all.

    Args:
        name: What they will be called.
        weights: As `read` gives them.
        facts: Licence, data, steps, time, hardware, command, scored_on and limits: text, for manifest and card.
        scores: As in `metrics.json`, measured on `facts["scored_on"]`.
        folder: Where weights that ship are.
        replace: Whether a folder of that name makes way.
    """
    _check_hand(weights.config)
    config, state = offline(weights.config), halved(weights.state)
    _check_places(config)
    size = sum(value.numel() * value.element_size() for value in state.values())
    kind = kind_of(config)
    if size > kind.largest:
        raise ValueError(
            f"{name} would be {size / 1e6:.1f} MB; weights of its kind that ship have at most "
            f"{kind.largest / 1e6:.0f} MB ({kind.reason}). Train a smaller network: {kind.smaller}."
        )
    kept = {key: round(value, 4) for key, value in scores.items() if key.partition("/")[0] in kind.measures}
    hand = (config["init_args"].get("hand") or {}).get("class_path", "OpenHand").rpartition(".")[2]
    parameters = sum(value.numel() for value in state.values())
    target = save(folder / name, config, state, card(name, {"hand": hand, **facts}, kept, parameters, kind),
                  replace=replace, check=load)  # fmt: skip
    file = target / "model.safetensors"
    entry = {
        "file": f"{name}/{file.name}", "bytes": file.stat().st_size, "sha256": sha256(file), "parameters": parameters,
        "hand": hand, **{key: fact for key, fact in facts.items() if fact is not None}, "scores": kept,
    }  # fmt: skip
    _write(folder / "manifest.yaml", {**manifest(folder), name: entry})
    return target


def card(name: str, facts: Mapping[str, Any], scores: Mapping[str, float], parameters: int, kind: Kind) -> str:
    """The model card, Markdown."""
    said = {"licence": "Licence", "data": "Trained on", "hand": "Hand", "steps": "Steps", "time": "Time",
            "hardware": "Hardware", "command": "Command", "limits": "Limits"}  # fmt: skip
    lines = [f"# {name}: {parameters / 1e6:.1f} M parameters, float16", ""]
    lines += [f"- {title}: {facts[key]}" for key, title in said.items() if facts.get(key) is not None]
    lines += ["", f"Scores, {facts['scored_on']}:", ""]
    lines += _hand_table(scores, kind) if kind.shows == "hands" else _table(scores)
    lines += [
        "",
        f'Use: `python -m zoo sample --ckpt {name}{kind.asks}`, or in Python `checkpoints.load("{name}")`.',
        "",
    ]
    return "\n".join(lines)


def _hand_table(scores: Mapping[str, float], kind: Kind) -> list[str]:
    """Measures by what was given."""
    columns = [key for key in GIVEN if any(score.endswith(f"/{key}") for score in scores)]
    lines = ["| | " + " | ".join(GIVEN[key] for key in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for measure in kind.measures:
        cells = [scores.get(f"{measure}/{key}") for key in columns]
        if any(cell is not None for cell in cells):
            lines.append(f"| {measure} | " + " | ".join("" if cell is None else f"{cell:.2f}" for cell in cells) + " |")
    return lines


def _table(scores: Mapping[str, float]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {name} | {value:.4g} |" for name, value in scores.items())]


def _check_hand(config: Mapping[str, Any]) -> None:
    hand = config.get("init_args", {}).get("hand") or {}
    if not str(hand.get("class_path", "OpenHand")).endswith("OpenHand"):
        raise ValueError(
            f"These weights need {hand['class_path']}, whose files are not ours to ship. Weights that ship are "
            "trained on OpenHand; keep others with checkpoints.save()."
        )


def _check_places(config: Mapping[str, Any]) -> None:
    for key, text in _texts(config):
        ours = key == "base" and text in names()
        here = key in PLACES and not ours and text != "" and Path(text).exists()
        if here or text.startswith("~") or Path(text).is_absolute():
            advice = "Say with --base what others know it by: a name of weights that ship, or an id of the hub."
            raise ValueError(
                f"These weights need {key} {text}, which is on this machine alone. "
                + (advice if key == "base" else "Keep such weights with checkpoints.save().")
            )


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Texts in a configuration, each after the name of what it is."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from _texts(part, name)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part, key)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    text = "# Weights that ship, by name. Written by `python -m zoo release`.\n"
    text += yaml.safe_dump(dict(sorted(content.items())), sort_keys=False, width=100)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)
