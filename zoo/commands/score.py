"""`score`: how good a folder of made pictures is, beside a folder of real ones."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from zoo.commands.folder import write_text
from zoo.registry import UsageError

if TYPE_CHECKING:
    from zoo.metrics.detectors import GivenBoxes, HandDetector
    from zoo.metrics.extractors import Extractor
    from zoo.metrics.image_scores import ImageScores
    from zoo.metrics.picture_folder import PictureFolder


def score(
    real: Path,
    made: Path,
    extractor: Path | None = None,
    extractor_kind: Literal["fid", "imagenet"] = "fid",
    boxes: Path | None = None,
    real_boxes: Path | None = None,
    detector: Path | None = None,
    prompts: Path | None = None,
    clip: str | None = None,
    clip_weights: Path | None = None,
    batch: int = 32,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    out: Path | None = None,
) -> None:
    """Scores a folder of made pictures against one of real pictures: FID, KID and what else its options allow.

    Args:
        real: Folder of real pictures (.png, .jpg), of any size, with folders in it or not.
        made: Folder of made pictures.
        extractor: File of Inception weights, for numbers like published ones; without it zoo-small, a random network of
            ours whose numbers compare with its own alone.
        extractor_kind: What --extractor is: FID's weights, or torchvision's of ImageNet.
        boxes: Hands of the made pictures, for FID-H and KID-H: a .csv or .json list of file, x, y, w, h.
        real_boxes: The same of the real pictures.
        detector: MediaPipe's hand_landmarker.task, instead of boxes; tells the hand confidence too.
        prompts: Texts of the made pictures, for the CLIP score: .json of name to text, or AttentionHand's prompt.json.
        clip: Architecture of open_clip's, such as ViT-L-14-quickgelu, or a JSON file that describes one.
        clip_weights: Its weights, .safetensors or a plain state dict. Nothing is downloaded.
        batch: Pictures at a time.
        device: Where the networks run; auto takes a GPU where there is one.
        out: Folder for metrics.json and scores.txt; score in this folder when not given.
    """
    _check(boxes, real_boxes, detector, prompts, clip, clip_weights)
    if batch < 1:
        raise UsageError(f"--batch {batch} holds no picture. Give a number from 1.")
    import torch
    from tqdm import tqdm

    from zoo.metrics.clip_score import OpenClip
    from zoo.metrics.image_scores import image_scores

    place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if place == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda needs a GPU, and there is none. Give --device cpu.")
    network = _extractor(extractor, extractor_kind).to(place)
    model = OpenClip.from_file(clip, clip_weights).to(place) if clip and clip_weights else None
    folders = _pictures(real.expanduser(), batch), _pictures(made.expanduser(), batch)
    texts = None if prompts is None else _prompts(prompts.expanduser())
    real_hands, made_hands = _hands(folders, real_boxes, boxes, detector)
    with tqdm(total=sum(map(len, folders)), desc="Looking at pictures", unit="picture", mininterval=1) as bar:
        found = image_scores(
            *folders, network, real_hands=real_hands, made_hands=made_hands, clip=model, texts=texts,
            confidence=detector is not None, tell=lambda many: bar.update(many) and None,
        )  # fmt: skip
    said = table(found)
    folder = out or Path("score")
    print(said)
    numbers = {name: value if math.isfinite(value) else None for name, value in found.numbers.items()}
    write_text(folder / "metrics.json", json.dumps(numbers, indent=1, allow_nan=False) + "\n")
    write_text(folder / "scores.txt", said + "\n")
    print(f"metrics.json and scores.txt are in {folder}.")
    for flag, pictures in zip(("--real", "--made"), folders, strict=True):
        many = len(pictures) - len(pictures.bad)
        if many < 2:
            raise ValueError(
                f"{flag} {pictures.root} has {many} readable picture{'s' * (many != 1)}, but FID and KID need two of "
                f"each kind. Give {flag} a folder with more."
            )


def table(scores: "ImageScores") -> str:
    """The numbers, then the rule behind each, then what could not be read."""
    width = max(map(len, scores.numbers), default=0)
    lines = [f"{name:<{width}}  {value:.6g}" for name, value in scores.numbers.items()]
    rules: dict[str, list[str]] = {}
    for name, rule in scores.rules.items():
        rules.setdefault(rule, []).append(name)
    lines += ["", *(f"{', '.join(names)}: {rule}" for rule, names in rules.items())]
    for kind, bad in scores.bad.items():
        if bad:
            first, why = next(iter(bad.items()))
            lines.append(f"{len(bad)} {kind} files could not be read and are left out, the first: {first} ({why}).")
    return "\n".join(lines)


def _check(
    boxes: Path | None,
    real_boxes: Path | None,
    detector: Path | None,
    prompts: Path | None,
    clip: str | None,
    weights: Path | None,
) -> None:
    if (boxes is None) != (real_boxes is None):
        given, other = ("--boxes", "--real_boxes") if boxes else ("--real_boxes", "--boxes")
        raise UsageError(f"{given} without {other}: FID-H compares hands of both folders. Give both.")
    if boxes is not None and detector is not None:
        raise UsageError("--boxes and --detector both say where the hands are. Give one of them.")
    if len({prompts is None, clip is None, weights is None}) == 2:
        raise UsageError("The CLIP score needs --prompts, --clip and --clip_weights. Give all three, or none.")


def _extractor(file: Path | None, kind: Literal["fid", "imagenet"]) -> "Extractor":
    from zoo.metrics.extractors import ZooSmall

    if file is None:
        return ZooSmall()
    from zoo.metrics.inception import FidInception, ImageNetInception

    return (FidInception if kind == "fid" else ImageNetInception)(file.expanduser())


def _pictures(root: Path, batch: int) -> "PictureFolder":
    from zoo.commands.picture_names import picture_names
    from zoo.metrics.picture_folder import PictureFolder

    return PictureFolder(root, batch, only=picture_names(root) if root.is_dir() else None)


def _hands(
    folders: "tuple[PictureFolder, PictureFolder]", real: Path | None, made: Path | None, detector: Path | None
) -> "tuple[HandDetector | None, HandDetector | None]":
    if detector is not None:
        from zoo.metrics.mediapipe_hands import MediaPipeHands

        found = MediaPipeHands.from_file(detector.expanduser())
        return found, found
    if real is None or made is None:
        return None, None
    return given_boxes(real.expanduser(), folders[0], "--real_boxes"), given_boxes(made.expanduser(), folders[1])


def given_boxes(file: Path, folder: "PictureFolder", flag: str = "--boxes") -> "GivenBoxes":
    """Boxes of a list by the names of a folder's pictures; pictures without a line show no hand."""
    import torch

    from zoo.commands.tasks.boxes import BoxReader
    from zoo.commands.tasks.case import Unreadable
    from zoo.hands.skeleton import RIGHT
    from zoo.metrics.detectors import NONE, Detections, GivenBoxes

    if not file.is_file():
        raise FileNotFoundError(f"{flag} {file} is not there. Give a .csv or .json list of file, x, y, w, h.")
    rows: dict[str, list[list[float]]] = {name: [] for name in folder.names}
    root = folder.root.resolve()
    for case in BoxReader(folder.root, RIGHT).read(file):  # crops are not mirrored, so that the side does not matter
        if isinstance(case, Unreadable):
            raise ValueError(f"{flag} {file}, {case.name}: {case.reason}.")
        path = (case.image or Path(case.name)).resolve()
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        if name not in rows:
            raise ValueError(f"{flag} {file} names {name}, which {folder.root} does not hold. Give its own list.")
        if case.box is None:
            raise ValueError(f"{flag} {file}: {name} has no box; a line is file,x,y,w,h.")
        x, y, w, h = case.box
        rows[name].append([x, y, x + w, y + h])
    hands = {
        name: Detections(torch.tensor(some), torch.ones(len(some)), torch.full((len(some),), RIGHT)) if some else NONE
        for name, some in rows.items()
    }
    return GivenBoxes(hands)


def _prompts(file: Path) -> dict[str, str]:
    """Texts by picture, from one JSON object, or from lines of objects as AttentionHand's folders have."""
    if not file.is_file():
        raise FileNotFoundError(f"--prompts {file} is not there. Give a .json file of name to text.")
    text = file.read_text()
    try:
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        if all(isinstance(row, dict) and {"target", "prompt"} <= row.keys() for row in rows):
            return {Path(row["target"]).name: str(row["prompt"]) for row in rows}
    except json.JSONDecodeError:
        pass  # one object over several lines
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"--prompts {file} is no JSON ({error}). Give an object of name to text.") from error
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise ValueError(f"--prompts {file} is no JSON object of name to text.")
    return content


COMMANDS = score
