"""HO-3D's evaluation part, with and without its labels, and what stands in for it."""

import json
import os
import shutil

import numpy as np
import pytest
from tiny_ho3d import FLIP, frames, path_of, stored, unlabel

from datamodules.ho3d.data import HO3D, split_recordings
from datamodules.ho3d.files import HO3DPart, evaluation_truth
from zoo.hands.skeleton import RIGHT, SNAP_TO_MANO_TIPS


@pytest.fixture
def broken(ho3d, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(ho3d, tmp_path / "HO3D_v3")


def test_evaluation_frames_without_labels_are_an_error_that_names_the_file(broken):
    path = path_of(broken, frames(broken, "evaluation")[1], part="evaluation")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"1 of 2 frames .*{path}.*--data\.root"):
        HO3D(broken).scenes("test")


def test_evaluation_labels_follow_the_order_of_the_list(ho3d):
    truth = evaluation_truth(ho3d)
    assert truth.names == frames(ho3d, "evaluation")
    assert truth.version == "v3"
    assert truth.verts.shape == (2, 778, 3)
    scenes = HO3D(ho3d).scenes("test")
    for index, name in enumerate(truth.names):
        scene = scenes.read(index, image=False)
        hand = scene.hands[RIGHT]
        root = stored(ho3d, name, "handJoints3D", "evaluation")
        assert root.shape == (3,)
        np.testing.assert_allclose(truth.xyz[index, 0], root, atol=1e-6)
        np.testing.assert_allclose(hand.joints[list(SNAP_TO_MANO_TIPS)] * FLIP, truth.xyz[index], atol=1e-6)
        np.testing.assert_allclose(hand.vertices * FLIP, truth.verts[index], atol=1e-6)
        assert np.abs(hand.joints.mean(0) - hand.vertices.mean(0)).max() < 0.05


def test_the_crop_of_an_evaluation_frame_is_the_published_box_with_the_crops_margin(ho3d):
    scenes = HO3D(ho3d, margin=2.0).scenes("test")
    box = stored(ho3d, frames(ho3d, "evaluation")[0], "handBoundingBox", "evaluation")
    crop = scenes.read(0, image=False).hands[RIGHT].box
    np.testing.assert_allclose(crop[2:] - crop[:2], 2 * (box[2:] - box[:2]), atol=1e-3)
    np.testing.assert_allclose(crop[2:] + crop[:2], box[2:] + box[:2], atol=1e-3)
    assert HO3D(ho3d).scenes("train").read(0, image=False).hands[RIGHT].box is None  # around its joints


def test_without_evaluation_labels_there_is_the_root_to_predict_from(broken):
    unlabel(broken)
    data = HO3D(broken, size=32)
    batch = next(iter(data.predict_dataloader()))
    assert batch["joints_valid"].tolist() == [[True] + [False] * 20] * 2
    root = stored(broken, frames(broken, "evaluation")[1], "handJoints3D", "evaluation") * FLIP
    np.testing.assert_allclose(batch["joints"][1, 0], root, atol=1e-6)
    assert batch["has_image"].all()
    with pytest.raises(FileNotFoundError, match=r"test: evaluation_xyz\.json.*--data\.eval_root"):
        data.test_dataloader()
    with pytest.raises(FileNotFoundError, match=r"evaluation_xyz\.json is not there"):
        evaluation_truth(broken)


def test_evaluation_labels_may_lie_elsewhere(broken, tmp_path):
    for path in broken.glob("evaluation_*.json"):
        (tmp_path / "gt").mkdir(exist_ok=True)
        shutil.move(path, tmp_path / "gt")
    assert len(HO3D(broken, eval_root=tmp_path / "gt").scenes("test")) == 2
    with pytest.raises(FileNotFoundError, match=r"evaluation_xyz\.json is not there.*--data\.eval_root"):
        HO3D(broken, eval_root=tmp_path).scenes("test")


def test_evaluation_labels_of_another_version_are_refused(broken):
    path = broken / "evaluation_xyz.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:-1]))
    for read in (HO3D(broken).prepare_data, lambda: evaluation_truth(broken)):
        with pytest.raises(ValueError, match=r"1 entries where .*evaluation\.txt has 2"):
            read()


def test_whole_recordings_are_held_out_when_there_are_no_evaluation_labels(broken):
    unlabel(broken)
    data = HO3D(broken)
    train, val = (
        {scenes.part.name(int(row)).split("/")[0] for row in scenes.rows}
        for scenes in map(data.scenes, ("train", "val"))
    )
    assert len(val) == 1
    assert train | val == {"ABF10", "MC1", "SS2"}
    assert not train & val


def test_cameras_of_one_recording_stay_together(broken):
    os.rename(broken / "train/MC1", broken / "train/ABF11")
    (broken / "train.txt").write_text((broken / "train.txt").read_text().replace("MC1", "ABF11"))
    part = HO3DPart(broken, "train")
    for fraction in (0.01, 0.2):
        kept, out = ({part.name(int(row)).split("/")[0] for row in rows} for rows in split_recordings(part, fraction))
        assert (kept, out) == ({"ABF10", "ABF11"}, {"SS2"})
    with pytest.raises(ValueError, match=r"2 recordings.*--data\.val_fraction"):
        split_recordings(part, 0.9)
