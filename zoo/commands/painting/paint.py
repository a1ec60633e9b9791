"""`sample` with a method that makes pictures: from prompts and pictures of hand meshes to pictures."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from datamodules.framing import Fit
from zoo.commands import folder
from zoo.commands.chosen import newest, say_stopped
from zoo.commands.manifest import options_of, say_failed
from zoo.commands.painting.meshes import MeshReader
from zoo.commands.painting.names import Names, mesh_name, picture_name
from zoo.commands.painting.painter import Branch, Painter, Settings, load_painter
from zoo.commands.painting.progress import Pace
from zoo.commands.painting.prompts import read_prompts
from zoo.commands.painting.rows import Rows, Wanted, rows_of
from zoo.commands.painting.sheet import draw_sheets
from zoo.commands.painting.stand import Stand
from zoo.commands.painting.store import Picture, PictureStore, Record, pixel_hash
from zoo.commands.painting.words import check
from zoo.commands.tasks.case import side_of
from zoo.commands.tasks.stream import Stopped, stoppable
from zoo.registry import UsageError


class Job(NamedTuple):
    """A picture that is to be made."""

    record: Record
    mesh: Picture | None


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
    rows = rows_of(painter.method, reader, mesh, prompts, fit, Names(own, branches))

    target = folder.choose(out, f"sample-{model}")
    header = {**painter.described(), "options": options_of(words)}
    own_base = getattr(painter.method, "base_name", None)  # where the weights say that their base is
    read = [*(mesh or []), painter.source, prompt, base, own_base, mano]
    store = PictureStore(target, header, overwrite, resume, read)
    try:
        with stoppable():
            _make(painter, store, rows, own, branches, batch, resume)
            store.write_manifest("done", draw_sheets(store) if pictures and store.records else [])
    except Stopped as stop:
        store.write_manifest("stopped")
        total = len(own) * len(branches) * (rows.many - len(store.failures))
        say_stopped(len(store.records), total, "pictures", target)
        return 128 + stop.number
    return _summary(store)


def _make(
    painter: Painter, store: PictureStore, rows: Rows, seeds: list[int], branches: list[Branch], batch: int,
    resume: bool,
) -> None:  # fmt: skip
    """Makes the pictures that are not there yet; holds no more meshes than wait for a full batch."""
    each = len(seeds) * len(branches)
    pace = Pace(rows.many * each)
    order: dict[str, int] = {}
    waiting: dict[Branch, list[Job]] = {branch: [] for branch in branches}

    def make(branch: Branch) -> None:
        some, waiting[branch] = waiting[branch], []
        meshes = torch.stack([job.mesh for job in some if job.mesh is not None]) if some[0].mesh is not None else None
        records = [job.record for job in some]
        made = painter([job["prompt"] for job in records], meshes, [job["seed"] for job in records], branch)
        for record, picture in zip(records, made, strict=True):
            store.add(record, picture)
            store.records.append(record)
            pace.add(1)

    try:
        since = time.monotonic()
        for row in rows.each:
            if row.reason:
                store.failures[row.name] = row.reason
                pace.skip(0, each, time.monotonic() - since)
            else:
                jobs = list(_jobs(painter, store, row, seeds, branches))
                order |= {job.record["file"]: len(order) + place for place, job in enumerate(jobs)}
                todo: list[Job] = []
                for job in jobs:
                    if resume and store.earlier(job.record):
                        store.records.append(job.record)
                    else:
                        todo.append(job)
                pace.skip(each - len(todo), 0, 0.0 if todo else time.monotonic() - since)
                for job in todo:
                    queue = waiting[job.record["branch"]]
                    queue.append(job)
                    if len(queue) == batch:
                        make(job.record["branch"])
            since = time.monotonic()
        for branch in branches:
            if waiting[branch]:
                make(branch)
    finally:
        pace.close()
        store.records.sort(key=lambda record: order[record["file"]])


def _jobs(
    painter: Painter, store: PictureStore, row: Wanted, seeds: list[int], branches: list[Branch]
) -> Iterator[Job]:
    """The pictures of a row; writes those of its meshes."""
    shown: dict[Branch, Record] = {branch: {} for branch in branches}
    for branch in branches if row.meshes else ():
        mesh = row.meshes[branch]
        # Without the hash a resumed run would keep the picture of a mesh that has changed.
        shown[branch] = {"mesh": store.add_mesh(mesh_name(row.name, branch), mesh), "mesh_sha256": pixel_hash(mesh)}
    notices = painter.notices(row.text)
    for seed in seeds:
        for branch in branches:
            name = picture_name(row.name, seed, branch, len(seeds))
            record = {"name": name, "file": f"pictures/{name}.png", "prompt": row.text, "seed": seed, "branch": branch}
            yield Job({**record, **notices, **shown[branch]}, row.meshes.get(branch))


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
