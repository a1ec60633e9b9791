"""Pictures of what was made: sheets, completions, and overlays on the photographs."""

from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from zoo.commands.tasks.photos import LARGEST, read_photo
from zoo.commands.tasks.store import KNOWN, Record, Store, paint
from zoo.commands.tasks.stream import bar
from zoo.hands.camera import apply_affine, crop_affine, square_box
from zoo.hands.draw import contact_sheet, draw_skeleton, hand_picture, overlay
from zoo.hands.render import render
from zoo.hands.skeleton import LEFT

CELL = 224  # pixels
GREY = 90
SHEET, ROWS = 100, 40  # hands on a sheet of new hands, and rows on one that compares
SHOWN = 4  # hypotheses of one hand
BOX = (255, 214, 10)
TOGETHER = ("vertices", "joints", "rotations", "pose", "betas", "transl", "residual")

Arrays = dict[str, NDArray[Any]]


def draw_all(store: Store, task: str) -> None:
    """All pictures of a task."""
    records = list(store.records.values())
    if not records:
        return
    if task != "fit" and task != "reconstruct":
        make = _new_hands if task == "generate" else _completions
        store.save_picture("hands.png", make(store, records))
        return
    store.save_picture("hands.png", _crops(store, records))
    by_image: dict[str, list[Record]] = {}
    for record in records:
        if "image" in record and Path(record["image"]).is_file():
            by_image.setdefault(record["image"], []).append(record)
    stems = Counter(Path(image).stem for image in by_image)
    for group in bar(list(by_image.values()), "overlays"):
        stem = Path(group[0]["image"]).stem
        name = f"overlays/{group[0]['name'] if len(group) == 1 or stems[stem] > 1 else stem}.png"
        store.save_picture(name, _overlay(store, group))


def save_grid(store: Store) -> None:
    """hands.npz with all new hands, and hands.glb with them side by side as on the sheet."""
    from zoo.hands.meshfile import save_mesh

    together: Arrays = {}
    for row, name in enumerate(bar(list(store.records), "hands.npz")):  # one by one: there may be very many
        hand = store.load(name)
        if row == 0:
            shapes = {key: (len(store.records), *hand[key].shape[1:]) for key in TOGETHER if key in hand}
            together = {key: np.empty(shape, hand[key].dtype) for key, shape in shapes.items()}
        together = {key: rows for key, rows in together.items() if key in hand}  # not all runs fit parameters
        for key, rows in together.items():
            rows[row] = hand[key][0]
    together["faces"] = store.faces[1].numpy()
    store.save_together("hands.npz", together)
    vertices = torch.from_numpy(together["vertices"][:SHEET])
    middle = vertices - (vertices.amin(1, keepdim=True) + vertices.amax(1, keepdim=True)) / 2
    step = float((middle.amax(1) - middle.amin(1)).amax()) * 1.05
    columns = _columns(len(vertices))
    places = torch.tensor([[i % columns, i // columns, 0] for i in range(len(vertices))])
    # In glTF y points up and z towards the viewer.
    upright = (middle + step * places[:, None]) * torch.tensor([1.0, -1.0, -1.0])
    save_mesh(store.folder / "hands.glb", upright, store.faces[1])
    store.extra.append("hands.glb")


def _columns(count: int) -> int:
    return min(count, max(4, int(np.ceil(np.sqrt(count)))))


def _new_hands(store: Store, records: list[Record]) -> Image.Image:
    vertices = np.concatenate([store.load(record["name"])["vertices"][:1] for record in records[:SHEET]])
    pictures = hand_picture(torch.from_numpy(vertices), store.faces[1], 192)
    return contact_sheet(pictures, columns=_columns(len(pictures)))


def _completions(store: Store, records: list[Record]) -> Image.Image:
    """For each hand what was given, then completions; one colour each for the known part and the new one."""
    cells: list[Tensor] = []
    captions: list[str] = []
    columns = 1 + min(SHOWN, max(int(record["hypotheses"]) for record in records[:ROWS]))
    for record in records[:ROWS]:
        arrays = store.load(record["name"])
        vertices, faces = torch.from_numpy(arrays["vertices"]), torch.from_numpy(arrays["faces"])
        skeletons = torch.from_numpy(arrays["joints"])
        turned = _palm(vertices, skeletons, int(arrays["side"]))
        shown = turned[:SHOWN]
        if len(arrays["known"]) == 778:
            known = torch.from_numpy(arrays["known"])
            colors = paint(arrays["known"]).float()[None].expand(len(shown), -1, -1)
            part = faces[known[faces].all(1)]
            cells.append(hand_picture(shown[:1], part, CELL, color=KNOWN, framed_by=shown[:1])[0])
            pictures = hand_picture(shown, faces, CELL, color=colors)
        else:
            joints = _palm(skeletons, skeletons, int(arrays["side"]))[0]
            cells.append(_skeleton(joints, torch.from_numpy(arrays["known"])))
            pictures = hand_picture(shown, faces, CELL)
        cells += [*pictures, *[torch.full_like(pictures[0], 255)] * (columns - 1 - len(pictures))]
        captions += [f"{record['name']}: given", *[f"completion {i + 1}" for i in range(len(pictures))]]
        captions += [""] * (columns - 1 - len(pictures))
    return contact_sheet(cells, columns, captions)


def _palm(points: Tensor, joints: Tensor, side: int) -> Tensor:
    """Turned so that the fingers point up and the palm is seen; one turn for all hypotheses."""
    first = joints[0]
    up = torch.nn.functional.normalize(first[9] - first[0], dim=0)
    across = (first[17] - first[5]) * (1 if side == LEFT else -1)
    across = torch.nn.functional.normalize(across - (across @ up) * up, dim=0)
    frame = torch.stack([across, -up, torch.linalg.cross(across, -up)])
    return (points - first[0]) @ frame.T


def _skeleton(joints: Tensor, known: Tensor) -> Tensor:
    low, high = joints[:, :2].amin(0), joints[:, :2].amax(0)
    scale = 0.8 * CELL / float((high - low).amax())
    paper = torch.full((3, CELL, CELL), 244, dtype=torch.uint8)
    return draw_skeleton(paper, (joints[:, :2] - (low + high) / 2) * scale + CELL / 2, known)


def _crops(store: Store, records: list[Record]) -> Image.Image:
    """For each hand its surroundings, what was given, and what was made of it, side by side."""
    cells: list[Tensor] = []
    captions: list[str] = []
    several = min(SHOWN, max(int(record["hypotheses"]) for record in records[:ROWS]))
    for record in records[:ROWS]:
        arrays = store.load(record["name"])
        photo = _photo(record, arrays)
        joints = torch.from_numpy(arrays["joints"])[0]
        camera = torch.from_numpy(arrays["intrinsics"])
        corners = torch.from_numpy(arrays["box"]).view(1, 2, 2)
        rays = joints @ camera.T
        around = torch.cat([corners, (rays[:, :2] / rays[:, 2:])[None]], 1)
        centre, side = square_box(around, torch.ones(around.shape[:2], dtype=torch.bool), 1.4)
        affine = crop_affine(centre, side, torch.zeros(1), CELL)
        view = _warp(photo, affine[0])
        given = view
        if "keypoints" in arrays:
            inside = apply_affine(affine, torch.from_numpy(arrays["keypoints"])[None])[0]
            given = draw_skeleton(view, inside, torch.from_numpy(arrays["keypoints_valid"]))
        else:
            given = _boxed(view, apply_affine(affine, corners)[0])
        lifted = torch.eye(3)
        lifted[:2] = affine[0]
        cells += [view, given]
        captions += [record["name"], "given"]
        faces = torch.from_numpy(arrays["faces"])
        shown = torch.from_numpy(arrays["vertices"])[:SHOWN]
        drawn = render(shown, faces, (lifted @ camera).expand(len(shown), 3, 3), (CELL, CELL))
        cells += list(overlay(view.expand(len(shown), -1, -1, -1), drawn))
        cells += [torch.full_like(view, 255)] * (several - len(shown))
        captions += ["best" if len(shown) > 1 else "made", *[f"hypothesis {i}" for i in range(2, len(shown) + 1)]]
        captions += [""] * (several - len(shown))
    width = 2 + several
    return contact_sheet(cells, width if len(records) <= 4 or width > 4 else 2 * width, captions)


def _overlay(store: Store, group: list[Record]) -> Image.Image:
    """A whole image with all its hands."""
    loaded = [store.load(record["name"]) for record in group]
    photo = _photo(group[0], loaded[0])
    joined = torch.from_numpy(np.concatenate([one["vertices"][0] for one in loaded]))[None]
    faces = torch.from_numpy(np.concatenate([one["faces"] + 778 * i for i, one in enumerate(loaded)]))
    camera = torch.from_numpy(loaded[0]["intrinsics"])[None]
    hands = render(joined, faces, camera, (photo.shape[1], photo.shape[2]))
    return Image.fromarray(overlay(photo, hands).permute(1, 2, 0).numpy())


def _photo(record: Record, arrays: Arrays) -> Tensor:
    """The photograph (3, h, w), or grey where there is none or it cannot be read."""
    try:
        pixels = read_photo(Path(record.get("image", "")))
    except (ValueError, OSError):
        pixels = np.full((*arrays["image_size"].clip(1, LARGEST).tolist(), 3), GREY, np.uint8)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _warp(image: Tensor, affine: Tensor) -> Tensor:
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    out = cv2.warpAffine(pixels, affine.double().numpy(), (CELL, CELL), flags=cv2.INTER_CUBIC)
    return torch.from_numpy(out).permute(2, 0, 1)


def _boxed(image: Tensor, corners: Tensor) -> Tensor:
    canvas = image.permute(1, 2, 0).contiguous().numpy().copy()
    (left, top), (right, bottom) = corners.round().int().tolist()
    cv2.rectangle(canvas, (left, top), (right, bottom), BOX, 2, cv2.LINE_AA)
    return torch.from_numpy(canvas).permute(2, 0, 1)
