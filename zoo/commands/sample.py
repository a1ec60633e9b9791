"""`sample`: hands from noise, or hands fitted to skeletons."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from zoo.commands import folder
from zoo.commands.fitting import Placed, What, crop, put_back
from zoo.commands.results import Results
from zoo.commands.skeletons import Skeleton, Unreadable, read_skeletons
from zoo.models.base import Method
from zoo.registry import UsageError

ROWS = 64  # hands sampled at once
NEAREST = 0.02  # metres; a hand placed nearer than this to the camera did not fit

Mesh = Literal["none", "obj", "ply", "glb", "npz"]


def sample(
    model: str = "hhmr",
    ckpt: str | None = None,
    task: Literal["generate", "fit"] = "generate",
    n: int | None = None,
    input: Path | None = None,
    images: Path | None = None,
    given: What = "auto",
    steps: int | None = None,
    focal: float | None = None,
    margin: float = 1.5,
    upright: bool = True,
    limit: int | None = None,
    mesh: list[Mesh] | Mesh = "obj",
    device: str = "auto",
    seed: int = 0,
    out: str | None = None,
    overwrite: bool = False,
) -> int:
    """Generates hands, or fits hands to 2D or 3D skeletons; writes npz, meshes, pictures and manifest.json.

    Args:
        model: Name of the model; its newest run is taken when there is no --ckpt.
        ckpt: A .ckpt file, the folder of a run, a released folder or the name of shipped weights.
        task: generate makes hands from noise; fit makes hands for the skeletons in --input.
        n: Hands to generate (16 without), or hypotheses for each skeleton (1 without).
        input: A COCO-WholeBody file, a folder of them, or a folder in FreiHAND's layout.
        images: Folder of the photographs that a COCO-WholeBody file names, to draw on.
        given: Which labels the model is given; auto takes all there are.
        steps: Sampling steps, when not those of the model.
        focal: Focal length in pixels where the file knows none; without it, 1.2 times the larger image side.
        margin: Side of the crop over that of the keypoints' box; the model was trained with 1.5 unless you changed it.
        upright: Turn every crop so that the hand points up before sampling, and back afterwards.
        limit: Fit only the first so many skeletons.
        mesh: Formats of the meshes: obj, ply, glb, npz or none; a list for several.
        device: auto, cpu or cuda.
        seed: Of the noise.
        out: Folder for the results. Default: runs/sample-MODEL/TIME.
        overwrite: Empty the folder of --out first.
    """
    started = time.time()
    if task == "fit" and input is None:
        raise UsageError("sample --task fit needs --input, a COCO-WholeBody file or a folder in FreiHAND's layout.")
    if task == "generate" and input is not None:
        raise UsageError("--input is only for --task fit. Add --task fit, or leave --input out.")
    count = (16 if task == "generate" else 1) if n is None else n
    if count < 1:
        raise UsageError(f"-n {count} makes nothing. Give a number from 1.")
    hands = list(read_skeletons(input, images)) if input is not None else []
    weights = _newest(model) if ckpt is None else ckpt
    target = folder.claim(folder.choose(out, f"sample-{model}"), overwrite)
    method, source = _load(weights, steps, device)
    options = {
        "task": task, "n": count, "input": input and str(input), "images": images and str(images), "given": given,
        "steps": steps, "focal": focal, "margin": margin, "upright": upright, "seed": seed,
    }  # fmt: skip
    formats = [mesh] if isinstance(mesh, str) else mesh
    results = Results(target, method.hand.faces, [kind for kind in formats if kind != "none"])
    generator = torch.Generator(method.device).manual_seed(seed)
    if task == "generate":
        _generate(method, results, count, generator)
    else:
        _fit(
            method, results, hands[:limit], count, generator,
            what=given, margin=margin, focal=focal, upright=upright,
        )  # fmt: skip
    results.finish(checkpoint=source, digest=_digest(source), options=options, seconds=time.time() - started)
    return results.summary()


def _newest(model: str) -> str:
    files = sorted(Path(folder.PARENT, model).glob("*/checkpoints/*.ckpt"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise UsageError(
            f"There is no run of {model} in {folder.PARENT}/{model}. Give --ckpt, "
            f"or train one first: python -m zoo fit --model {model}"
        )
    return str(files[-1].parent.parent)


def _digest(source: Path) -> str:
    from checkpoints.load import sha256

    return sha256(source / "model.safetensors" if source.is_dir() else source)


def _load(weights: str, steps: int | None, device: str) -> tuple[Method, Path]:
    import checkpoints

    source = checkpoints.find(weights)
    method = checkpoints.load(source, **({} if steps is None else {"sampler.steps": steps}))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return method.to(device), source


@torch.no_grad()
def _generate(method: Method, results: Results, count: int, generator: torch.Generator) -> None:
    for start in range(0, count, ROWS):
        hands = method.sample({}, generator=generator, batch_size=min(ROWS, count - start))
        results.add_generated(start, hands["vertices"][:, 0].cpu(), hands["joints"][:, 0].cpu())


@torch.no_grad()
def _fit(
    method: Method,
    results: Results,
    hands: Sequence[Skeleton | Unreadable],
    n: int,
    generator: torch.Generator,
    *,
    what: What,
    **crops: Any,
) -> None:
    usable: list[Skeleton] = []
    for hand in hands:
        reason = hand.reason if isinstance(hand, Unreadable) else results.problem(hand, what)
        if reason is not None:
            results.add_failure(hand.name, reason)
        elif isinstance(hand, Skeleton):
            usable.append(hand)
    groups = [[h for h in usable if (h.joints is None) is flat] for flat in (True, False)]
    for group in groups:
        for start in range(0, len(group), ROWS):
            chunk = group[start : start + ROWS]
            placed, cameras = _sample(method, results, chunk, n, generator, what=what, **crops)
            for row, hand in enumerate(chunk):
                if float(placed.vertices[row, 0, :, 2].min()) < NEAREST:
                    results.add_failure(hand.name, "the sampled hand cannot be placed in front of the camera")
                else:
                    results.add_fitted(hand, placed, row, cameras[row])


def _sample(
    method: Method,
    results: Results,
    chunk: Sequence[Skeleton],
    n: int,
    generator: torch.Generator,
    **options: Any,
) -> tuple[Placed, Tensor]:
    crops = crop(chunk, [results.size(hand) for hand in chunk], **options)
    sampled = method.sample(crops.to(method.device), n=n, generator=generator)
    placed = put_back(sampled["vertices"].cpu(), sampled["joints"].cpu(), crops)
    return placed, crops.intrinsics


COMMANDS = sample
