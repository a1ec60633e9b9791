"""A synthetic MSCOCO: OpenHand's hands in the files of COCO, COCO-WholeBody and NeuralAnnot, with their quirks."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from datamodules.coco.data import keep_in_picture
from datamodules.coco.files import MANO, PARTS, Part, annotations_name
from datamodules.coco.index import SIDES
from datamodules.coco.labels import PREFIXES
from datamodules.twins import Stage, TwinHand, whole_folder
from zoo.hands.skeleton import LEFT, RIGHT

SIZES = ((480, 640), (640, 480))
WHICH = ((LEFT, RIGHT), (RIGHT,), (LEFT, RIGHT), (LEFT,))  # hands of one picture after the other
FOCAL = 1600.0  # pixels: people stand some metres away
FILL = (0.08, 0.25)  # of the picture's shorter side that a hand takes
VIRTUAL = 5000 / 256  # focal length of a fitted camera over the side of the hand's box, as NeuralAnnot's
LABELLED = 0.85  # share of the joints
WORDS = ("waves to the camera", "points at something", "counts to three", "holds up a hand", "makes a sign")
BODY = ("nose", "eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")


def synth(out: Path, n: int, seed: int, workers: int) -> None:
    """Writes it.

    Args:
        out: Its folder, new or empty.
        n: Training images; an eighth as many for validation.
        seed: Other seeds give other hands.
        workers: Processes that draw; 0 draws in this one.
    """
    with whole_folder(out, "coco", seed=seed) as folder:
        (folder / "annotations").mkdir()
        for part in PARTS:
            _write_part(folder, part, n if part == "train" else -(-n // 8), seed, workers)


class _Pictures(Dataset[dict[str, Any]]):
    """One item is one picture, written, and its labels, so that a loader's workers draw."""

    def __init__(self, folder: Path, part: Part, n: int, seed: int) -> None:
        self.folder = folder / "images" / f"{part}2017"
        self.part: Part = part
        self.n = n
        self.seed = seed

    def __len__(self) -> int:
        return self.n

    @cached_property
    def stages(self) -> list[Stage]:
        seed = 2 * self.seed + (self.part == "val")
        return [Stage(seed, size, FOCAL, FILL) for size in SIZES]

    def __getitem__(self, number: int) -> dict[str, Any]:
        stage = self.stages[number % 2]
        hands = stage.hands(number, WHICH[number % 4])
        picture = stage.photograph(number, hands)
        image_id = 9 + 16 * number + 8 * (self.part == "val")
        name = f"{image_id:012d}.jpg"
        (self.folder / name).write_bytes(simplejpeg.encode_jpeg(picture.image, quality=92))
        height, width = stage.size
        image = {"license": 4, "file_name": name, "coco_url": "", "height": height, "width": width, "id": image_id}
        image |= {"date_captured": "2013-11-19 21:22:42", "flickr_url": ""}
        people = list(_people(stage, hands, number, image_id))
        fits = {} if self.part == "val" else _fits(stage, hands, number, people[0]["id"])
        return {"image": image, "people": people, "fits": fits, "captions": list(_captions(number, image_id))}


def _write_part(folder: Path, part: Part, n: int, seed: int, workers: int) -> None:
    work = _Pictures(folder, part, n, seed)
    work.folder.mkdir(parents=True)
    loader = DataLoader(work, batch_size=None, num_workers=min(workers, n))
    drawn = list(tqdm(loader, desc=f"Drawing {part}", unit="picture", delay=5))
    shuffled = [drawn[i] for i in np.random.default_rng((seed, n)).permutation(n).tolist()]  # COCO has no order
    info = {"description": "Synthetic twin of COCO", "url": "", "version": "1.0", "year": "2017", "date_created": ""}
    common: dict[str, Any] = {"info": info, "licenses": [{"url": "", "id": 4, "name": "Synthetic"}]}
    images = [made["image"] for made in shuffled]
    names = [f"{side}_{joint}" for joint in BODY[1:] for side in ("left", "right")]
    category = {"supercategory": "person", "id": 1, "name": "person", "keypoints": ["nose", *names], "skeleton": []}
    people = [person for made in drawn for person in made["people"]]
    whole = {**common, "categories": [category], "images": images, "annotations": people}
    captions = {**common, "images": images, "annotations": [line for made in shuffled for line in made["captions"]]}
    place = folder / "annotations"
    (place / annotations_name(part)).write_text(json.dumps(whole))
    (place / f"captions_{part}2017.json").write_text(json.dumps(captions))
    if part == "train":
        fits = {key: fit for made in shuffled for key, fit in made["fits"].items()}
        (place / MANO).write_text(json.dumps(fits))


def _people(stage: Stage, hands: Mapping[int, TwinHand], number: int, image_id: int) -> Any:
    """The person whose hands are seen; now and then a crowd, somebody without labels, somebody without hands."""
    rng = stage.rng(number, 2)
    height, width = stage.size
    parts: dict[str, Any] = {}
    for side, prefix in PREFIXES.items():
        if side not in hands:
            parts |= {f"{prefix}_box": [0.0] * 4, f"{prefix}_kpts": [0.0] * 63, f"{prefix}_valid": False}
            continue
        labelled = rng.random(21) < LABELLED
        labelled[:2] = True
        # 2 and 1 are people's, fractions a detector's
        visibility = rng.choice([1.0, 2.0, -1.0], 21)
        visibility = np.where(visibility < 0, rng.uniform(0.05, 0.99, 21).round(4), visibility) * labelled
        points = hands[side].pixels.round(3).astype(np.float64) * labelled[:, None]
        low, high = points[labelled].min(0), points[labelled].max(0)
        parts[f"{prefix}_box"] = [*low.tolist(), *(high - low).tolist()]
        parts[f"{prefix}_kpts"] = np.concatenate((points, visibility[:, None]), 1).ravel().round(4).tolist()
        parts[f"{prefix}_valid"] = True
    seen = np.concatenate([hand.pixels for hand in hands.values()])
    low = np.clip(seen.min(0) - 60, 0, None).round(2)
    high = np.minimum(seen.max(0) + np.array([60, 140]), np.array([width, height])).round(2)
    yield _person(1000 + 10 * number, image_id, low, high, rng, **parts)
    nobody = {f"{prefix}_{what}": value for prefix in PREFIXES.values() for what, value in _NO_HAND.items()}
    if number % 3 == 0:  # an area of many people, as run lengths
        crowd = _person(900100000000 + number, image_id, np.zeros(2), np.array([width, height]), rng, **nobody)
        counts = [width * height // 4, width * height // 2, width * height - 3 * (width * height // 4)]
        counts[2] += width * height - sum(counts)
        rle = {"counts": counts, "size": [height, width]}
        yield {**crowd, "segmentation": rle, "iscrowd": 1, "num_keypoints": 0, "keypoints": [0] * 51}
    if number % 3 == 1:  # too small to label
        small = _person(1001 + 10 * number, image_id, low, low + 20, rng, **nobody)
        yield {**small, "num_keypoints": 0, "keypoints": [0] * 51}
    if number % 3 == 2:
        yield _person(1002 + 10 * number, image_id, low, high, rng, **nobody)


_NO_HAND: dict[str, Any] = {"box": [0.0] * 4, "kpts": [0.0] * 63, "valid": False}


def _person(
    number: int, image_id: int, low: NDArray[Any], high: NDArray[Any], rng: np.random.Generator, **parts: Any
) -> dict[str, Any]:
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    body = np.concatenate((rng.uniform(low, high, (17, 2)).round(), np.full((17, 1), 2)), 1).astype(int)
    foot = np.concatenate((rng.uniform(low, high, (6, 2)).round(2), np.full((6, 1), 2.0)), 1)
    face = np.concatenate((rng.uniform(low, (low + high) / 2, (68, 2)).round(3), np.ones((68, 1))), 1)
    return {
        "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
        "num_keypoints": 17,
        "area": round(0.6 * (right - left) * (bottom - top), 5),
        "iscrowd": 0,
        "keypoints": body.ravel().tolist(),
        "image_id": image_id,
        "bbox": [left, top, round(right - left, 2), round(bottom - top, 2)],
        "category_id": 1,
        "id": number,
        "face_box": [*face[:, :2].min(0).tolist(), *np.ptp(face[:, :2], axis=0).tolist()],
        "face_kpts": face.ravel().tolist(),
        "face_valid": True,
        "foot_kpts": foot.ravel().tolist(),
        "foot_valid": True,
        **parts,
    }


def _fits(stage: Stage, hands: Mapping[int, TwinHand], number: int, annotation: int) -> dict[str, Any]:
    """NeuralAnnot's entry of a person: hands before their own cameras, null where there is none; at times no entry."""
    if number % 5 == 4:
        return {}
    made: dict[str, Any] = dict.fromkeys(("right", "left"))
    for side, hand in hands.items():
        low, high = hand.pixels.min(0), hand.pixels.max(0)
        focal = float((high - low).max() * 1.5 * VIRTUAL)
        middle = ((low + high) / 2).tolist()
        own = np.array([[focal, 0, middle[0]], [0, focal, middle[1]], [0, 0, 1]], np.float32)
        pose = keep_in_picture(stage.models, side, hand.pose, stage.intrinsics, own)
        if pose is None or (side == LEFT and number % 8 == 2):
            continue  # the fit failed
        turns = pose.rotations.reshape(48).astype(np.float64)
        turns[3:] -= stage.models[side].hands_mean.numpy()
        made[SIDES[side]] = {
            "mano_param": {"pose": turns.tolist(), "shape": pose.betas.tolist(), "trans": pose.transl.tolist()},
            "cam_param": {"focal": [focal, focal], "princpt": middle},
        }
    return {str(annotation): made}


def _captions(number: int, image_id: int) -> Any:
    for i, words in enumerate(WORDS):
        text = f"A person {words}."
        if i == number % 5:
            text = f"A person\n{words}. \n"  # as some of COCO's are
        yield {"image_id": image_id, "id": 5 * number + 4 - i, "caption": text}
