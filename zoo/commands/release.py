"""`release`: the averaged weights of a run become weights that ship: half precision, scores, model card, sums."""

import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from zoo.commands.factory.claim import placeless
from zoo.registry import UsageError


def release(
    name: str,
    ckpt: str,
    command: str,
    time: str,
    hardware: str | None = None,
    steps: int | None = None,
    data: str | None = None,
    scores: Path | None = None,
    samples: int = 2000,
    scored_on: str | None = None,
    licence: str | None = None,
    limits: str | None = None,
    base: str | None = None,
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
        data: What they were trained on; read from the run's config.yaml, or the manifest, without.
        scores: The metrics.json of a `test`, or its folder; without, the half-precision weights are tested here.
        samples: Held-out hands of OpenHand, or pictures, to test on here, without --scores.
        scored_on: What --scores are of; read from the config.yaml of that test without.
        licence: Of the weights; without, the manifest's of a released folder, and Apache-2.0 where all that a run
            learned from comes with the project.
        limits: What they cannot do, one sentence.
        base: What others know the base of AttentionHand's weights by, when the run names a place on this machine.
        to: Folder of shipped weights; the project's own without.
        overwrite: Replace weights of that name.
    """
    import checkpoints
    from checkpoints.kinds import kind_of
    from checkpoints.load import SHIPPED
    from zoo.commands.provenance import borrowed, run_config, trained_on

    folder = SHIPPED if to is None else to
    if not name.replace("-", "").isalnum() or name != name.lower():
        raise UsageError(f"{name} is not a name for weights. Use lower-case letters, digits and dashes.")
    if (folder / name).exists() and not overwrite:
        raise FileExistsError(f"{folder / name} exists. Give another name, or --overwrite to replace it.")
    source = checkpoints.find(ckpt)
    weights = checkpoints.read(source)
    if base is not None:
        weights.config["init_args"]["base"] = base
    run = {} if source.is_dir() else run_config(source.parent, source.parent.parent)
    told = _told(source)
    data = told.get("data", trained_on(run)) if data is None else data
    licence = told.get("licence") if licence is None else licence
    if data is None:
        raise UsageError(f"--ckpt {ckpt} does not say what it was trained on. Say it with --data, in words.")
    if licence is None and (foreign := borrowed(run, weights.config, checkpoints.names())) is not None:
        raise UsageError(f"--ckpt {ckpt} {foreign}. Name the licence of its weights with --licence.")
    given = None if scores is None else _read(scores)
    scored_on = _scored_on(scores, samples, weights.config, source) if scored_on is None else scored_on
    found = _tested(weights, samples) if given is None else given
    facts: dict[str, Any] = {
        "licence": licence or "Apache-2.0", "data": data, "steps": _steps(source) if steps is None else steps,
        "time": time, "hardware": hardware or _hardware(), "command": " ".join(map(placeless, command.split())),
        "scored_on": scored_on, "limits": limits,
    }  # fmt: skip
    target = checkpoints.ship(name, weights, facts, found, folder=folder, replace=overwrite)
    size = (target / "model.safetensors").stat().st_size
    asks = kind_of(weights.config).asks
    print(f"{target}: {size / 1e6:.1f} MB. Use it: python -m zoo sample --ckpt {name}{asks}")
    return 0


def _told(source: Path) -> dict[str, Any]:
    """What the manifest beside a released folder says of these very weights; nothing of a run."""
    import checkpoints
    from checkpoints.load import sha256

    if not source.is_dir():
        return {}
    entry = checkpoints.manifest(source.resolve().parent).get(source.resolve().name) or {}
    return entry if entry.get("sha256") == sha256(source / "model.safetensors") else {}


def _scored_on(scores: Path | None, samples: int, config: dict[str, Any], source: Path) -> str:
    from checkpoints.kinds import kind_of
    from zoo.commands.provenance import judged_on, run_config

    things, what = kind_of(config).shows, None
    if scores is None:
        what = f"{samples} held-out {things} of OpenHand"
    else:
        test = run_config(scores if scores.is_dir() else scores.parent)
        what, config = judged_on(test, things), test.get("model") or config
    if what is None:
        raise UsageError(
            f"--scores {scores} does not say what was tested: there is no config.yaml of a whole test beside it. Say "
            "it with --scored_on, in words."
        )
    if scores is not None and not _is_of(test.get("ckpt"), source):
        whose = f"of the weights {test['ckpt']}" if test.get("ckpt") else "of untrained weights: its test had no --ckpt"
        raise UsageError(
            f"--scores {scores} is {whose}, and {placeless(str(source))} is released. Give the scores of `test --ckpt "
            f"{source}`, or say with --scored_on, in words, what these are of."
        )
    if things == "pictures":
        return f"{what}; loss is the error of the noise, with the same noise each time"
    return f"{what}, {_sampler(config)}, one sample a hand, mm"


def _is_of(tested: str | None, source: Path) -> bool:
    """Whether a test's `--ckpt` means the weights that are released."""
    import checkpoints

    try:
        return tested is not None and checkpoints.find(tested).resolve() == source.resolve()
    except FileNotFoundError:
        return False


def _hardware() -> str:
    import torch

    cards = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"{os.cpu_count()} cores, {platform.machine()}, {' and '.join(cards) or 'no GPU'}"


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
    from checkpoints.load import offline
    from checkpoints.precision import halved
    from zoo.commands.train import train

    parts = weights.config["init_args"].get("conditioner") or {}
    image = (parts.get("init_args") or {}).get("image")
    with tempfile.TemporaryDirectory() as place:
        trial = checkpoints.save(Path(place, "trial"), offline(weights.config), halved(weights.state), "# On trial")
        words = ["test", f"--ckpt={trial}", f"--out={place}/test", "--tracker=none", f"--data.test_samples={samples}"]
        if image:
            size = (image.get("init_args") or {}).get("size", 256)
            words += ["--data.images=true", "--data.samples=1", f"--data.size={size}"]
        if train(words):
            raise ValueError("The test of these weights ended early; nothing is released.")
        return _read(Path(place, "test"))


COMMANDS = release
