import copy
import pickle

import numpy as np
import pytest
import tiny_interhand as tiny
import torch
from hands.legacy_mano import openhand_arrays
from jsonargparse import ArgumentParser

from datamodules import HandData, InterHand
from datamodules.hand_models import pose_hands
from datamodules.interhand.data import TIPS, InterHandScenes
from datamodules.interhand.truth import truth
from datamodules.photos import UnreadableFileError
from datamodules.scene import ManoPose
from zoo.hands.skeleton import INTERHAND_TO_SNAP, LEFT, RIGHT

INTERACTING, ONE_RIGHT, ONE_LEFT, LACKING, CURLED, LABELLED_ONE, NO_WRIST, NO_FIT = range(0, 3 * tiny.KINDS, 3)


@pytest.fixture(scope="session")
def train(interhand):
    return InterHand(interhand).scenes("train")


def test_world_millimetres_become_metres_before_the_camera(tmp_path):
    root = tiny.write(tmp_path)
    scene = InterHand(root).scenes("train").read(0, image=False)
    seen = (tiny.TURN @ (tiny.world()[:21] - (100, 200, -300)).T).T / 1000
    joints = scene.hands[RIGHT].joints
    np.testing.assert_allclose(joints, seen[list(INTERHAND_TO_SNAP)], atol=1e-6)
    assert (joints[:, 2] > 0.9).all()
    np.testing.assert_allclose(scene.intrinsics, [[1200, 0, 167], [0, 1210, 256], [0, 0, 1]])
    pixels = seen[20, :2] / seen[20, 2] * (1200, 1210) + (167, 256)
    np.testing.assert_allclose(scene.hands[RIGHT].joints2d[0], pixels, atol=1e-3)
    assert scene.size == (512, 334)
    assert scene.name == "train/Capture3/0007_wave/cam400012/image5.jpg"


def test_joints_are_found_by_their_names(interhand, train):
    names = [line.split()[0] for line in (interhand / "annotations/skeleton.txt").read_text().splitlines()[1:]]
    given = np.array(tiny.load(interhand, "train", "joint_3d")["0"]["7"]["world_coord"])
    camera = tiny.load(interhand, "train", "camera")["0"]
    turn, place = (np.array(camera[key]["400262"]) for key in ("camrot", "campos"))
    hands = train.read(INTERACTING, image=False).hands
    for side, letter in ((RIGHT, "r"), (LEFT, "l")):
        wanted = [f"{letter}_wrist"]
        wanted += [
            f"{letter}_{finger}{i}" for finger in ("thumb", "index", "middle", "ring", "pinky") for i in range(1, 5)
        ]
        rows = [names.index(name) for name in wanted]
        np.testing.assert_allclose(hands[side].joints, (given[rows] - place) @ turn.T / 1000, atol=1e-6)


def test_parameters_posed_by_the_hand_model_land_on_the_joints_in_every_camera(train):
    seen = 0
    for index in range(len(train)):
        scene = train.read(index, image=False)
        for side, hand in scene.hands.items():
            if hand.pose is None or hand.joints is None:
                continue
            joints = pose_hands(train.models, [side], [hand.pose])[1][0].numpy()
            valid = hand.joints_valid
            np.testing.assert_allclose(joints[valid], hand.joints[valid], atol=1e-4)
            rays = joints @ scene.intrinsics.T
            np.testing.assert_allclose((rays[:, :2] / rays[:, 2:])[valid], hand.joints2d[valid], atol=0.01)
            seen += 1
    assert seen > 3 * 6


def test_stored_boxes_are_a_fifth_larger_than_the_seen_joints(interhand, train):
    boxes = {entry["id"]: entry["bbox"] for entry in tiny.load(interhand, "train", "data")["annotations"]}
    for index in range(len(train)):
        if index // 3 * 3 == NO_WRIST:
            continue  # joints of a hand without its wrist are in the box, but are not read
        hands = train.read(index, image=False).hands.values()
        pixels = np.concatenate([hand.joints2d[hand.joints2d_valid] for hand in hands])
        left, top, width, height = boxes[index]
        np.testing.assert_allclose((width, height), 1.2 * np.ptp(pixels, 0), atol=0.02)
        np.testing.assert_allclose((left + width / 2, top + height / 2), (pixels.min(0) + pixels.max(0)) / 2, atol=0.02)


def test_hands_are_where_their_joints_are_whatever_the_label(train):
    sides = train.sides()
    assert sides[INTERACTING].tolist() == [True, True]
    assert sides[ONE_RIGHT].tolist() == [False, True]
    assert sides[ONE_LEFT].tolist() == [True, False]
    assert sides[LACKING].tolist() == [False, True]
    assert sides[LABELLED_ONE].tolist() == [True, True]
    for index in range(len(train)):
        there = train.read(index, image=False).hands
        assert [side in there for side in (LEFT, RIGHT)] == sides[index].tolist()


def test_unlabelled_joints_are_masked_and_not_a_millimetre_from_the_origin(train):
    hand = train.read(CURLED, image=False).hands[RIGHT]
    unlabelled = [INTERHAND_TO_SNAP.index(joint) for joint in (16, 17, 3)]
    assert np.flatnonzero(~hand.joints_valid).tolist() == sorted(unlabelled)
    assert not hand.joints2d_valid[unlabelled].any()
    assert (hand.joints[hand.joints_valid][:, 2] > 0.8).all()
    assert (hand.joints[unlabelled] == 0).all()


def test_a_hand_without_its_wrist_has_no_joints_but_its_fit(train):
    hand = train.read(NO_WRIST, image=False).hands[LEFT]
    assert hand.joints is None
    assert hand.joints2d is None
    assert hand.pose is not None


def test_the_crop_of_a_hand_without_joints_goes_around_its_fit_and_not_around_the_other_hand(interhand, tmp_path):
    root = tiny.copy(interhand, tmp_path)
    data, joints = tiny.load(root, "train", "data"), tiny.load(root, "train", "joint_3d")
    for flags in [*data["annotations"], *(frame for frames in joints.values() for frame in frames.values())]:
        flags["joint_valid"][21:] = [[0]] * 21  # so that stored boxes would be those of right hands
    for kind, content in (("data", data), ("joint_3d", joints)):
        tiny.save(root, "train", kind, content)
    view = InterHand(root, augment=None, size=64).hand_view("train")
    row = next(i for i, where in enumerate(view.rows.tolist()) if where == [INTERACTING, LEFT])
    box = view.batch([row])["joints2d"][0]
    torch.testing.assert_close(box.amax(0) + box.amin(0), torch.zeros(2), rtol=0, atol=1e-4)
    assert float((box.amax(0) - box.amin(0)).max()) == pytest.approx(2 / view.margin, abs=1e-3)


def test_hands_without_a_fit_keep_their_joints(train):
    assert train.read(NO_FIT, image=False).hands[LEFT].pose is None
    assert train.read(NO_FIT, image=False).hands[LEFT].joints is not None
    assert train.read(ONE_LEFT, image=False).hands[LEFT].pose is not None


def test_joints_outside_of_the_picture_are_valid_in_space_only(train):
    outside = 0
    for index in range(len(train)):
        scene = train.read(index, image=False)
        for hand in scene.hands.values():
            if hand.joints is not None:
                inside = ((hand.joints2d >= 0) & (hand.joints2d < scene.size[::-1])).all(1)
                assert (hand.joints2d_valid == (inside & hand.joints_valid)).all()
                outside += int((hand.joints_valid & ~hand.joints2d_valid).sum())
    assert outside


@pytest.mark.parametrize(("hands", "count"), [("all", 24), ("single", 12), ("interacting", 12)])
def test_pictures_are_chosen_by_their_label(interhand, hands, count):
    assert len(InterHand(interhand, hands=hands).scenes("train")) == count


def test_a_list_of_annotation_ids_limits_a_split(interhand, tmp_path):
    ids = tmp_path / "aid human annot.txt"
    ids.write_text("7\n3\n")
    data = InterHand(interhand, subsets={"train": str(ids)})
    names = [data.scenes("train").read(i).name for i in (0, 1)]
    assert [name.split("/")[-1] for name in names] == ["image173.jpg", "image90.jpg"]
    assert len(data.scenes("test")) == 3
    ids.write_text("99\n")
    with pytest.raises(ValueError, match=r"Annotation 99 .* is not in"):
        len(data.scenes("train"))
    ids.write_text("one\n")
    with pytest.raises(ValueError, match="one annotation id a line"):
        len(data.scenes("train"))


def test_more_joints_can_be_asked_of_a_hand(interhand, train):
    strict = InterHand(interhand, min_joints=21).scenes("train")
    assert not strict.sides()[CURLED].any()
    assert strict.sides().sum() < train.sides().sum()


def test_splits_are_the_published_parts(interhand):
    data = InterHand(interhand)
    names = {split: data.scenes(split).read(0).name for split in ("train", "val", "test", "predict")}
    assert [name.split("/")[0] for name in names.values()] == ["train", "val", "test", "test"]


def test_training_batches_have_meshes_joints_and_pictures(interhand):
    batch = InterHand(interhand, batch_size=8, size=64).train_batches()[0]
    assert batch["image"].shape == (8, 3, 64, 64)
    assert batch["has_image"].all()
    assert batch["joints_valid"].any(1).all()
    assert batch["has_mesh"].float().mean() > 0.5
    assert batch["joints"][batch["joints_valid"]][:, 2].min() > 0.5


def test_without_hand_models_there_are_joints_and_one_word_about_it(tmp_path, caplog):
    fits = {"5": {"right": {"pose": [0.0] * 48, "shape": [0.0] * 10, "trans": [0.0] * 3}, "left": None}}
    data = InterHand(tiny.write(tmp_path, fits=fits))
    for _ in range(2):
        hand = data.scenes("train").read(0, image=False).hands[RIGHT]
    assert hand.pose is None
    assert hand.joints is not None
    assert sum("--data.mano" in record.message for record in caplog.records) == 1


def test_fits_are_made_by_a_left_hand_whose_shape_is_mirrored(interhand, tmp_path):
    root, mano = tiny.copy(interhand, tmp_path), tmp_path / "mano"
    (root / "openhand.json").unlink()
    mano.mkdir()
    for side in ("right", "left"):
        arrays = openhand_arrays(side)
        if side == "left":
            arrays["shapedirs"][:, 0] *= -1  # as published
        np.savez(mano / f"MANO_{side.upper()}.npz", **arrays)
    data = InterHand(root, mano=mano)
    with pytest.warns(UserWarning, match="mirrored the x"):
        scenes = data.scenes("train")
    hand = scenes.read(ONE_LEFT, image=False).hands[LEFT]
    joints = pose_hands(scenes.models, [LEFT], [hand.pose])[1][0].numpy()
    inner = [joint for joint in range(21) if joint % 4 or not joint]  # the tips are other vertices
    np.testing.assert_allclose(joints[inner], hand.joints[inner], atol=1e-4)
    assert data.tips == TIPS == scenes.models[RIGHT].tips
    with pytest.warns(UserWarning, match="mirrored the x"):
        compared = truth(root, "train", mano=mano)
    vertices = compared.vertices(np.array([ONE_LEFT]))[0, LEFT] / 1000
    np.testing.assert_allclose(vertices, pose_hands(scenes.models, [LEFT], [hand.pose])[0][0], atol=1e-6)
    assert compared.models[LEFT].tips == TIPS
    assert InterHand(interhand).tips is None


def test_workers_get_little_and_read_the_same(interhand, train):
    copied = copy.deepcopy(InterHandScenes(train.index))
    assert len(pickle.dumps(InterHandScenes(train.index))) < 2000
    assert len(copied) == 24
    data = {workers: InterHand(interhand, batch_size=8, size=32, workers=workers) for workers in (0, 2)}
    first = {workers: next(iter(data[workers].val_dataloader())) for workers in data}
    torch.testing.assert_close(dict(first[0]), dict(first[2]))


def test_options_that_make_no_sense_name_the_flag(interhand):
    with pytest.raises(ValueError, match=r"--data\.min_joints"):
        InterHand(interhand, min_joints=0)
    with pytest.raises(ValueError, match="testing, which is no split"):
        InterHand(interhand, subsets={"testing": "a.txt"})
    with pytest.raises(FileNotFoundError, match=r"--data\.root"):
        InterHand().scenes("train")


def test_a_picture_of_another_size_than_its_labels_is_refused(interhand, tmp_path):
    root = tiny.copy(interhand, tmp_path)
    data = tiny.load(root, "val", "data")
    data["images"][0]["width"] = 300
    tiny.save(root, "val", "data", data)
    with pytest.raises(UnreadableFileError, match="334 x 512 pixels, but 300 x 512"):
        InterHand(root).scenes("val").read(0)
    assert InterHand(root).scenes("val").read(0, image=False).size == (512, 300)


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_a_fit_turns_about_its_wrist_wherever_the_hand_model_has_it(tmp_path, side):
    name, mean = {LEFT: "left", RIGHT: "right"}[side], np.linspace(-0.2, 0.3, 45)
    (tmp_path / "mano").mkdir()
    for other in ("left", "right"):
        arrays = openhand_arrays(other)
        arrays["v_template"] = arrays["v_template"] + (0.1, -0.05, 0.02)  # MANO's wrist is not at the origin
        np.savez(tmp_path / f"mano/MANO_{other.upper()}.npz", **arrays | {"hands_mean": mean})
    rng = np.random.default_rng(0)
    pose, shape, place = rng.normal(0, 0.4, 48), rng.normal(size=10), (0.2, 0.1, -0.3)
    fit = {"pose": pose.tolist(), "shape": shape.tolist(), "trans": place}
    joint_valid = [[True]] * 42
    frame = {"world_coord": tiny.world().tolist(), "joint_valid": joint_valid}
    seen = [tiny.annotation(0, 0, [[1]] * 42)]
    root = tiny.write(tmp_path / "data", annotations=seen, frames={"5": frame}, fits={"5": {name: fit}})
    scenes = InterHand(root, mano=tmp_path / "mano").scenes("train")
    hand = scenes.read(0, image=False).hands[side]
    world = ManoPose(
        np.float32(pose + np.append(np.zeros(3), mean)).reshape(16, 3), np.float32(shape), np.float32(place)
    )
    posed = [pose_hands(scenes.models, [side], [one])[0][0].double().numpy() for one in (world, hand.pose)]
    np.testing.assert_allclose(posed[1], (posed[0] - (0.1, 0.2, -0.3)) @ tiny.TURN.T, atol=2e-6)


def test_options_are_flags(interhand):
    parser = ArgumentParser()
    parser.add_subclass_arguments(HandData, "data")
    flags = ["--data=datamodules.InterHand", f"--data.root={interhand}", "--data.hands=single", "--data.fps=30"]
    flags += ["--data.subsets.train=a.txt", "--data.min_joints=7", "--data.batch_size=3"]
    data = parser.instantiate_classes(parser.parse_args(flags)).data
    assert (data.hands, data.fps, data.min_joints, data.batch_size) == ("single", 30, 7, 3)
    assert [(split, path.name) for split, path in data.subsets.items()] == [("train", "a.txt")]
