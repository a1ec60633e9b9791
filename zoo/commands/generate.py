"""`generate`: labelled pictures for training, from poses and prompts."""

import errno
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.commands.factory.claim import claim_set, placeless, read_manifest, write_manifest
from zoo.registry import UsageError

if TYPE_CHECKING:
    from zoo.commands.factory.shard import ShardMaker

Layout = Literal["attentionhand", "freihand", "both"]
FREE = ("device", "part", "out", "overwrite", "ckpt", "base", "root", "mano", "segmenter")  # may change in a restart
INPUTS = ("prompts", "root", "mano", "segmenter", "base", "estimator", "poses")  # may be files or folders


def generate(
    out: Path,
    model: str = "attentionhand",
    ckpt: str | None = None,
    n: int = 1000,
    poses: str = "openhand",
    root: Path | None = None,
    split: Literal["train", "val", "test", "predict"] = "train",
    mano: Path | None = None,
    left: float = 0.5,
    prompts: str = "templates",
    layout: Layout = "attentionhand",
    scale: float | None = None,
    steps: int | None = None,
    sampler: Literal["ddim", "ddpm"] | None = None,
    eta: float | None = None,
    strength: float | None = None,
    tas: Literal["off", "on"] | None = None,
    segmenter: Path | None = None,
    least_iou: float | None = None,
    estimator: str | None = None,
    most_percent: float | None = None,
    base: str | None = None,
    shard: int = 32,
    batch: int = 8,
    part: str | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    seed: int = 0,
    overwrite: bool = False,
) -> int:
    """Makes pictures with meshes, joints, cameras, boxes, masks and prompts, for training; goes on where it stopped.

    Picture i is a function of the seed and of i alone, so that any number of processes, restarts and machines of one
    kind make the same set. A picture that the quality gate refuses is left out, and so is its index: the set is not
    filled up. rows.jsonl says what became of every index, manifest.json how it was made and how many were refused.

    Args:
        out: Folder of the set: new, or unfinished by the same options, which is gone on with.
        model: Name of the model; its shipped weights, or else its newest run, are taken when there is no --ckpt.
        ckpt: A .ckpt file, the folder of a run, a released folder or the name of shipped weights.
        n: Pictures to make, those that are refused included.
        poses: openhand for the embedded hand's prior; hhmr, or other weights, for hands that these sample; or the name
            of a dataset, whose folder is --root.
        root: Folder of the dataset that --poses names.
        split: Of that dataset.
        mano: Folder of MANO_RIGHT.pkl and MANO_LEFT.pkl, for datasets of MANO's parameters.
        left: Share of left hands, for openhand and hhmr.
        prompts: templates for sentences about the hand, skin and background; a captions_*.json of MSCOCO; a text file
            with a prompt a line; or a text. {hand}, {skin} and {place} in texts are filled in.
        layout: attentionhand writes data/modalities.json with the pictures that it names; freihand writes training/
            and training_*.json, of pictures with one hand that has a mesh; both writes the two.
        scale: Of classifier-free guidance; the model's own without.
        steps: Sampling steps; the model's own without.
        sampler: ddim or ddpm; the model's own without.
        eta: Share of noise that DDIM adds, from 0, none, to 1.
        strength: Factor on what the guidance copy adds.
        tas: Whether text attention acts; the model's own without.
        segmenter: Scores the pictures' hands against the meshes' silhouettes: weights of `python -m
            zoo.commands.segmenter`; those that come with the project where --least_iou is given alone.
        least_iou: Refuses pictures whose intersection over union is less.
        estimator: Weights that see joints in images, such as hhmr-image; scores the joints that they find. None
            without: on a CPU it takes about half a second a picture.
        most_percent: Refuses pictures whose joints are further off on average, in percent of the hand's box.
        base: Where the base of AttentionHand's weights is, when not where they say.
        shard: Pictures that are written together; an interrupted shard is made anew.
        batch: Pictures at once. Rounding differs between sizes, so a set keeps one.
        part: I/K, to make every K-th shard from the I-th on; RANK and WORLD_SIZE, or Slurm's, without. Who comes last
            joins them; parts of other machines are copied into one folder, and joined by one more call.
        device: auto, cpu or cuda.
        seed: Other seeds give another set.
        overwrite: Empty the folder first; not with --part.
    """
    words = dict(locals())
    if n < 1 or shard < 1 or batch < 1:
        raise UsageError(f"-n {n}, --shard {shard}, --batch {batch}: each must be at least 1.")
    if seed < 0:
        raise UsageError(f"--seed {seed} is no seed. Give a number from 0.")
    if not 0 <= left <= 1:
        raise UsageError(f"--left {left} is no share. Give a number from 0 to 1.")

    from zoo.commands.factory.finish import alone, clean, finish
    from zoo.commands.factory.part import Progress, part_of
    from zoo.commands.factory.shard import PARTS, shard_file
    from zoo.commands.tasks.stream import Stopped, stoppable

    rank, world = part_of(part)
    if overwrite and world > 1:
        raise UsageError(
            f"--overwrite is for one process, and there are {world}, which do not wait for each other. Empty {out} "
            "first, or give another folder with --out."
        )
    maker, settings = _maker(words)
    inputs = [*(words[key] for key in INPUTS), maker.painter.source, getattr(maker.painter.method, "base_name", None)]
    manifest = claim_set(out, settings, overwrite, inputs)
    if manifest["status"] == "done":
        clean(out, layout != "freihand" or not manifest.get("freihand"))
        print(f"{out} is whole already. Another seed, in another folder, makes more.")
        return _summary(out)
    shards = [range(start, min(start + shard, n)) for start in range(0, n, shard)]
    own = shards[rank::world]
    todo = [rows for rows in own if not shard_file(out, rows).is_file()]
    total = sum(map(len, own))
    progress = Progress(total, total - sum(map(len, todo)))
    lock, busy = out / PARTS / f".lock-{rank + 1}-of-{world}", f"{out}: another process is making this part already."
    try:
        with stoppable(), alone(lock, busy):
            for rows in todo:
                maker.make(rows, progress.tell)
            progress.close()
            with alone(out / PARTS / ".lock", "", wait=True):  # of several that are ready, one joins the shards
                if read_manifest(out)["status"] != "done":
                    missing = [rows for rows in shards if not shard_file(out, rows).is_file()]
                    if missing:
                        print(
                            f"Part {rank + 1} of {world} is whole. {sum(map(len, missing))} pictures of other parts "
                            f"are not in {out}; when they are, the same command without --part joins them."
                        )
                        return 0
                    said = finish(out, maker.writer, shards, layout != "attentionhand", maker.poses.models)
                    said |= {"finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "status": "done"}
                    said["pictures_an_hour"] = round(progress.hourly)
                    write_manifest(out, {**manifest, **said})
                clean(out, layout != "freihand" or not read_manifest(out).get("freihand"))
    except Stopped as stop:
        progress.close()
        print(
            f"\nStopped. The shards that are whole stay in {out}; the same command goes on from there.", file=sys.stderr
        )
        return 128 + stop.number
    except OSError as error:
        progress.close()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(
                error.errno,
                f"No space is left for {out}. The shards that are whole stay there: make room, and the same command "
                "goes on",
            ) from error
        raise
    return _summary(out)


def _maker(words: dict[str, Any]) -> "tuple[ShardMaker, dict[str, Any]]":
    """All parts, and what decides the set."""
    from datamodules.attentionhand.writer import AttentionHandWriter
    from zoo.commands.chosen import newest
    from zoo.commands.factory.gate import load_gate
    from zoo.commands.factory.poses import DatasetPoses, poses_of
    from zoo.commands.factory.prompts import prompts_of
    from zoo.commands.factory.shard import ShardMaker
    from zoo.commands.painting.painter import Settings, load_painter

    prompts = prompts_of(words["prompts"], words["seed"])
    how = Settings(*(words[key] for key in ("sampler", "steps", "eta", "scale", "strength", "tas")))
    weights = newest(words["model"]) if words["ckpt"] is None else words["ckpt"]
    painter = load_painter(weights, how, words["base"], _device(words["device"]))
    if not painter.method.meshes:
        raise UsageError(f"{weights} looks at no meshes, so that its pictures have no labels. Give AttentionHand's.")
    described = painter.described()
    schedule: Any = painter.method.schedule
    if (described["sampler"].get("steps") or 1) > schedule.steps:
        raise UsageError(
            f"--steps {described['sampler']['steps']} is more than the {schedule.steps} of the model's noise schedule. "
            f"Give a number from 1 to {schedule.steps}."
        )
    gate = load_gate(
        words["segmenter"], words["least_iou"], words["estimator"], words["most_percent"], str(painter.method.device)
    )
    size = painter.method.size
    poses = poses_of(words["poses"], words["root"], words["mano"], words["split"], words["seed"], size, words["left"])
    writer = AttentionHandWriter(words["out"] / "data", words["n"], shard=words["shard"])
    single = words["layout"] == "freihand"
    maker = ShardMaker(words["out"], painter, poses, prompts, gate, writer, words["seed"], words["batch"], single)
    files = _digests(words) | ({"root": poses.digest} if isinstance(poses, DatasetPoses) else {})
    options = {key: value for key, value in words.items() if key not in FREE and key != "model"}
    options |= {key: Path(options[key]).name for key in files if key in options}
    settings = {**described, "options": options, "files": files}
    settings["checkpoint"] = {"name": placeless(weights), "sha256": settings["checkpoint"]["sha256"]}
    if "base" in settings:
        settings["base"]["name"] = placeless(settings["base"]["name"])
    return maker, json.loads(json.dumps(settings))


def _digests(words: dict[str, Any]) -> dict[str, str]:
    """Of files and weights that decide the set."""
    import checkpoints
    from checkpoints.load import sha256
    from zoo.commands.chosen import digest

    files = {key: Path(str(words[key])).expanduser() for key in ("prompts", "segmenter") if words[key] is not None}
    found = {}
    for key, path in files.items():
        try:
            if path.is_file():
                found[key] = sha256(path)
        except OSError:  # a text may be longer than a name can be
            continue
    weights = [words["estimator"], words["poses"] if words["root"] is None and words["poses"] != "openhand" else None]
    for key, name in zip(("estimator", "poses"), weights, strict=True):
        if name is not None:
            found[key] = digest(checkpoints.find(name))
    return found


def _device(given: str) -> str:
    """Each process of a machine with several GPUs takes its own."""
    import torch

    if given != "cpu" and torch.cuda.is_available() and os.environ.get("LOCAL_RANK", "").isdigit():
        return f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"
    return given


def _summary(out: Path) -> int:
    """Prints what was made; the exit code: 0, or 1 when nothing of the layout that was asked for was."""
    said = read_manifest(out)
    layout, single = said["options"]["layout"], said.get("freihand", 0)
    refused = f", {said['rejected']} refused ({100 * said['rejection_rate']:.1f} %)" if said["rejected"] else ""
    skipped = f", {said['skipped']} skipped" if said["skipped"] else ""
    speed = f"; {said['pictures_an_hour']} an hour" if said["pictures_an_hour"] else ""
    also = f", {single} of them in FreiHAND's layout" if layout == "both" else ""
    print(f"{single if layout == 'freihand' else said['made']} pictures in {out}{also}{refused}{skipped}{speed}")
    if cut := said.get("cut"):
        print(f"  {cut} prompts are longer than CLIP reads; rows.jsonl has the ends that are cut off", file=sys.stderr)
    for reason, count in said["reasons"].items():
        print(f"  {count}: {reason}", file=sys.stderr)
    return int(not (single if layout == "freihand" else said["made"]))


COMMANDS = generate
