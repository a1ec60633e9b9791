import json

import numpy as np
import pytest
import torch
from sample_files import HAND, HIDDEN, coco, keypoints, photo, posed

from zoo.commands.tasks.boxes import BoxReader
from zoo.commands.tasks.case import Case, Unreadable
from zoo.commands.tasks.coco import read_coco
from zoo.commands.tasks.keypoints import Reader, without
from zoo.commands.tasks.meshes import PartReader
from zoo.hands.camera import project
from zoo.hands.skeleton import LEFT, RIGHT

CAMERA = torch.tensor([[500.0, 0, 310], [0, 500, 250], [0, 0, 1]])
POINTS = np.stack([np.linspace(10, 90, 21), np.linspace(80, 20, 21) ** 1.1, np.linspace(0.3, 1, 21)], -1)


def test_coco_hands_are_read_with_float_visibilities_and_both_sides(tmp_path):
    partly = keypoints(0.3)
    partly[2::9] = [0.0] * 7
    file = coco(
        tmp_path / "a.json",
        {"lefthand_valid": True, "lefthand_kpts": partly, "righthand_valid": True, "righthand_kpts": keypoints(2)},
        HIDDEN,
        {**HIDDEN, "righthand_valid": True, "righthand_kpts": keypoints(), "iscrowd": 1},
    )  # fmt: skip
    left, right = Reader(tmp_path).read(file)
    assert (left.side, right.side) == (LEFT, RIGHT)
    assert (left.seen.sum(), right.seen.sum()) == (14, 21)
    assert left.confidence.max() == pytest.approx(0.3)
    assert left.name == "photo_0_left"
    assert left.image == tmp_path / "photo.jpg"
    assert left.size == (480, 640)


def test_one_bad_annotation_leaves_the_others_alone(tmp_path):
    good = {**HIDDEN, "righthand_valid": True, "righthand_kpts": keypoints()}
    short = {**good, "righthand_kpts": [1.0, 2.0, 1.0]}
    unseen = {**good, "righthand_kpts": keypoints(0.0)}
    found = list(Reader().read(coco(tmp_path / "a.json", short, good, unseen)))
    assert [type(one) for one in found] == [Unreadable, Case, Unreadable]
    assert "21 triples" in found[0].reason


def test_photographs_of_a_coco_file_may_lie_in_folders_but_not_outside(tmp_path):
    hand = {**HIDDEN, "righthand_valid": True, "righthand_kpts": keypoints()}
    images = tmp_path / "images"
    for place in ("images/a/photo.jpg", "images/photo.jpg", "photo.jpg"):
        photo(tmp_path / place)
    expected = {"a/photo.jpg": "a/photo.jpg", "b/photo.jpg": "photo.jpg", "../photo.jpg": "photo.jpg"}
    expected[str(tmp_path / "photo.jpg")] = "photo.jpg"
    for named, found in expected.items():
        (case,) = Reader(images).read(coco(tmp_path / "a.json", hand, file_name=named))
        assert case.image == images / found


def test_boxes_of_a_coco_file_are_read_as_boxes(tmp_path):
    hand = {**HIDDEN, "righthand_valid": True, "righthand_box": [3, 4, 50, 60]}
    (case,) = read_coco(coco(tmp_path / "a.json", hand), tmp_path, "boxes")
    assert (case.box, case.seen.any()) == ((3, 4, 50, 60), False)


def test_the_size_that_a_coco_file_lacks_is_taken_from_the_words(tmp_path):
    file = coco(tmp_path / "a.json", {**HIDDEN, "righthand_valid": True, "righthand_kpts": keypoints()})
    sized = Reader(size=(100, 200))
    assert next(sized.read(file)).size == (480, 640)
    content = json.loads(file.read_text())
    del content["images"][0]["height"]
    file.write_text(json.dumps(content))
    assert next(sized.read(file)).size == (100, 200)


def test_a_folder_of_files_survives_a_broken_one(tmp_path):
    coco(tmp_path / "a.json", {**HIDDEN, "righthand_valid": True, "righthand_kpts": keypoints()})
    (tmp_path / "b.json").write_text('{"images": [')
    good, bad = Reader().read(tmp_path)
    assert good.name == "a_photo_0_right"
    assert (bad.name, "is not JSON" in bad.reason) == ("b.json", True)


@pytest.mark.parametrize("spelled", ["folder", "training_xyz.json"])
def test_freihand_hands_are_read_from_their_layout(tmp_path, spelled):
    _, joints = posed(RIGHT)
    (tmp_path / "training_K.json").write_text(json.dumps([CAMERA.tolist()] * 2))
    (tmp_path / "training_xyz.json").write_text(json.dumps([joints.tolist(), [[0, 0, 0]] * 21]))
    image = photo(tmp_path / "training" / "rgb" / "00000000.jpg")
    good, bad = Reader().read(tmp_path if spelled == "folder" else tmp_path / spelled)
    np.testing.assert_allclose(good.pixels, project(joints[None], CAMERA[None])[0], atol=1e-3)
    assert good.image == image
    assert "in front of the camera" in bad.reason


def write(path, points):
    if path.suffix == ".npy":
        np.save(path, points)
    elif path.suffix == ".npz":
        np.savez(path, keypoints=points, side=np.array(1))
    elif path.suffix == ".csv":
        path.write_text("x,y,confidence\n" + "\n".join(",".join(map(str, row)) for row in points.tolist()))
    elif path.suffix == ".txt":
        np.savetxt(path, points)
    else:
        path.write_text(json.dumps({"keypoints": points.tolist(), "side": "right"}))
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".txt", ".json"])
def test_plain_arrays_are_read_from_every_format(tmp_path, suffix):
    points = POINTS.copy()
    points[3, :2], points[5, 2] = np.nan, 0.1
    (case,) = Reader(side=RIGHT, size=(120, 160)).read(write(tmp_path / f"a{suffix}", points))
    assert case.size == (120, 160)
    assert np.flatnonzero(~case.seen).tolist() == [3, 5]
    np.testing.assert_allclose(case.pixels[case.seen], points[case.seen][:, :2], rtol=1e-5)


@pytest.mark.parametrize("name", ["confidence", "scores", "keypoints_valid"])
@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_confidences_beside_the_points_are_theirs(tmp_path, name, suffix):
    points, sure = POINTS[:, :2].copy(), np.ones(21)
    points[4], sure[4] = 0, 0
    for numbers in (sure, sure[:20]):
        file = tmp_path / f"a{suffix}"
        if suffix == ".npz":
            np.savez(file, keypoints=points, side=np.array("left"), **{name: numbers})
        else:
            content = {"keypoints": points.tolist(), "side": "left", name: numbers.tolist()}
            file.write_text(json.dumps(content))
        if len(numbers) == 21:
            (case,) = Reader().read(file)
            assert np.flatnonzero(~case.seen).tolist() == [4]
        else:
            with pytest.raises(ValueError, match=f"its {name} has 20 numbers for 21 joints"):
                list(Reader().read(file))


def test_several_hands_in_one_array_are_several_hands(tmp_path):
    np.save(tmp_path / "a.npy", np.stack([POINTS, POINTS]))
    assert [case.name for case in Reader(side=LEFT).read(tmp_path / "a.npy")] == ["a_0", "a_1"]


def test_an_array_needs_a_side(tmp_path):
    (found,) = Reader().read(write(tmp_path / "a.npy", POINTS))
    assert "--side" in found.reason


def test_the_side_that_a_file_states_stands(tmp_path):
    for suffix in (".npz", ".json"):
        assert [case.side for case in Reader(side=LEFT).read(write(tmp_path / f"a{suffix}", POINTS))] == [RIGHT]
    (tmp_path / "b.json").write_text(json.dumps({"landmarks": [LANDMARKS], "handedness": "Left"}))
    assert [case.side for case in Reader(side=RIGHT, size=(120, 160)).read(tmp_path / "b.json")] == [LEFT]
    (tmp_path / "c.csv").write_text("a.jpg,1,2,30,40,left\nb.jpg,1,2,30,40\n")
    assert [case.side for case in BoxReader(side=RIGHT).read(tmp_path / "c.csv")] == [LEFT, RIGHT]


def test_the_picture_beside_the_keypoints_is_theirs(tmp_path):
    write(tmp_path / "a.npy", POINTS)
    image = photo(tmp_path / "a.png")
    (case,) = (one for one in Reader(side=RIGHT).read(tmp_path / "a.npy"))
    assert case.image == image


LANDMARKS = [{"x": float(x) / 160, "y": float(y) / 120, "z": 0.0} for x, y, _ in POINTS]
CATEGORY = {"index": 0, "score": 0.9, "category_name": "Left", "display_name": "Left"}


@pytest.mark.parametrize(
    ("content", "side"),
    [
        ({"hand_landmarks": [LANDMARKS], "handedness": [[CATEGORY]], "hand_world_landmarks": [LANDMARKS]}, LEFT),
        ({"landmarks": [LANDMARKS], "handednesses": [[{"categoryName": "Right", "score": 1}]]}, RIGHT),
        ({"landmarks": LANDMARKS, "handedness": "Left"}, LEFT),
        # The older Solutions name the side that a mirror shows.
        (
            {
                "multi_hand_landmarks": [{"landmark": LANDMARKS}],
                "multi_handedness": [{"classification": [{"index": 1, "label": "Right", "score": 1}]}],
            },
            LEFT,
        ),
        ({"multiHandLandmarks": [LANDMARKS], "multiHandedness": [{"label": "Left"}]}, RIGHT),
        (LANDMARKS, None),
        ([LANDMARKS], None),
    ],
)
def test_mediapipe_is_read_in_all_its_spellings(tmp_path, content, side):
    (tmp_path / "a.json").write_text(json.dumps(content))
    (case,) = Reader(size=(120, 160), side=RIGHT if side is None else None).read(tmp_path / "a.json")
    assert case.side == (RIGHT if side is None else side)
    np.testing.assert_allclose(case.pixels, POINTS[:, :2] - 0.5, atol=1e-3)
    assert case.seen.all()


def test_mediapipe_takes_the_size_of_its_picture(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"landmarks": [LANDMARKS], "handedness": "Left"}))
    with pytest.raises(ValueError, match="--size WIDTHxHEIGHT"):
        list(Reader().read(tmp_path / "a.json"))
    photo(tmp_path / "a.jpg")
    (case,) = Reader().read(tmp_path / "a.json")
    np.testing.assert_allclose(case.pixels, POINTS[:, :2] - 0.5, atol=1e-3)


def test_missing_fingers_are_not_seen(tmp_path):
    (case,) = Reader(side=RIGHT).read(write(tmp_path / "a.npy", POINTS))
    assert np.flatnonzero(~without(case, ("index", "pinky")).seen).tolist() == [5, 6, 7, 8, 17, 18, 19, 20]


def content(kind):
    return {
        "empty list": [],
        "empty object": {},
        "20 joints": POINTS[:20].tolist(),
        "words": [["a", "b", "c"]] * 21,
        "a number": 3,
        "20 landmarks": {"landmarks": [LANDMARKS[:20]]},
        "landmarks in pixels": {"landmarks": [[{"x": 300, "y": 20}] * 21], "width": 640, "height": 480},
        "landmarks without x": {"landmarks": [[{"y": 20}] * 21], "width": 640, "height": 480},
        "coco without lists": {"images": 3, "annotations": None},
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "empty list", "empty object", "20 joints", "words", "a number", "20 landmarks", "landmarks in pixels",
        "landmarks without x", "coco without lists",
    ],
)  # fmt: skip
def test_garbage_is_refused_in_a_sentence(tmp_path, kind):
    (tmp_path / "a.json").write_text(json.dumps(content(kind)))
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - any sentence will do
        list(Reader(side=RIGHT, size=(120, 160)).read(tmp_path / "a.json"))
    assert len(str(caught.value)) > 20


@pytest.mark.parametrize("odd", [{"width": None, "height": 3}, {"width": 0, "height": 3}, {"K": {}}, {"K": [["x"]]}])
def test_an_odd_file_leaves_the_others_alone_and_is_refused_alone(tmp_path, odd):
    (tmp_path / "a.json").write_text(json.dumps({"keypoints": POINTS.tolist(), "side": "left", **odd}))
    write(tmp_path / "b.json", POINTS)
    bad, good = Reader().read(tmp_path)
    assert (type(bad), type(good)) == (Unreadable, Case)
    with pytest.raises(ValueError, match="its "):
        list(Reader().read(tmp_path / "a.json"))


def test_a_damaged_archive_leaves_the_others_alone(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", keypoints=POINTS, vertices=POINTS)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    for start in range(60, len(content) - 200, 40):
        content[start : start + 4] = b"\xff" * 4
    (tmp_path / "a.npz").write_bytes(bytes(content))
    points = POINTS.copy()
    points[3] = np.nan
    write(tmp_path / "b.npy", points)
    for reader in (Reader(side=LEFT), PartReader(HAND, side=LEFT, unit="mm")):
        assert [one.name for one in reader.read(tmp_path)] == ["a.npz", "b"]


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".txt", ".csv"])
def test_truncated_and_binary_files_are_refused_in_a_sentence(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"\x93NUMPY\x01\x00v\x00{'desc\xff\xfe")
    with pytest.raises(ValueError, match=r"cannot be read|is not"):
        list(Reader(side=RIGHT).read(path))


def test_the_mark_that_spreadsheets_write_first_is_no_header(tmp_path):
    for name in ("a.csv", "a.json"):
        path = write(tmp_path / name, POINTS)
        text = path.read_text().removeprefix("x,y,confidence\n")
        path.write_text(text, "utf-8-sig")
        (case,) = Reader(side=RIGHT).read(path)
        np.testing.assert_allclose(case.pixels[case.seen], POINTS[case.seen][:, :2], rtol=1e-5)
    (tmp_path / "two.csv").write_text(
        "\n".join(",".join(map(str, row)) for row in POINTS.reshape(1, 63).repeat(2, 0)), "utf-8-sig"
    )
    assert len(list(Reader(side=RIGHT).read(tmp_path / "two.csv"))) == 2
    (tmp_path / "two.csv").write_text("1,2,x\n" + "1,2,3\n" * 21)
    with pytest.raises(ValueError, match="could not convert"):
        list(Reader(side=RIGHT).read(tmp_path / "two.csv"))
    (tmp_path / "list.csv").write_text("file,x,y,w,h,side\nimage,1,2,30,40,left\n", "utf-8-sig")
    assert [case.box for case in BoxReader().read(tmp_path / "list.csv")] == [(1, 2, 30, 40)]


def test_nothing_but_nan_is_no_hand(tmp_path):
    (found,) = Reader(side=RIGHT).read(write(tmp_path / "a.npy", np.full((21, 3), np.nan)))
    assert "no joint is known" in found.reason


def test_coco_annotations_of_the_wrong_kind_are_left_out(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"images": [{}, 3], "annotations": [None, {"lefthand_valid": True}, "x"]}))
    assert [type(one) for one in Reader().read(path)] == [Unreadable] * 3
