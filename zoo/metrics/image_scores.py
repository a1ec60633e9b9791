"""Every score of a folder of made pictures in one pass over it and one over the real ones."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from zoo.metrics.clip_score import CLIPScore, OpenClip
from zoo.metrics.detectors import HandDetector
from zoo.metrics.extractors import Extractor
from zoo.metrics.hand_crops import Boxes, HandCrops
from zoo.metrics.images import FID, FIDH, KID, KIDH
from zoo.metrics.made_hands import HandConfidence
from zoo.metrics.picture_folder import PictureFolder
from zoo.shapes import Images, Tensor


@dataclass
class ImageScores:
    """Numbers by name, the rule behind each, and what could not be read.

    Args:
        numbers: `fid/zoo-small` and so on.
        rules: How each number came about.
        bad: Files that could not be read, and why, by `real` or `made`.
    """

    numbers: dict[str, float] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)
    bad: dict[str, dict[str, str]] = field(default_factory=dict)


@torch.inference_mode()
def image_scores(
    real: PictureFolder,
    made: PictureFolder,
    extractor: Extractor,
    *,
    real_hands: HandDetector | None = None,
    made_hands: HandDetector | None = None,
    crops: HandCrops = HandCrops(),  # noqa: B008 - frozen
    clip: OpenClip | None = None,
    texts: Mapping[str, str] | None = None,
    confidence: bool = False,
    tell: Callable[[int], None] | None = None,
) -> ImageScores:
    """FID and KID, with hands also FID-H and KID-H, with texts the CLIP score.

    Args:
        real: Real pictures.
        made: Made pictures.
        extractor: For all four distances; where its weights are, everything is computed.
        real_hands: Finds the hands of the real pictures.
        made_hands: Finds those of the made ones.
        crops: How hands are cut out.
        clip: For the CLIP score of the made pictures.
        texts: Of each made picture, by its name.
        confidence: Whether the made hands' scores are a detector's, worth reporting; given boxes have none.
        tell: Called with the number of pictures done.
    """
    if (real_hands is None) != (made_hands is None):
        raise ValueError("FID-H needs hands of both folders. Give boxes or a detector for both, or for neither.")
    if (clip is None) != (texts is None):
        raise ValueError("The CLIP score needs a model and the texts of the made pictures. Give both, or neither.")
    device = next((part.device for part in [*extractor.parameters(), *extractor.buffers()]), torch.device("cpu"))
    fid, kid = FID(extractor).to(device), KID(extractor).to(device)
    fid_h, kid_h = FIDH(extractor, crops).to(device), KIDH(extractor, crops).to(device)
    sure, agree = HandConfidence().to(device), CLIPScore(clip).to(device) if clip is not None else None
    if texts is not None:
        _texts(texts, made.names)  # before the first picture is read
    for folder, hands, is_real in ((real, real_hands, True), (made, made_hands, False)):
        for part in folder.parts():
            whole: dict[str, Tensor] = {}
            cut: dict[str, Tensor] = {}
            for pictures in folder.read(part):
                images = pictures.images.to(device).float() / 255
                whole.update(zip(pictures.names, torch.split(extractor(images), 1), strict=True))
                if hands is not None:
                    found = hands(images, pictures.names)
                    boxes = [_seen(row.boxes, images) for row in found]
                    if sum(map(len, boxes)):
                        shown = torch.split(crops(images, boxes, extractor.side), folder.batch)
                        features = torch.cat([extractor(some) for some in shown])
                        cut.update(
                            zip(pictures.names, torch.split(features, [len(rows) for rows in boxes]), strict=True)
                        )
                    if not is_real:
                        sure.update(found)
                if agree is not None and texts is not None and not is_real:
                    agree.update(images, _texts(texts, pictures.names))
                if tell is not None:
                    tell(len(pictures.names))
            _add_in_order(part, whole, is_real, fid, kid)
            _add_in_order(part, cut, is_real, fid_h, kid_h)
    scores = ImageScores(bad={"real": dict(real.bad), "made": dict(made.bad)})
    pairs: list[tuple[str, FID | FIDH, KID | KIDH]] = [("", fid, kid)]
    if real_hands is not None and made_hands is not None:
        by = real_hands.name if real_hands.name == made_hands.name else f"{real_hands.name}+{made_hands.name}"
        pairs.append((f"_h/{by}", fid_h, kid_h))
    for kind, frechet, kernel in pairs:
        mark, _, who = kind.partition("/")
        found_by = f"boxes: {who}; " if who else ""
        name = extractor.name + (f"/{who}" if who else "")
        with warnings.catch_warnings():  # torchmetrics thinks that nothing was added: `add` is not `update`
            warnings.filterwarnings("ignore", "The ``compute`` method of metric", UserWarning)
            distance, (mean, std) = frechet.compute(), kernel.compute()
        _add(scores, f"fid{mark}/{name}", float(distance), found_by + frechet.rule)
        _add(scores, f"kid{mark}/{name}", float(mean), found_by + kernel.rule)
        _add(scores, f"kid{mark}_std/{name}", float(std), found_by + kernel.rule + "; standard deviation over subsets")
    if confidence and made_hands is not None:
        _confidence(scores, sure, made_hands.name)
    if agree is not None and clip is not None:
        _add(scores, f"clip_score/{clip.name}", float(agree.compute()), agree.rule)
    return scores


def _add_in_order(
    names: Sequence[str], features: Mapping[str, Tensor], is_real: bool, frechet: FID | FIDH, kernel: KID | KIDH
) -> None:
    """Gives both the features in the order of the names: KID draws subsets by place."""
    rows = [features[name] for name in names if name in features]
    if rows:
        frechet.add(torch.cat(rows), is_real)
        kernel.add(torch.cat(rows), is_real)


def _confidence(scores: ImageScores, sure: HandConfidence, name: str) -> None:
    found = sure.compute()
    for key, value, rule in (
        ("hand_confidence", found.detected, "mean score of all hands found; pictures without a hand are ignored"),
        ("hand_confidence_misses_zero", found.expected, "mean of each picture's surest hand; without one it counts 0"),
        ("hand_found_percent", found.coverage, "pictures in which a hand is found"),
    ):
        _add(scores, f"{key}/{name}", float(value), rule)


def _add(scores: ImageScores, name: str, value: float, rule: str) -> None:
    scores.numbers[name], scores.rules[name] = value, rule


def _seen(boxes: Boxes, images: Images) -> Boxes:
    """Boxes with some of the picture in them: detectors may look beyond its edges."""
    height, width = images.shape[-2:]
    left, top, right, bottom = boxes.unbind(-1)
    return boxes[(right > 0) & (bottom > 0) & (left < width) & (top < height) & (right > left) & (bottom > top)]


def _texts(texts: Mapping[str, str], names: Sequence[str]) -> list[str]:
    missing = [name for name in names if name not in texts]
    if missing:
        raise ValueError(f"There is no text for {missing[0]}. Give one for each made picture in --prompts.")
    return [texts[name] for name in names]
