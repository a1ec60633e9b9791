"""`release`: the averaged weights of a run become weights that ship: half precision, scores, model card, sums."""

import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from zoo.registry import UsageError

DATA = "OpenHand (embedded hand, MIT), made on the spot; no recorded images"


def release(
    name: str,
    ckpt: str,
    command: str,
    time: str,
    hardware: str | None = None,
    steps: int | None = None,
    data: str = DATA,
    scores: Path | None = None,
    samples: int = 2000,
    licence: str = "Apache-2.0",
    limits: str | None = None,
    to: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Turns a run into weights that ship: float16 averaged weights, config, scores, model card, sha256, manifest.

    Args:
        name: What the weights are called: --ckpt NAME uses them.
        ckpt: A .ckpt file, the folder of a run or a released folder.
        command: The command that trained them.
        time: How long that took.
        hardware: What it ran on; this machine without.
        steps: Training steps; read from a .ckpt without.
        data: What they were trained on.
        scores: The metrics.json of a `test`, or its folder; without, the half-precision weights are tested here.
        samples: Held-out hands of OpenHand to test on, or pictures; with --scores, those that were tested on.
        licence: Of the weights.
        limits: What they cannot do, one sentence.
        to: Folder of shipped weights; the project's own without.
        overwrite: Replace weights of that name.
    """
    import checkpoints
    from checkpoints.kinds import kind_of
    from checkpoints.load import SHIPPED

    folder = SHIPPED if to is None else to
    if not name.replace("-", "").isalnum() or name != name.lower():
        raise UsageError(f"{name} is not a name for weights. Use lower-case letters, digits and dashes.")
    if (folder / name).exists() and not overwrite:
        raise FileExistsError(f"{folder / name} exists. Give another name, or --overwrite to replace it.")
    source = checkpoints.find(ckpt)
    weights = checkpoints.read(source)
    found = _tested(weights, samples) if scores is None else _read(scores)
    facts: dict[str, Any] = {
        "licence": licence, "data": data, "steps": _steps(source) if steps is None else steps, "time": time,
        "hardware": hardware or f"{os.cpu_count()} cores, {platform.machine()}, no GPU", "command": command,
        "scored_on": _scored_on(weights.config, samples),
        "limits": limits,
    }  # fmt: skip
    target = checkpoints.ship(name, weights, facts, found, folder=folder, replace=overwrite)
    checkpoints.load(target)
    size = (target / "model.safetensors").stat().st_size
    asks = kind_of(weights.config).asks
    print(f"{target}: {size / 1e6:.1f} MB. Use it: python -m zoo sample --ckpt {name}{asks}")
    return 0


def _scored_on(config: dict[str, Any], samples: int) -> str:
    from checkpoints.kinds import kind_of

    if kind_of(config).shows == "pictures":
        return f"{samples} held-out pictures of OpenHand; loss is the error of the noise, with the same noise each time"
    return f"{samples} held-out hands of OpenHand, {_sampler(config)}, one sample a hand, mm"


def _sampler(config: dict[str, Any]) -> str:
    sampler = config["init_args"].get("sampler") or {}
    kind = str(sampler.get("class_path", "DDIM")).rpartition(".")[2]
    return f"{kind} {(sampler.get('init_args') or {}).get('steps', 10)}"


def _steps(source: Path) -> int | None:
    if source.is_dir():
        return None
    import torch

    return int(torch.load(source, map_location="cpu", weights_only=True).get("global_step", 0)) or None


def _read(scores: Path) -> dict[str, float]:
    path = scores / "metrics.json" if scores.is_dir() else scores
    if not path.is_file():
        raise UsageError(f"--scores {scores} is not a metrics.json. Give the file or the folder of a `test`.")
    found: dict[str, float] = json.loads(path.read_text())
    return found


def _tested(weights: Any, samples: int) -> dict[str, float]:
    """Scores of the very numbers that will ship."""
    import checkpoints
    from checkpoints.precision import halved
    from zoo.commands.train import train

    parts = weights.config["init_args"].get("conditioner") or {}
    image = (parts.get("init_args") or {}).get("image")
    with tempfile.TemporaryDirectory() as place:
        trial = checkpoints.save(Path(place, "trial"), weights.config, halved(weights.state), "# On trial")
        words = ["test", f"--ckpt={trial}", f"--out={place}/test", "--tracker=none", f"--data.test_samples={samples}"]
        if image:
            size = (image.get("init_args") or {}).get("size", 256)
            words += ["--data.images=true", "--data.samples=1", f"--data.size={size}"]
        if train(words):
            raise ValueError("The test of these weights ended early; nothing is released.")
        return _read(Path(place, "test"))


COMMANDS = release
