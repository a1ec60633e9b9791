"""`sample`: the four tasks of one model. Hands from noise, from parts of hands, from images, and from keypoints."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.commands import folder
from zoo.commands.chosen import digest, newest, say_stopped
from zoo.commands.errors import explain
from zoo.commands.manifest import options_of
from zoo.commands.own import ByWords, Command
from zoo.commands.tasks.case import SIDES, Case, Unreadable, side_of
from zoo.commands.tasks.crops import What
from zoo.commands.tasks.words import check_flags, fingers_of, size_of
from zoo.registry import UsageError

if TYPE_CHECKING:
    from zoo.commands.tasks.task import Task
    from zoo.hands.model import HandModel
    from zoo.models.base import HandMethod

ROWS = 64  # hands sampled at once

Mesh = Literal["none", "obj", "ply", "glb", "npz"]
TaskName = Literal["generate", "inpaint", "reconstruct", "fit"]


def sample(
    model: str = "hhmr",
    ckpt: str | None = None,
    task: TaskName = "generate",
    n: int | None = None,
    input: Path | None = None,
    images: Path | None = None,
    given: What = "auto",
    guide: float = 1.0,
    noise: float | None = None,
    missing: str | None = None,
    mask: Path | None = None,
    unit: Literal["m", "cm", "mm"] | None = None,
    box: str | None = None,
    side: Literal["left", "right"] | None = None,
    size: str | None = None,
    min_confidence: float | None = None,
    steps: int | None = None,
    focal: float | None = None,
    margin: float = 1.5,
    upright: bool = True,
    limit: int | None = None,
    mesh: list[Mesh] | Mesh = "obj",
    params: bool = True,
    pictures: bool = True,
    batch: int | None = None,
    device: str = "auto",
    seed: int = 0,
    out: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
) -> int:
    """Makes hands: generates, completes, reconstructs or fits; writes npz, meshes, pictures and manifest.json.

    Args:
        model: Name of the model; its shipped weights, or else its newest run, are taken when there is no --ckpt.
        ckpt: A .ckpt file, the folder of a run, a released folder or the name of shipped weights.
        task: generate makes hands from noise; inpaint completes meshes or 3D skeletons; reconstruct makes hands of
            images and boxes; fit makes hands for keypoints.
        n: Hands to generate (16 without), or hypotheses for each hand (1 without; 4 for inpaint).
        input: inpaint: a mesh (.npz .obj .ply .glb) or 21x3 skeleton, or a folder. reconstruct: an image, a folder of
            images, a .csv or .json list of file,x,y,w,h,side, or a COCO-WholeBody file. fit: a COCO-WholeBody file,
            MediaPipe's landmarks, a 21x3 array of x,y,confidence, a folder of such files, or of FreiHAND's layout.
        images: Folder of the photographs that the input names.
        given: What fit gives the model of 2D joints, 3D joints and image; auto takes all there is, both the joints.
        guide: Strength of the guidance of inpaint and fit by what is known; 0 turns it off. Known vertices of inpaint
            are kept at any other.
        noise: Of the keypoints of fit, percent of the hand's box (standard deviation of a coordinate): guidance leaves
            what it explains, in 2D. Without it they are trusted to the pixel; 2 suits a good detector.
        missing: Fingers that are not known and made anew, as thumb,index.
        mask: File with the numbers of vertices that are not known, or 778 truth values (.npz .npy .txt).
        unit: Of the input's coordinates: m, cm or mm.
        box: x,y,w,h in pixels of the box of the hand's joints in every image; without it and a list, an image is taken
            as the crop of one hand.
        side: left or right, of every hand, whatever the input says; without it, what the input says of each.
        size: WIDTHxHEIGHT of the images, where neither the input nor an image tells.
        min_confidence: Keypoints up to this are missing; without, 0 for annotations and 0.2 for detections.
        steps: Sampling steps, when not those of the model; generate takes at least 100 unless told.
        focal: Focal length in pixels where the file knows none; without it, 1.2 times the larger image side.
        margin: Side of the crop over that of the keypoints' box; the model was trained with 1.5 unless you changed it.
        upright: Turn crops around keypoints so that the hand points up before sampling, and back afterwards.
        limit: Only the first so many hands; --resume without a limit makes the others.
        mesh: Formats of the meshes: obj, ply, glb, npz or none; a list for several.
        params: Fit MANO's parameters to every mesh.
        pictures: Draw sheets, and overlays on the photographs.
        batch: Hands at once; 64 over n without.
        device: auto, cpu or cuda.
        seed: Of the noise.
        out: Folder for the results. Default: runs/sample-MODEL/TIME.
        overwrite: Empty the folder of --out first.
        resume: Go on in the folder of --out, keeping the hands that are there.
    """
    words = dict(locals())
    check_flags(words)
    count = {"generate": 16, "inpaint": 4}.get(task, 1) if n is None else n
    reading: dict[str, Any] = {
        "images": images,
        "side": None if side is None else side_of(side),
        "size": size_of(size),
        "least": min_confidence,
        "box": box,
        "mask": mask,
        "unit": unit or "m",
        "fingers": fingers_of(missing),
    }
    if task in ("reconstruct", "fit") and input is not None:  # what cannot be read is said before anything is loaded
        items = _of_side(_hands(task, input, None, reading), reading["side"], input)
    weights = newest(model, _preferred(model, task, given)) if ckpt is None else ckpt
    method, source = _load(weights, steps, device)
    if task == "generate":
        from zoo.commands.tasks.generate import patient, to_generate
        from zoo.models.hhmr import HHMR

        items = [*to_generate(count)]
        if steps is None and isinstance(method, HHMR):
            method.sampler = patient(method.sampler)
    elif task == "inpaint" and input is not None:
        items = _of_side(_hands(task, input, method.hand, reading), reading["side"], input)
    if not items:
        raise ValueError(f"--input {input} holds no hand. Is it the right file?")
    doing = _task(task, method, 1 if task == "generate" else count, guide, noise or 0.0, given, margin, focal, upright)

    from zoo.commands.tasks.store import Store
    from zoo.commands.tasks.stream import Stopped, run, stoppable

    formats = [kind for kind in ([mesh] if isinstance(mesh, str) else mesh) if kind != "none"]
    target = folder.choose(out, f"sample-{model}")
    rows = batch or max(1, ROWS // doing.n)
    options = options_of(words) | {"n": count, "batch": rows}
    header = {"checkpoint": {"path": str(source), "sha256": digest(source)}, "options": options}
    inputs = _read_from(items, source, input, images, mask)
    store = Store(target, method.hand.faces, formats, header, overwrite, resume, inputs)
    try:
        with stoppable():
            run(doing, items, store, seed=seed, rows=rows, parameters=params, resume=resume, limit=limit)
            store.write_manifest("running")  # all hands are there, whatever becomes of their pictures
            undrawn = _draw(store, task, pictures)
            store.write_manifest("done")
    except Stopped as stop:
        store.write_manifest("stopped")
        say_stopped(len(store.records), len(items[:limit]), "hands", target)
        return 128 + stop.number
    from zoo.commands.tasks.summary import summary

    code = summary(store)
    if undrawn:
        print(undrawn, file=sys.stderr)
    return 1 if undrawn else code


def _read_from(items: Sequence[Case | Unreadable], *named: Path | None) -> list[Path]:
    """All files and folders that a run reads."""
    cases = [item for item in items if isinstance(item, Case)]
    found = {*named, *(case.image for case in cases), *(case.source for case in cases)}
    return sorted(path for path in found if path is not None)


def _hands(task: str, path: Path, hand: "HandModel | None", reading: dict[str, Any]) -> list[Case | Unreadable]:
    """All hands that the input names, and what should have been hands."""
    from zoo.commands.tasks.boxes import BoxReader, parse_box
    from zoo.commands.tasks.keypoints import Reader, without
    from zoo.commands.tasks.meshes import PartReader, read_mask

    images: Path | None = reading["images"]
    if images is not None and not images.is_dir():
        raise FileNotFoundError(f"--images {images} is no folder. Give the folder of the photographs.")
    if task == "reconstruct":
        box = None if reading["box"] is None else parse_box(reading["box"])
        return list(BoxReader(images, reading["side"], box).read(path))
    if task == "fit":
        reader = Reader(images, reading["side"], reading["size"], reading["least"])
        return [without(item, reading["fingers"]) for item in reader.read(path)]
    if hand is None:
        raise ValueError("A part of a hand can only be read for a hand model.")
    mask = None if reading["mask"] is None else read_mask(reading["mask"])
    return list(PartReader(hand, reading["fingers"], mask, reading["side"], reading["unit"]).read(path))


def _of_side(items: list[Case | Unreadable], side: int | None, path: Path) -> list[Case | Unreadable]:
    """The hands, all of the side that --side names; how many the input calls otherwise is said once."""
    others = [item for item in items if isinstance(item, Case) and side not in (None, item.side)]
    if side is None or not others:
        return items
    names = {number: name for name, number in SIDES.items()}
    many = f"{len(others)} hands" if len(others) > 1 else "a hand"
    print(f"--side {names[side]} stands, though {path} calls {many} {names[1 - side]}.", file=sys.stderr)
    return [replace(item, side=side) if isinstance(item, Case) else item for item in items]


def _task(
    task: str,
    method: "HandMethod",
    n: int,
    guide: float,
    noise: float,
    given: What,
    margin: float,
    focal: float | None,
    upright: bool,
) -> "Task":
    from zoo.commands.tasks.fit import Fit, Reconstruct
    from zoo.commands.tasks.generate import Generate
    from zoo.commands.tasks.inpaint import Inpaint

    if task == "generate":
        return Generate(method, n, guide)
    if task == "inpaint":
        return Inpaint(method, n, guide)
    if task == "reconstruct":
        return Reconstruct(method, n, 0.0, what="image", margin=margin, focal=focal, upright=upright)
    return Fit(method, n, guide, noise=noise / 100, what=given, margin=margin, focal=focal, upright=upright)


def _draw(store: Any, task: str, pictures: bool) -> str | None:
    """What joins the hands: one file of all new ones, and pictures; what to say when it cannot be made."""
    from zoo.commands.tasks.pictures import draw_all, save_grid

    try:
        if task == "generate" and store.records:
            save_grid(store)
        if pictures:
            draw_all(store, task)
    except Exception as error:  # whatever it is, the hands are made
        why = explain(error)[0].rstrip(".")
        return (
            f"The hands are whole, but not all of their pictures could be made: {why}. Leave them with --no-pictures."
        )
    return None


def _preferred(model: str, task: str, given: str) -> list[str]:
    """Weights with an image branch where one is needed."""
    return [f"{model}-image"] if task == "reconstruct" or given in ("image", "all") else []


def _load(weights: str, steps: int | None, device: str) -> "tuple[HandMethod, Path]":
    import torch

    import checkpoints
    from zoo.models.base import PictureMethod

    source = checkpoints.find(weights)
    method: Any = checkpoints.load(source, **({} if steps is None else {"sampler.steps": steps}))
    if isinstance(method, PictureMethod):
        raise UsageError(
            f"{weights} makes pictures, not hands. Say of what with --prompt; --model NAME --help tells more."
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return method.to(device), source


def _by_method(argv: Sequence[str]) -> tuple[Command, list[str]]:
    """The function for the method that the words name: one for hands, one for pictures."""
    from zoo.commands.painting.words import gathered, paints

    if not paints(argv):
        return sample, list(argv)
    from zoo.commands.painting.paint import paint

    return paint, gathered(argv)


COMMANDS = ByWords(_by_method)
