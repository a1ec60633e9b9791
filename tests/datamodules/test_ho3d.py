"""Each trap of HO-3D: what its files say against what a scene says."""

import copy
import pickle
import pickletools
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_ho3d import FLIP, frames, path_of, stored

from datamodules.hand_models import pose_hands
from datamodules.ho3d.data import HO3D, HO3DScenes
from datamodules.ho3d.files import TIPS, HO3DPart
from datamodules.ho3d.metas import KEYS, read_meta
from datamodules.ho3d.python2 import write_pickle
from datamodules.ho3d.twin import synth
from datamodules.photos import UnreadableFileError
from zoo.hands import openhand
from zoo.hands.openhand import OpenHand
from zoo.hands.rotations import axis_angle_to_matrix
from zoo.hands.skeleton import MANO_TIPS_TO_SNAP, RIGHT, SNAP_TO_MANO_TIPS
from zoo.hands.unpickle import read_tree

ASSETS = Path(openhand.__file__).with_name("assets") / "openhand"


@pytest.fixture
def broken(ho3d, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(ho3d, tmp_path / "HO3D_v3")


def test_an_image_of_another_size_than_its_labels_is_named(broken):
    scenes = HO3D(broken).scenes("train")
    path = scenes.part.image(scenes.part.name(int(scenes.rows[1])))
    cv2.imwrite(str(path), np.zeros((240, 320, 3), np.uint8))
    with pytest.raises(UnreadableFileError, match="is 320 x 240 pixels, but 640 x 480 by its annotation"):
        scenes.picture(1)
    with pytest.raises(UnreadableFileError, match="320 x 240"):
        scenes.read(1)


def joints_of(pose, model=None):
    """Of the kinematic tree, SNAP-21, as the dataset defines joints."""
    rotations = axis_angle_to_matrix(torch.from_numpy(pose.rotations.astype(np.float32)))
    return (model or OpenHand())(
        rotations[None], torch.from_numpy(pose.betas)[None], torch.from_numpy(pose.transl)[None]
    )


def test_stored_parameters_pose_the_stored_joints(ho3d):
    hand = OpenHand()
    for name in frames(ho3d):
        pose, betas, transl, joints = (
            stored(ho3d, name, key).astype(np.float32) for key in ("handPose", "handBeta", "handTrans", "handJoints3D")
        )
        rotations = axis_angle_to_matrix(torch.from_numpy(pose.reshape(1, 16, 3)))
        made = hand(rotations, torch.from_numpy(betas)[None], torch.from_numpy(transl)[None]).joints[0]
        np.testing.assert_allclose(made[list(SNAP_TO_MANO_TIPS)], joints, atol=1e-4)
        assert (joints[:, 2] < 0).all()  # OpenGL


def test_a_scenes_parameters_pose_its_joints_and_project_onto_the_stored_ones(ho3d):
    scenes = HO3D(ho3d).scenes("train")
    for index, name in enumerate(frames(ho3d)):
        scene = scenes.read(index, image=False)
        hand = scene.hands[RIGHT]
        made = joints_of(hand.pose).joints[0].numpy()
        np.testing.assert_allclose(made, hand.joints, atol=1e-4)  # the root's pivot
        rays = (stored(ho3d, name, "handJoints3D") * FLIP) @ stored(ho3d, name, "camMat").T
        pixels = (rays[:, :2] / rays[:, 2:])[list(MANO_TIPS_TO_SNAP)]
        rays = made @ scene.intrinsics.T
        np.testing.assert_allclose(rays[:, :2] / rays[:, 2:], pixels, atol=0.01)


def test_the_root_turns_about_its_own_joint_and_not_about_the_origin(broken, tmp_path):
    """MANO's root joint lies some 10 cm from the origin, OpenHand's on it: a moved OpenHand shows the difference."""
    (broken / "openhand.json").unlink()
    moved_by = np.array((0.095, 0.006, -0.02))
    for side in ("right", "left"):
        with np.load(ASSETS / f"openhand_{side}.npz") as file:
            arrays = {key: file[key] for key in file.files}
        arrays["v_template"] = arrays["v_template"] + moved_by
        np.savez(tmp_path / f"MANO_{side.upper()}.npz", **arrays)
    name = frames(broken)[0]
    labels = {key: stored(broken, name, key) for key in KEYS["train"]}
    write_pickle(path_of(broken, name), {**labels, "handTrans": labels["handTrans"] - moved_by})
    data = HO3D(broken, mano=tmp_path)
    hand = data.scenes("train").read(0, image=False).hands[RIGHT]
    made = joints_of(hand.pose, data.models[RIGHT]).joints[0].numpy()
    tree = [i for i in range(21) if i not in (4, 8, 12, 16, 20)]  # tips are other vertices
    np.testing.assert_allclose(made[tree], hand.joints[tree], atol=1e-4)


def test_poses_are_absolute_and_get_no_mean_pose(ho3d):
    scene = HO3D(ho3d).scenes("train").read(0, image=False)
    pose = stored(ho3d, frames(ho3d)[0], "handPose").reshape(16, 3)
    np.testing.assert_allclose(scene.hands[RIGHT].pose.rotations[1:], pose[1:], atol=1e-6)


def test_joints_come_to_opencv_and_to_snap_order(ho3d):
    hand = HO3D(ho3d).scenes("train").read(0, image=False).hands[RIGHT]
    joints = stored(ho3d, frames(ho3d)[0], "handJoints3D")
    for place, stored_place in ((0, 0), (1, 13), (4, 16), (5, 1), (8, 17), (13, 10), (17, 7), (20, 20)):
        np.testing.assert_allclose(hand.joints[place], joints[stored_place] * FLIP, atol=1e-6)
    assert (hand.joints[:, 2] > 0).all()


@pytest.mark.parametrize("version", ["v3", "v2"])
def test_joints_lie_on_the_hand_of_the_image(ho3d, ho3d_v2, version):
    """Upside down or behind the camera they would not: the masks were drawn, not projected."""
    scenes = HO3D({"v3": ho3d, "v2": ho3d_v2}[version]).scenes("train")
    for index in range(len(scenes)):
        scene = scenes.read(index, mask=True)
        rays = scene.hands[RIGHT].joints @ scene.intrinsics.T
        x, y = np.rint(rays[:, :2] / rays[:, 2:]).astype(int).T
        inside = (x >= 0) & (x < 640) & (y >= 0) & (y < 480)
        assert scene.mask.shape == (480, 640)
        assert scene.mask[y[inside], x[inside]].mean() > 0.6


def test_the_colour_of_the_hand_is_found_in_both_versions(ho3d, ho3d_v2):
    assert [HO3D(root).scenes("train").masks.colour for root in (ho3d, ho3d_v2)] == [2, 0]


def test_masks_that_are_not_there_are_named(broken):
    shutil.rmtree(broken / "train/ABF10/seg")
    scenes = HO3D(broken).scenes("train")
    index = next(i for i, name in enumerate(frames(broken)) if name.startswith("ABF10"))
    with pytest.raises(OSError, match=r"ABF10.*HO3D_v3_segmentations_rendered"):
        scenes.read(index, mask=True)


def test_a_batch_has_the_joints_that_its_mesh_implies_and_a_scene_those_of_the_tree(ho3d):
    """HO-3D's joints are the tree's; training compares regressed ones with regressed ones."""
    data = HO3D(ho3d, size=32, images=False, augment=None)
    hand = data.scenes("train").read(0, image=False).hands[RIGHT]
    _, regressed = pose_hands(data.models, [RIGHT], [hand.pose])
    assert 0.0002 < np.abs(regressed[0].numpy() - hand.joints).max() < 0.02
    batch = data.view("train").batch([0])
    torch.testing.assert_close(batch["joints"], regressed)


def test_tips_are_ho3ds_own_with_mano(broken, tmp_path):
    (broken / "openhand.json").unlink()
    for side in ("right", "left"):
        shutil.copy(ASSETS / f"openhand_{side}.npz", tmp_path / f"MANO_{side.upper()}.npz")
    data = HO3D(broken, mano=tmp_path)
    assert data.tips == data.models[RIGHT].tips == TIPS == (744, 333, 444, 555, 672)


def test_without_mano_there_are_joints_and_no_meshes(broken, caplog):
    (broken / "openhand.json").unlink()
    data = HO3D(broken, size=32, batch_size=4)
    batch = next(iter(data.train_dataloader()))
    assert "--data.mano" in caplog.text
    assert batch["joints_valid"].all()
    assert not batch["has_mesh"].any()
    assert data.tips == TIPS


def test_the_list_and_not_the_folder_says_which_frames_there_are(ho3d):
    scenes = HO3D(ho3d).scenes("train")
    assert [scenes.read(i, image=False).name for i in range(7)] == [f"train/{name}" for name in frames(ho3d)]
    assert frames(ho3d) != sorted(frames(ho3d))
    images = {f"{path.parts[-3]}/{path.stem}" for path in ho3d.glob("train/*/rgb/*.jpg")}
    assert len(images - set(frames(ho3d))) == 2
    unlabelled = [path for path in ho3d.glob("train/*/meta/*.pkl") if read_meta(path, "train") is None]
    assert len(unlabelled) == 1
    assert not set(read_tree(unlabelled[0]).values()) - {None}
    assert len(images) - len(list(ho3d.glob("train/*/meta/*.pkl"))) == 1


def test_another_order_of_the_list_is_another_order_of_frames(broken):
    before = HO3D(broken).scenes("train").read(0, image=False)
    names = frames(broken)
    (broken / "train.txt").write_text("\r\n".join(names[::-1]))
    after = HO3D(broken).scenes("train")
    assert after.read(0, image=False).name == f"train/{names[-1]}"
    np.testing.assert_array_equal(after.read(6, image=False).hands[RIGHT].joints, before.hands[RIGHT].joints)


def test_listed_training_frames_without_labels_are_left_out_and_counted(broken, caplog):
    names = frames(broken)
    path_of(broken, names[1]).unlink()
    unlabelled = next(path for path in broken.glob("train/*/meta/*.pkl") if read_meta(path, "train") is None)
    shutil.copy(unlabelled, path_of(broken, names[4]))
    data = HO3D(broken)
    with caplog.at_level("WARNING", "zoo"):
        scenes = data.scenes("train")
    assert "2 of 7 frames of" in caplog.text
    kept = [name for i, name in enumerate(names) if i not in (1, 4)]
    assert [scenes.read(i, image=False).name for i in range(len(scenes))] == [f"train/{name}" for name in kept]


def test_both_versions_are_told_apart(ho3d, ho3d_v2, tmp_path):
    assert [HO3DPart(root, "train").version for root in (ho3d, ho3d_v2)] == ["v3", "v2"]
    for root, version in ((ho3d, "v3"), (ho3d_v2, "v2")):
        other = shutil.copytree(root, tmp_path / f"mine {version[1]}")
        assert HO3DPart(other, "train").version == version
    scene = HO3D(ho3d_v2).scenes("train").read(0)
    assert scene.image.shape == (480, 640, 3)
    assert "handVertContact" in read_tree(next(ho3d.glob("train/*/meta/0000.pkl")))
    assert "handVertContact" not in read_tree(next(ho3d_v2.glob("train/*/meta/0000.pkl")))


def test_images_of_the_other_versions_kind_are_read_too(ho3d_v2, tmp_path):
    root = shutil.copytree(ho3d_v2, tmp_path / "HO3D_v3")
    data = HO3D(root)
    assert data.training.version == "v3"
    assert data.scenes("train").read(0).image is not None


def test_a_twins_label_files_are_python_2s(ho3d):
    path = path_of(ho3d, frames(ho3d)[0])
    opcodes = {opcode.name for opcode, _, _ in pickletools.genops(path.read_bytes())}
    assert not opcodes & {"BINUNICODE", "SHORT_BINBYTES", "BINBYTES", "GLOBAL_STACK", "STACK_GLOBAL"}
    assert b"numpy.core.multiarray\n_reconstruct" in path.read_bytes()
    assert b"_core" not in path.read_bytes()
    turns = {stored(ho3d, name, "objRot").shape for name in frames(ho3d)}
    assert turns == {(3,), (3, 1)}
    kinds = {stored(ho3d, name, "handPose").dtype.name for name in frames(ho3d)}
    assert kinds == {"float32", "float64"}
    keys = set(read_tree(path_of(ho3d, frames(ho3d, "evaluation")[0], part="evaluation")))
    assert keys == {*KEYS["evaluation"], "objRot", "objTrans", "objName", "objLabel", "objCorners3D"} | {
        "objCorners3DRest",
        "camIDList",
    }


def test_the_reader_pickles_small_and_workers_read_the_same(ho3d):
    scenes = HO3D(ho3d).scenes("test")
    scenes.models = None
    expected = scenes.read(1)
    assert len(pickle.dumps(scenes)) < 5000
    other = copy.deepcopy(scenes)
    assert isinstance(other, HO3DScenes)
    np.testing.assert_array_equal(other.read(1).hands[RIGHT].vertices, expected.hands[RIGHT].vertices)
    batch = next(iter(HO3D(ho3d, size=32, workers=1).val_dataloader()))
    assert batch["has_image"].all()


def test_a_twin_needs_a_frame_for_each_sequence(tmp_path):
    with pytest.raises(ValueError, match="Pass --n 3"):
        synth(tmp_path / "HO3D_v3", 2, 0, 0)


@pytest.mark.slow
def test_a_twin_is_the_same_for_any_number_of_workers(ho3d_v2, tmp_path):
    synth(tmp_path / "HO3D_v2", 3, 0, 2)
    for path in ho3d_v2.rglob("*"):
        if path.is_file():
            assert (tmp_path / "HO3D_v2" / path.relative_to(ho3d_v2)).read_bytes() == path.read_bytes(), path
