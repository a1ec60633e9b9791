from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.hand_models import TWIN, absolute, faces_of, find_models, moved, pose_hands
from datamodules.interhand.data import InterHand
from datamodules.scene import ManoPose
from datamodules.twins import whole_folder
from zoo.hands.openhand import OpenHand
from zoo.hands.rotations import axis_angle_to_matrix, random_rotations
from zoo.hands.skeleton import LEFT, RIGHT

MODELS = {LEFT: OpenHand("left"), RIGHT: OpenHand("right")}


def a_pose(scale=0.5):
    rng = np.random.default_rng(0)
    turns, betas, transl = rng.normal(0, scale, (16, 3)), rng.normal(size=10), rng.normal(size=3)
    return ManoPose(*(array.astype(np.float32) for array in (turns, betas, transl)))


def off_the_origin(hand):
    """The same hand with its rest pose moved by ten centimetres, so that its root joint is not the origin."""
    shift = torch.tensor([0.1, 0.02, -0.03])
    hand.template += shift
    hand.bias += shift.repeat_interleave(778)
    hand.rest += shift.repeat(16)[:, None]
    return hand


def test_hands_of_both_sides_are_posed_together_as_they_are_one_by_one():
    poses, sides = [a_pose(), a_pose(0.1), a_pose(0)], [RIGHT, LEFT, RIGHT]
    vertices, joints = pose_hands(MODELS, sides, poses)
    for i, (side, pose) in enumerate(zip(sides, poses, strict=True)):
        turns, betas, transl = (torch.from_numpy(array)[None] for array in vars(pose).values())
        alone = MODELS[side](axis_angle_to_matrix(turns), betas, transl).vertices
        torch.testing.assert_close(vertices[i], alone[0], atol=1e-6, rtol=0)
        torch.testing.assert_close(joints[i], MODELS[side].regress(alone)[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_moved_parameters_make_the_moved_mesh(side):
    """The root turns about its own joint: in a hand whose root is off the origin, as MANO's, centimetres hang on it."""
    models = {side: off_the_origin(OpenHand("left" if side == LEFT else "right"))}
    rotation = random_rotations(1, torch.Generator().manual_seed(1))[0].numpy()
    translation = np.array([0.3, -0.2, 1.1], np.float32)
    pose = a_pose()
    before, _ = pose_hands(models, [side], [pose])
    after, _ = pose_hands(models, [side], [moved(models[side], pose, rotation, translation)])
    np.testing.assert_allclose(after[0], before[0].numpy() @ rotation.T + translation, atol=2e-6)


def test_fingers_stored_relative_to_the_mean_become_absolute_and_the_root_stays():
    stored = np.arange(48, dtype=np.float32) / 48
    turns = absolute(MODELS[RIGHT], stored)
    np.testing.assert_array_equal(turns[0], stored[:3])
    np.testing.assert_allclose(turns[1:].reshape(-1) - stored[3:], MODELS[RIGHT].hands_mean.numpy(), atol=1e-6)
    assert np.abs(MODELS[RIGHT].hands_mean.numpy()).max() > 0.05


def test_only_a_twin_brings_its_own_hand(tmp_path):
    assert find_models(tmp_path, None) is None
    (tmp_path / TWIN).write_text("{}")
    models = find_models(tmp_path, tmp_path / "no such folder")
    assert models is not None
    assert {side: model.side for side, model in models.items()} == {LEFT: LEFT, RIGHT: RIGHT}


def test_an_inner_folder_of_a_twin_is_of_the_twin(tmp_path, monkeypatch):
    (tmp_path / TWIN).write_text("{}")
    (tmp_path / "data" / "deeper").mkdir(parents=True)
    assert find_models(tmp_path / "data", None) is not None
    assert find_models(tmp_path / "data" / "deeper", None) is None
    monkeypatch.chdir(tmp_path / "data")
    assert find_models(Path("."), None) is not None
    assert InterHand("../data").tips is None


def test_faces_are_known_only_where_they_fit():
    vertices, _ = pose_hands(MODELS, [RIGHT], [a_pose(0.1)])
    assert faces_of(vertices, None, RIGHT) is not None
    shuffled = vertices[:, torch.randperm(778, generator=torch.Generator().manual_seed(0))]
    assert faces_of(shuffled, None, RIGHT) is None
    assert faces_of(shuffled, MODELS, LEFT) is MODELS[LEFT].faces


def test_a_folder_is_whole_or_not_there(tmp_path):
    out = tmp_path / "new" / "twin"

    def interrupted():
        with whole_folder(out, "freihand") as draft:
            (draft / "half").write_text("")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.rglob("*")) in ([], [tmp_path / "new"])
    with whole_folder(out, "freihand", n=3) as draft:
        (draft / "file").write_text("")
    assert sorted(path.name for path in out.iterdir()) == ["file", TWIN]
    with pytest.raises(FileExistsError, match="not empty"), whole_folder(out, "freihand"):
        pass
    with pytest.raises(FileExistsError, match="is a file"), whole_folder(out / "file", "freihand"):
        pass


def test_an_empty_folder_is_filled_and_stays_the_one_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # as a shell does that calls with --out .
    with whole_folder(Path("."), "coco") as draft:
        (draft / "images").mkdir()
        (draft / "images" / "file").write_text("")
    assert sorted(path.name for path in Path(".").iterdir()) == ["images", TWIN]
    assert (tmp_path / "images" / "file").is_file()
