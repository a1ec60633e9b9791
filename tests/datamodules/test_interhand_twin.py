import json

import numpy as np
import pytest
import tiny_interhand as tiny
import yaml

from datamodules import InterHand, interhand
from datamodules.interhand.twin import place
from datamodules.photos import read_photo
from datamodules.synth import synth
from datamodules.twins import Stage
from zoo.hands.skeleton import LEFT, RIGHT


def kinds(value):
    """The shape of JSON: its types, in the order of its keys; of lists, that of their first entry and their length."""
    if isinstance(value, dict):
        return {key: kinds(inner) for key, inner in value.items()}
    return [kinds(value[0]), len(value)] if isinstance(value, list) else type(value)


def test_entries_have_the_published_keys_types_and_nesting(interhand):
    data = tiny.load(interhand, "train", "data")
    assert list(data) == ["images", "annotations"]
    numbers = dict.fromkeys(("width", "height", "capture", "subject"), int)
    assert kinds(data["images"][0]) == {"id": int, "file_name": str} | numbers | {
        "seq_name": str,
        "camera": str,
        "frame_idx": int,
    }
    assert kinds(data["annotations"][0]) == {
        "id": int,
        "image_id": int,
        "bbox": [float, 4],
        "joint_valid": [[int, 1], 42],
        "hand_type": str,
        "hand_type_valid": int,
    }
    cameras = tiny.load(interhand, "train", "camera")
    assert list(cameras) == ["0", "1"]
    assert {key: kinds(fields["410014"]) for key, fields in cameras["1"].items()} == {
        "campos": [float, 3],
        "camrot": [[float, 3], 3],
        "focal": [float, 2],
        "princpt": [float, 2],
    }
    assert kinds(tiny.load(interhand, "train", "joint_3d")["0"]["7"]) == {
        "world_coord": [[float, 3], 42],
        "joint_valid": [[bool, 1], 42],
        "hand_type": str,
        "hand_type_valid": bool,
    }
    fit = {"pose": [float, 48], "shape": [float, 10], "trans": [float, 3]}
    assert kinds(tiny.load(interhand, "train", "MANO_NeuralAnnot")["0"]["7"]) == {"right": fit, "left": fit}


def test_files_have_the_published_names(interhand):
    for part in ("train", "val", "test"):
        data = tiny.load(interhand, part, "data")
        for image in data["images"]:
            assert image["file_name"] == (
                f"Capture{image['capture']}/{image['seq_name']}/cam{image['camera']}/image{image['frame_idx']}.jpg"
            )
            assert (interhand / "images" / part / image["file_name"]).is_file()
            assert read_photo(interhand / "images" / part / image["file_name"]).shape[:2] == (
                image["height"],
                image["width"],
            )
    sizes = {(image["width"], image["height"]) for image in tiny.load(interhand, "train", "data")["images"]}
    assert sizes == {(512, 334), (334, 512)}
    lines = (interhand / "annotations/skeleton.txt").read_text().splitlines()
    names = [line.split() for line in lines if not line.startswith("#")]
    assert [int(number) for _, number, _ in names] == list(range(42))
    assert names[0] == ["r_thumb4", "0", "1"]
    assert names[3] == ["r_thumb1", "3", "20"]
    assert names[41] == ["l_wrist", "41", "-1"]
    assert (interhand / "annotations/subject.txt").is_file()


def test_all_that_has_tripped_readers_is_in_it(interhand):
    fits = tiny.load(interhand, "train", "MANO_NeuralAnnot")
    joints = tiny.load(interhand, "train", "joint_3d")
    hands = [hand for frames in fits.values() for hand in frames.values()]
    assert any(hand.get("left", 0) is None for hand in hands)
    assert any("right" not in hand for hand in hands)
    assert sum(map(len, fits.values())) == sum(map(len, joints.values())) - 1
    frames = [frame for capture in joints.values() for frame in capture.values()]
    for frame in frames:
        for joint, (valid,) in zip(frame["world_coord"], frame["joint_valid"], strict=True):
            assert (joint == [1.0, 1.0, 1.0]) == (not valid)
    valid = {frame["hand_type"]: [] for frame in frames}
    for frame in frames:
        valid[frame["hand_type"]].append(np.array(frame["joint_valid"])[:, 0])
    assert set(valid) == {"right", "left", "interacting"}
    assert any(flags[:21].all() and flags[21:].all() for flags in valid["right"])
    assert any(not flags[21:].any() for flags in valid["interacting"])
    assert any(not flags[41] and flags[21:41].all() for flags in valid["interacting"])
    numbers = [key for capture in joints.values() for key in capture]
    assert all(key == str(int(key)) for key in numbers)
    data = tiny.load(interhand, "train", "data")
    assert [image["id"] for image in data["images"]] != [entry["image_id"] for entry in data["annotations"]]


def test_cameras_of_one_capture_turn_and_do_not_mirror(interhand):
    seen = []
    for capture, fields in tiny.load(interhand, "train", "camera").items():
        for view, (name, turn) in enumerate(fields["camrot"].items()):
            np.testing.assert_allclose(np.linalg.det(turn), 1)
            np.testing.assert_allclose(np.array(turn) @ np.transpose(turn), np.eye(3), atol=1e-12)
            np.testing.assert_allclose(fields["campos"][name], 1000 * place(int(capture), view).position)
            seen.append(turn)
    assert np.abs(np.diff(seen, axis=0)).max((1, 2)).min() > 0.1


def test_three_cameras_see_one_world(interhand):
    scenes = InterHand(interhand).scenes("train")
    views = [scenes.read(index, image=False).hands for index in range(3)]
    lengths = [np.linalg.norm(hands[LEFT].joints - hands[RIGHT].joints, axis=1) for hands in views]
    np.testing.assert_allclose(lengths[1:], [lengths[0]] * 2, atol=1e-5)
    assert np.abs(views[0][LEFT].joints - views[1][LEFT].joints).max() > 0.02


def test_hands_are_drawn_where_their_labels_are(tmp_path, monkeypatch):
    masks, photograph = [], Stage.photograph

    def remembered(stage, number, hands):
        picture = photograph(stage, number, hands)
        masks.append(picture.masks)
        return picture

    monkeypatch.setattr(Stage, "photograph", remembered)
    root = synth("interhand", tmp_path / "twin", 2, seed=1)
    scenes = InterHand(root).scenes("train")
    for index in range(2):
        scene = scenes.read(index)
        assert scene.image.std() > 5
        seen = masks[index][LEFT] | masks[index][RIGHT]
        for hand in scene.hands.values():
            u, v = hand.joints2d[hand.joints2d_valid].round().astype(int).T
            inside = (u < scene.size[1]) & (v < scene.size[0])
            assert seen[v[inside], u[inside]].mean() > 0.7
    assert json.loads((root / "openhand.json").read_text())["twin_of"] == "interhand"


def test_a_twin_is_a_function_of_its_seed_whoever_draws_it(tmp_path, monkeypatch):
    monkeypatch.setattr(Stage, "photograph", tiny.grey)
    roots = [
        synth("interhand", tmp_path / f"{i}", 7, seed, workers=w)
        for i, (seed, w) in enumerate(((3, 0), (3, 2), (4, 0)))
    ]
    first, second, other = (tiny.file(root, "train", "joint_3d").read_bytes() for root in roots)
    assert first == second != other
    assert len(tiny.load(roots[0], "train", "data")["images"]) == 7
    assert len(tiny.load(roots[0], "test", "data")["images"]) == 1


def test_a_twin_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="-n 1"):
        synth("interhand", tmp_path / "twin", 0)
    assert not list(tmp_path.iterdir())


def test_the_config_builds_the_dataset():
    config = yaml.safe_load((tiny.Path(interhand.__file__).parents[1] / "configs/interhand.yaml").read_text())
    assert config["class_path"] == "datamodules.InterHand"
    assert InterHand(**config["init_args"]).fps == 5
