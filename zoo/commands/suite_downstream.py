"""Table 2: HHMR's image branch learns from a few plain pictures, with and without made ones; tested on photographs."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from zoo.commands.suite_hands import Errors, HeldOut, errors, held_out, sampled
from zoo.commands.suite_table import Interval, Table, interval, paper
from zoo.commands.suite_training import Trained
from zoo.registry import UsageError, find

LAB, BOTH = "lab", "lab_and_generated"
CALLED = {LAB: "lab alone", BOTH: "lab and generated"}
START = "hhmr"  # shipped weights without an image branch; all but that branch stays as it is
VAL = 64


def lab(samples: int) -> dict[str, Any]:
    """Options of the small training set: plain pictures."""
    return {"images": True, "style": "plain", "picture_size": 128, "samples": samples, "val_samples": VAL,
            "test_samples": VAL, "left": 0.5, "leave_out": ()}  # fmt: skip


def kind_of(folder: Path) -> str:
    """The dataset that reads a folder of generated pictures."""
    places = (folder, folder / "data")
    if any((place / "modalities.json").is_file() for place in places):
        return "attentionhand"
    if (folder / "training_xyz.json").is_file():
        return "freihand"
    raise UsageError(
        f"--generated {folder} is neither a folder of AttentionHand (modalities.json) nor of FreiHAND "
        "(training_xyz.json). Give one that `generate` wrote."
    )


def options_of(data: Mapping[str, Any]) -> list[str]:
    """Options of a dataset as words of the command line."""
    return [f"--data.{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in data.items()]


def words(variant: str, size: dict[str, Any], budget: list[str], generated: Path | None) -> list[str]:
    """Of `fit`.

    Args:
        variant: lab, or lab_and_generated.
        size: Of `suite_attentionhand.yaml`.
        budget: Options that say how long.
        generated: Folder of generated pictures, for the latter.
    """
    config = yaml.safe_load(find("model", "hhmr").read_text())["init_args"]["conditioner"]["init_args"]["image"]
    own = lab(int(size["lab"]))
    if variant == LAB:
        data = ["--data=openhand", *options_of(own), "--data.image_fraction=1.0"]
    else:
        if generated is None:
            raise ValueError("Generated pictures are to be learned from, and none were given.")
        options = {"lab": {"data": "openhand", **{k: v for k, v in own.items() if k != "images"}},
                   "generated": {"data": kind_of(generated)}}  # fmt: skip
        data = [
            "--data=mix", f"--data.weights={json.dumps({'lab': 1, 'generated': 1})}",
            f"--data.options={json.dumps(options)}", f"--data.roots={json.dumps({'generated': str(generated)})}",
            "--data.images=true", "--data.image_fraction=1.0",
        ]  # fmt: skip
    return [
        "fit", f"--ckpt={START}", f"--model.conditioner.image={json.dumps(config)}",
        "--learn.parts=[conditioner.parts.image]", "--model.denoised=0", "--model.conditioner.masking.patch=0", *budget,
        f"--data.batch_size={size['hhmr_rows']}", "--data.size=96", *data, "--trainer.limit_val_batches=1",
        "--tracker=none",
    ]  # fmt: skip


def downstream(
    train: Callable[[str], Trained], samples: int, device: Any, seed: int, generated: Path | None, note: str
) -> Table:
    """The table; without generated pictures only its first row.

    Args:
        train: Gives a training by variant.
        samples: Held-out hands of each set.
        device: Where to sample.
        seed: Of the noise.
        generated: Their folder.
        note: What was trained, and how long.
    """
    rows: list[dict[str, Any]] = []
    found: dict[tuple[str, str], Errors] = {}
    sets: dict[str, HeldOut] = {}
    for variant in (LAB, *((BOTH,) if generated is not None else ())):
        method, steps, _ = train(variant)
        method = method.to(device)
        sets = sets or {
            "wild": held_out(samples, method, device),
            "lab": held_out(min(samples, VAL), method, device, **{**lab(1), "test_samples": min(samples, VAL)}),
        }
        for place, hands in sets.items():
            off = found[variant, place] = errors(sampled(method, hands, ("image",), seed=seed), hands)
            head = {"learned from": CALLED[variant], "steps": steps, "tested on": place}
            rows.append({**head, **_cells(off.joints, off.vertices)})
    for place in sets if generated is not None else ():
        one, other = found[BOTH, place], found[LAB, place]
        head = {"learned from": "change", "tested on": place}
        rows.append({**head, **_cells(one.joints - other.joints, one.vertices - other.vertices)})
    figures = "; ".join(f"{name} {a} to {b}" for name, (a, b) in paper("attentionhand")["downstream"].items())
    notes = [
        f"{note} Lab: plain pictures of OpenHand; wild: its pictures in FreiHAND's style, {samples} hands. Paper, "
        f"MPVPE of InterWild in mm without and with generated pictures: {figures}."
        + ("" if generated is not None else " No generated pictures were given (--generated DIR).")
    ]
    columns = ("learned from", "steps", "tested on", "PA-MPJPE, mm", "PA-MPVPE, mm")
    return Table(2, "What generated pictures are worth to HHMR", columns, rows, notes, samples)


def _cells(joints: Tensor, vertices: Tensor) -> dict[str, Interval]:
    return {"PA-MPJPE, mm": interval(joints[:, 0]), "PA-MPVPE, mm": interval(vertices[:, 0])}
