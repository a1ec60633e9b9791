import shutil

import numpy as np
import pytest
from tiny_coco import fit, only, openhand, person, points, scenes, write_coco

from datamodules.coco.camera import keep_pixels, made_up_camera
from datamodules.coco.data import COCO, keep_in_picture
from datamodules.hand_models import absolute, pose_hands
from datamodules.twins import TWIN
from zoo.hands.skeleton import LEFT, RIGHT


def test_people_are_chosen_by_the_rules_of_interwild(tmp_path):
    people = [
        person(1, left=points()),
        person(2, left=points(), iscrowd=1, segmentation={"counts": [1, 2], "size": [480, 640]}),
        person(3, left=points(), num_keypoints=0),
        person(4),  # no hand is valid
        person(5, right=points(), bbox=[700.0, 100.0, 50.0, 50.0]),  # beyond the picture
        person(6, right=points(), bbox=[10.0, 10.0, 0.0, 50.0]),
        person(7, right=points(), bbox=[-20.0, 10.0, 100.0, 50.0]),
    ]
    found = scenes(write_coco(tmp_path, people))
    assert found.index.arrays["annotation"].tolist() == [1, 7]
    assert found.sides().tolist() == [[True, False], [False, True]]
    assert found.index.arrays["counts"].tolist() == [7, 2, 1, 2, 0, 0]


def test_left_is_the_person_s_left_hand(tmp_path):
    scene = only(write_coco(tmp_path, [person(left=points(150), right=points(250))]))
    assert scene.hands[LEFT].joints2d[0].tolist() == [150, 200]
    assert scene.hands[RIGHT].joints2d[0].tolist() == [250, 200]


def test_a_hand_that_is_not_valid_is_not_there_and_its_zeros_are_no_labels(tmp_path):
    scene = only(write_coco(tmp_path, [person(right=points())]))
    assert list(scene.hands) == [RIGHT]
    marked = write_coco(tmp_path / "a", [person(left=points(), right=points(), lefthand_valid=False)])
    assert list(only(marked).hands) == [RIGHT]
    blank = write_coco(tmp_path / "b", [person(right=points(), lefthand_valid=True)])  # valid, but nothing is labelled
    assert list(only(blank).hands) == [RIGHT]


def test_any_positive_visibility_is_a_label(tmp_path):
    numbers = np.reshape(points(), (21, 3))
    numbers[:4, 2] = 0.02, 2, 0.97, 0
    numbers[3] = 0
    hand = only(write_coco(tmp_path, [person(left=numbers.ravel().tolist())])).hands[LEFT]
    assert hand.joints2d_valid.tolist() == [True, True, True, False] + [True] * 17
    np.testing.assert_allclose(hand.joints2d[:3], numbers[:3, :2])


def test_poses_alone_need_no_photographs(tmp_path):
    root = write_coco(tmp_path, [person(1, left=points())])
    for folder in ("train2017", "val2017"):
        shutil.rmtree(root / folder, ignore_errors=True)
        shutil.rmtree(root / "images" / folder, ignore_errors=True)
    assert len(COCO(root, size=32, images=False).view("train")) == 1
    with pytest.raises(FileNotFoundError):
        COCO(root, size=32).view("train")


def test_a_crop_is_never_smaller_than_a_hand_can_be(tmp_path):
    one = np.zeros((21, 3))
    one[8] = 300, 250, 2
    root = write_coco(tmp_path, [person(1, left=one.ravel().tolist()), person(2, left=points())])
    alone, usual = (scenes(root).read(i).hands[LEFT].box for i in range(2))
    assert usual is None
    np.testing.assert_allclose(alone, [300 - 18, 250 - 18, 300 + 18, 250 + 18])  # 0.12 of 300 pixels
    batch = COCO(root, size=32).view("train").batch([0])
    assert batch["joints2d"][0, 8].abs().max() < 1  # somewhere in the crop, training moves it
    assert batch["joints2d_valid"].sum() == 1


def test_pictures_of_both_shapes_come_as_they_are(tmp_path):
    write_coco(tmp_path / "a b ü", [person(1, left=points())], size=(640, 480))
    scene = only(tmp_path / "a b ü")
    assert scene.size == scene.image.shape[:2] == (640, 480)
    assert scene.name == "train2017/000000000005/1"
    assert scenes(tmp_path / "a b ü").read(0, image=False).image is None


def test_captions_lose_their_line_breaks(tmp_path):
    root = write_coco(tmp_path, [person(left=points())], captions=[(5, "A dog\nand a  man. \n"), (6, "Of nothing.")])
    assert only(root).caption == "A dog and a man."


def test_one_of_the_captions_is_chosen_by_seed_and_scene(tmp_path):
    people = [person(i, image=i, left=points()) for i in range(1, 30)]
    captions = [(i, f"{i} {k} ä") for i in range(29, 0, -1) for k in range(5)]
    root = write_coco(tmp_path, people, captions=captions)
    found = scenes(root)
    assert found.captions(3) == [f"4 {k} ä" for k in range(5)]
    first = [found.read(i, image=False).caption for i in range(29)]
    assert [text.split()[0] for text in first] == [str(i) for i in range(1, 30)]
    assert {text.split()[1] for text in first} == set("01234")
    assert first == [scenes(root).read(i, image=False).caption for i in range(29)]
    assert first != [scenes(root, seed=1).read(i, image=False).caption for i in range(29)]


def test_without_captions_there_is_none(tmp_path):
    assert only(write_coco(tmp_path, [person(left=points())])).caption is None
    root = write_coco(tmp_path / "b", [person(left=points())], captions=[(7, "Another image.")])
    assert only(root).caption is None


def test_pictures_without_parameters_get_a_camera_that_looks_at_their_middle(tmp_path):
    root = write_coco(tmp_path, [person(left=points())])
    np.testing.assert_allclose(only(root).intrinsics, [[768, 0, 319.5], [0, 768, 239.5], [0, 0, 1]])
    assert only(root, focal=2.0).intrinsics[0, 0] == 1280
    with pytest.raises(ValueError, match=r"focal=0\.0.*--data\.focal"):
        COCO(root, focal=0.0)


def test_poses_become_absolute_and_cameras_are_the_hand_s_own(tmp_path):
    root = openhand(write_coco(tmp_path, [person(3, right=points())], mano={"3": {"right": fit(), "left": None}}))
    found = scenes(root)
    pose = found.read(0).hands[RIGHT].pose
    stored = np.array([0.01 * i for i in range(48)]).reshape(16, 3)
    mean = found.models[RIGHT].hands_mean.numpy().reshape(15, 3)
    np.testing.assert_allclose(pose.rotations[0], stored[0], atol=1e-6)
    np.testing.assert_allclose(pose.rotations[1:], stored[1:] + mean, atol=1e-6)
    assert np.abs(mean).max() > 0.05  # so that it matters
    np.testing.assert_allclose(found.read(0).intrinsics, [[500, 0, 160], [0, 500, 210], [0, 0, 1]])


def test_parameters_may_be_null_absent_of_nobody_or_of_no_labelled_hand(tmp_path):
    people = [person(i, right=points(), left=points() if i == 1 else None) for i in (1, 2, 3)]
    mano = {"1": {"right": None, "left": fit()}, "3": {"right": fit(), "left": fit()}, "99": {"right": fit()}}
    found = scenes(openhand(write_coco(tmp_path, people, mano=mano)))
    posed = [{side for side, hand in found.read(i).hands.items() if hand.pose} for i in range(3)]
    assert posed == [{LEFT}, set(), {RIGHT}]
    assert found.index.arrays["counts"][4:].tolist() == [4, 2]


def test_hands_behind_their_camera_keep_their_keypoints_only(tmp_path):
    root = openhand(write_coco(tmp_path, [person(3, right=points())], mano={"3": {"right": fit(z=-1.0)}}))
    hand = only(root).hands[RIGHT]
    assert hand.pose is None
    assert hand.joints2d_valid.all()


@pytest.mark.parametrize("change", [{"pose": [0.0] * 45}, {"shape": [float("nan")] * 10}, {"trans": None}])
def test_parameters_of_another_shape_are_refused(tmp_path, change):
    mano = {"3": {"right": fit(**change), "left": None}}
    root = write_coco(tmp_path, [person(3, right=points())], mano=mano)
    text = root / "annotations/MSCOCO_train_MANO_NeuralAnnot.json"
    text.write_text(text.read_text().replace("NaN", "null"))
    with pytest.raises(ValueError, match=r"right hand of annotation 3 is not as NeuralAnnot's are: 48 pose"):
        COCO(root).prepare_data()
    text.write_text("[1, 2]")
    with pytest.raises(ValueError, match="its entry 0 is no pair of hands"):
        COCO(root).prepare_data()


def test_without_mano_the_parameters_are_left_out_and_that_is_said(tmp_path, caplog):
    root = write_coco(tmp_path, [person(3, right=points())], mano={"3": {"right": fit(), "left": None}})
    scene = only(root)
    assert scene.hands[RIGHT].pose is None
    assert scene.intrinsics[0, 0] == 768
    assert "--data.mano" in caplog.text
    assert not COCO(root, size=32).view("train").batch([0])["has_mesh"].any()


def test_meshes_are_validated_on_training_images_that_are_held_out(tmp_path):
    people = [person(2 * image + k, image=image, right=points()) for image in range(1, 11) for k in range(2)]
    mano = {str(one["id"]): {"right": fit(), "left": None} for one in people}
    root = openhand(write_coco(tmp_path, people, mano=mano))
    write_coco(root, people[:3], "val")
    images = {}
    for split in ("train", "val", "test"):
        found = scenes(root, split, held_out=0.2)
        images[split] = [found.read(i, image=False).name.rsplit("/", 1)[0][-16:] for i in range(len(found))]
        assert found.sides().shape == (len(found), 2)
        assert all((found.read(i).hands[RIGHT].pose is not None) == (split != "test") for i in range(len(found)))
    assert len(images["val"]) == 4
    assert not set(images["train"]) & set(images["val"])
    assert len(images["train"] + images["val"]) == 20
    assert len(images["test"]) == len(scenes(root, "val")) == 3
    (root / TWIN).unlink()  # without a hand model nothing is held out
    assert [len(scenes(root, split, held_out=0.2)) for split in ("train", "val")] == [20, 3]
    with pytest.raises(ValueError, match=r"held_out=1\.0.*--data\.held_out"):
        COCO(root, held_out=1.0)


def test_validation_images_have_keypoints_only(tmp_path):
    mano = {"3": {"right": fit(), "left": None}}
    openhand(write_coco(tmp_path, [person(3, right=points())], "val", mano=mano))
    assert scenes(tmp_path, "val").read(0).hands[RIGHT].pose is None


def test_a_flat_thing_before_a_longer_lens_is_moved_away():
    flat = np.concatenate((np.random.default_rng(0).uniform(-0.1, 0.1, (30, 2)), np.ones((30, 1))), 1)
    own, other = (np.diag([focal, focal, 1]).astype(np.float32) for focal in (500, 1500))
    rotation, translation, worst = keep_pixels(flat.astype(np.float32), own, other)
    np.testing.assert_allclose(rotation, np.eye(3), atol=1e-8)
    np.testing.assert_allclose(translation, [0, 0, 2], atol=1e-6)
    assert worst < 1e-6


def test_the_same_camera_moves_nothing():
    points3d = np.random.default_rng(0).uniform(-0.1, 0.1, (30, 3)) + np.array([0.1, 0.2, 1])
    points3d = points3d.astype(np.float32)
    camera = made_up_camera((480, 640), 1.2)
    rotation, translation, worst = keep_pixels(points3d, camera, camera)
    np.testing.assert_allclose(rotation, np.eye(3), atol=1e-8)
    np.testing.assert_allclose(translation, 0, atol=1e-8)
    assert worst < 1e-6


def test_the_second_hand_keeps_its_pixels_before_the_camera_of_the_first(tmp_path):
    """Its own camera has another focal length and another principal point, as NeuralAnnot's have."""
    left, right = fit(z=4.0, focal=1500.0, centre=(420.0, 130.0)), fit(z=4.2, focal=1100.0, centre=(160.0, 300.0))
    people = [person(3, left=points(), right=points())]
    found = scenes(openhand(write_coco(tmp_path, people, mano={"3": {"right": right, "left": left}})))
    scene = found.read(0)
    assert scene.intrinsics[0, 0] == 1500
    for side, entry in ((LEFT, left), (RIGHT, right)):
        stored, hand = entry["mano_param"], scene.hands[side].pose
        own = type(hand)(
            absolute(found.models[side], np.array(stored["pose"], np.float32)),
            *(np.array(stored[name], np.float32) for name in ("shape", "trans")),
        )
        focal, centre = entry["cam_param"]["focal"][0], np.array(entry["cam_param"]["princpt"])
        before = pose_hands(found.models, [side], [own])[0][0].numpy()
        after = pose_hands(found.models, [side], [hand])[0][0].numpy() @ scene.intrinsics.T
        wanted = before[:, :2] / before[:, 2:] * focal + centre
        assert np.abs(after[:, :2] / after[:, 2:] - wanted).max() < 0.5
        if side == RIGHT:  # the naive way is far off
            naive = before @ scene.intrinsics.T
            assert np.abs(naive[:, :2] / naive[:, 2:] - wanted).max() > 100
    assert len(found.read(0, image=False).hands) == 2


def test_a_hand_that_cannot_keep_its_pixels_keeps_its_keypoints_only(tmp_path):
    """So near that another camera would see another side of it."""
    mano = {"3": {"right": fit(z=5.0, focal=5000.0), "left": fit(z=0.25, focal=200.0)}}
    root = openhand(write_coco(tmp_path, [person(3, left=points(), right=points())], mano=mano))
    scene = only(root)
    assert scene.hands[RIGHT].pose is not None
    assert scene.hands[LEFT].pose is None
    assert scene.hands[LEFT].joints2d_valid.all()


def test_a_hand_moved_there_and_back_is_where_it_was(coco_twin):
    found = scenes(coco_twin)
    pose = found.read(0).hands[RIGHT].pose
    here, there = found.read(0).intrinsics, made_up_camera((480, 640), 3.0)
    back = keep_in_picture(found.models, RIGHT, keep_in_picture(found.models, RIGHT, pose, here, there), there, here)
    np.testing.assert_allclose(back.rotations, pose.rotations, atol=0.02)
    np.testing.assert_allclose(back.transl, pose.transl, atol=0.05)


def test_the_left_hand_s_shape_is_mended_unless_you_say_no(tmp_path, monkeypatch):
    from hands.legacy_mano import openhand_arrays, write_legacy

    arrays = {side: openhand_arrays(side) for side in ("left", "right")}
    arrays["left"]["shapedirs"] = arrays["right"]["shapedirs"]  # with the right hand's sign, as published
    for side, values in arrays.items():
        write_legacy(monkeypatch, tmp_path / f"MANO_{side.upper()}.pkl", values)
    with pytest.warns(UserWarning, match="mirrored the x"):
        mended = COCO(tmp_path, mano=tmp_path).models
    plain = COCO(tmp_path, mano=tmp_path, fix_left=False).models
    x = plain[LEFT].rest_basis.view(16, 3, 10)[:, 0]
    np.testing.assert_allclose(mended[LEFT].rest_basis.view(16, 3, 10)[:, 0], -x, atol=1e-7)
    assert x.abs().max() > 1e-4
    assert mended[RIGHT]._tips.tolist() == [745, 317, 445, 556, 673]
