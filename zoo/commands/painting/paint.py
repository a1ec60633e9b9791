"""`sample` with a method that makes pictures: from prompts and pictures of hand meshes to pictures."""

import sys
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from tqdm import tqdm

from datamodules.framing import Fit
from zoo.commands import folder
from zoo.commands.chosen import newest, say_stopped
from zoo.commands.errors import one_line
from zoo.commands.manifest import options_of, say_failed
from zoo.commands.painting.meshes import MeshReader
from zoo.commands.painting.names import Names, mesh_name, picture_name
from zoo.commands.painting.painter import Branch, Painter, Settings, load_painter
from zoo.commands.painting.prompts import paired, read_prompts
from zoo.commands.painting.scenes import squared
from zoo.commands.painting.sheet import draw_sheets
from zoo.commands.painting.stand import Stand
from zoo.commands.painting.store import Picture, PictureStore, Record, pixel_hash
from zoo.commands.painting.words import check, inputs
from zoo.commands.tasks.case import Unreadable, side_of
from zoo.commands.tasks.stream import Stopped, stoppable
from zoo.registry import UsageError


class Wanted(NamedTuple):
    """A prompt with what the method sees of a mesh, or why there is none."""

    name: str
    text: str
    meshes: dict[Branch, Picture]  # empty for a method that looks at none
    reason: str = ""


def paint(
    model: str = "attentionhand",
    ckpt: str | None = None,
    mesh: list[str] | None = None,
    prompt: str | None = None,
    seeds: list[int] | None = None,
    seed: int = 0,
    n: int = 1,
    scale: float | None = None,
    steps: int | None = None,
    sampler: Literal["ddim", "ddpm"] | None = None,
    eta: float | None = None,
    strength: float | None = None,
    tas: Literal["off", "on"] | None = None,
    branch: Literal["global", "local", "both"] = "global",
    base: str | None = None,
    focal: float | None = None,
    fill: float = 0.65,
    fit: Fit = "crop",
    unit: Literal["m", "cm", "mm"] = "m",
    side: Literal["left", "right"] | None = None,
    mano: Path | None = None,
    pictures: bool = True,
    batch: int = 8,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    out: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
) -> int:
    """Makes pictures of prompts, and of hands where the method steers by meshes; writes them, a sheet, manifest.json.

    Args:
        model: Name of the model; its shipped weights, or else its newest run, are taken when there is no --ckpt.
        ckpt: A .ckpt file, the folder of a run, a released folder or the name of shipped weights.
        mesh: What the hands are, one or several files or folders: pictures of meshes, bright on black (.png .jpg, grey
            or in colour, resized to the model's size); hands as `sample --model hhmr` writes them (.npz: vertices, or
            rotations, betas, transl; with intrinsics and image_size where the camera is known); meshes of any topology
            (.obj .ply .glb); or a folder as AttentionHand's code reads them, whose sentences stand in for --prompt.
        prompt: A text, or a text file with one prompt a line. One for all meshes, or one each; several for one mesh.
        seeds: Of the pictures of every row, one or several. A picture is a function of its prompt, mesh and seed.
        seed: Of the first picture of every row, when there are no --seeds; the next has the next number.
        n: Pictures of every row.
        scale: Of classifier-free guidance; the model's own without.
        steps: Sampling steps; the model's own without.
        sampler: ddim or ddpm; the model's own without. DDPM wants many more steps.
        eta: Share of noise that DDIM adds, from 0, none, to 1.
        strength: Factor on what the guidance copy adds: 0 ignores the meshes, 1 is as trained.
        tas: Whether text attention acts at every step, which takes gradients and time; the model's own without.
        branch: global makes whole pictures; local makes pictures of the part around the hands, larger; both makes the
            two of every row. The local one is written beside the whole as NAME-local.png and is not pasted into it.
        base: Where the base of AttentionHand's weights is, when not where they say; it must be the same weights.
        focal: Focal length of the camera before meshes that bring none, pixels of the model's picture; twice its side
            without.
        fill: Share of the picture that such meshes take.
        fit: How a picture that is no square becomes one: crop keeps the hands in view, pad leaves black bars, stretch
            gives up its aspect as AttentionHand's released code does.
        unit: Of the coordinates in mesh files: m, cm or mm.
        side: left or right, of .npz hands that do not say it; right without.
        mano: Folder of MANO_RIGHT.pkl and MANO_LEFT.pkl, for parameters and meshes of MANO; OpenHand's without.
        pictures: Draw the sheets.
        batch: Pictures at once; changes nothing about them.
        device: auto, cpu or cuda.
        out: Folder for the results. Default: runs/sample-MODEL/TIME.
        overwrite: Empty the folder of --out first.
        resume: Go on in the folder of --out, keeping the pictures that are there.
    """
    words = dict(locals())
    check(batch, n, seeds, fill, focal, resume, overwrite, out)
    how = Settings(sampler, steps, eta, scale, strength, tas)
    prompts = None if prompt is None else read_prompts(prompt)
    painter = load_painter(newest(model) if ckpt is None else ckpt, how, base, device)
    if branch != "global" and not painter.method.meshes:
        raise UsageError(
            f"--branch {branch} is AttentionHand's; {type(painter.method).__name__} has one. Leave it out."
        )
    branches: list[Branch] = ["global", "local"] if branch == "both" else [branch]
    reader = MeshReader(Stand(painter.method.size, focal, fill), unit, side_of(side), mano)
    own = list(range(seed, seed + n)) if seeds is None else seeds
    wanted = _wanted(painter, reader, mesh, prompts, fit, Names(own, branches))

    target = folder.choose(out, f"sample-{model}")
    header = {**painter.described(), "options": options_of(words)}
    own_base = getattr(painter.method, "base_name", None)  # where the weights say that their base is
    read = inputs([*(mesh or []), painter.source, prompt, base, own_base, mano])
    store = PictureStore(target, header, overwrite, resume, read)
    total = len(own) * len(branches) * sum(not row.reason for row in wanted)
    try:
        with stoppable():
            _make(painter, store, wanted, own, branches, batch, resume)
            store.write_manifest("done", draw_sheets(store) if pictures and store.records else [])
    except Stopped as stop:
        store.write_manifest("stopped")
        say_stopped(len(store.records), total, "pictures", target)
        return 128 + stop.number
    return _summary(store)


def _wanted(
    painter: Painter, reader: MeshReader, mesh: list[str] | None, prompts: list[str] | None, fit: Fit, names: Names
) -> list[Wanted]:
    """All rows of the sheet."""
    if not painter.method.meshes:
        if mesh:
            raise UsageError(f"{type(painter.method).__name__} looks at no meshes. Leave --mesh out.")
        if prompts is None:
            raise UsageError("sample needs --prompt, a text or a text file.")
        return [Wanted(f"picture_{number:04d}", text, {}) for number, text in enumerate(prompts)]
    if not mesh:
        raise UsageError(f"{type(painter.method).__name__} needs --mesh: pictures of hand meshes, or hands to draw.")
    items = reader.read(mesh)
    if prompts is None:
        texts = [None if isinstance(item, Unreadable) else item.scene.caption for item in items]
        if not any(texts):
            raise UsageError("sample needs --prompt, a text or a text file; these meshes bring no sentences.")
        pairs = [(item, text or "A hand.") for item, text in zip(items, texts, strict=True)]
    else:
        pairs = paired(items, prompts)
    rows = []
    for item, text in pairs:
        name = names.take(item.name if isinstance(item, Unreadable) else item.scene.name)
        if isinstance(item, Unreadable):
            rows.append(Wanted(name, text, {}, one_line(item.reason).rstrip(".")))
            continue
        seen = squared(item, painter.method.size, fit)
        if not len(seen["mesh"]):
            rows.append(Wanted(name, text, {}, "it has no hand that can be drawn"))
        else:
            rows.append(Wanted(name, text, {"global": seen["mesh"][0], "local": seen["mesh_local"][0]}))
    return rows


def _make(
    painter: Painter, store: PictureStore, wanted: list[Wanted], seeds: list[int], branches: list[Branch], batch: int,
    resume: bool,
) -> None:  # fmt: skip
    """Makes the pictures that are not there yet."""
    jobs: list[tuple[Wanted, Record]] = []
    for row in wanted:
        if row.reason:
            store.failures[row.name] = row.reason
            continue
        for seed in seeds:
            jobs += [(row, _record(painter, store, row, seed, branch, len(seeds))) for branch in branches]
    progress = tqdm(total=len(jobs), unit="picture", dynamic_ncols=True, disable=not sys.stderr.isatty())
    with progress:
        for branch in branches:
            todo = []
            for row, record in jobs:
                if record["branch"] != branch:
                    continue
                if resume and store.earlier(record):
                    store.records.append(record)
                    progress.update()
                else:
                    todo.append((row, record))
            for start in range(0, len(todo), batch):
                some = todo[start : start + batch]
                meshes = torch.stack([row.meshes[branch] for row, _ in some]) if some[0][0].meshes else None
                made = painter([row.text for row, _ in some], meshes, [record["seed"] for _, record in some], branch)
                for (_, record), picture in zip(some, made, strict=True):
                    store.add(record, picture)
                    store.records.append(record)
                    progress.update()
    order = {record["file"]: place for place, (_, record) in enumerate(jobs)}
    store.records.sort(key=lambda record: order[record["file"]])


def _record(painter: Painter, store: PictureStore, row: Wanted, seed: int, branch: Branch, several: int) -> Record:
    name = picture_name(row.name, seed, branch, several)
    record: Record = {
        "name": name,
        "file": f"pictures/{name}.png",
        "prompt": row.text,
        "seed": seed,
        "branch": branch,
        **painter.notices(row.text),
    }
    if row.meshes:
        mesh = row.meshes[branch]
        record["mesh"] = store.add_mesh(mesh_name(row.name, branch), mesh)
        record["mesh_sha256"] = pixel_hash(mesh)  # or a resumed run would keep the picture of a mesh that has changed
    return record


def _summary(store: PictureStore) -> int:
    """Prints what was done and what was not; the exit code: 0, or 1 when something was left out."""
    print(f"{len(store.records)} pictures in {store.folder}" if store.records else "No pictures.")
    said: dict[str, Any] = {}
    for record in store.records:
        if "notice" in record:
            said[record["prompt"]] = record["notice"]
        elif "cut" in record:
            said[record["prompt"]] = f"The text is longer than CLIP reads; this is cut off: {record['cut']!r}."
    for text, notice in list(said.items())[:5]:
        print(f"  {text[:40]!r} ...: {notice}", file=sys.stderr)
    say_failed(store.failures)
    return int(bool(store.failures) or not store.records)
