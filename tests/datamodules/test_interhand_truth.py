import numpy as np
import pytest
import tiny_interhand as tiny
import torch

from datamodules.interhand.truth import truth
from zoo.hands.skeleton import LEFT, RIGHT, SNAP_TO_INTERHAND


@pytest.fixture(scope="session")
def train(interhand):
    return truth(interhand, "train")


def test_joints_are_the_published_ones_in_camera_millimetres(tmp_path):
    found = truth(tiny.write(tmp_path), "train")
    np.testing.assert_allclose(found.joints(slice(None))[0], (tiny.world() - (100, 200, -300)) @ tiny.TURN.T, atol=1e-3)
    assert found.annotation_ids.tolist() == [0]
    assert found.hand_type.tolist() == ["right"]
    assert found.hand_type_valid.tolist() == [True]
    assert found.boxes(slice(None)).tolist() == [[1.5, 2.5, 100, 50]]
    assert not found.has_mesh(slice(None)).any()


def test_the_view_and_the_frame_have_validity_of_their_own(tmp_path):
    valid = [[1]] * 20 + [[0]] + [[1]] * 21
    frame = {"world_coord": tiny.world().tolist(), "joint_valid": [[True]] * 41 + [[False]]}
    root = tiny.write(tmp_path, annotations=[tiny.annotation(0, 0, valid)], frames={"5": frame})
    found = truth(root, "train")
    everything = slice(None)
    assert found.view_valid(everything, whole_hands=False)[0].tolist() == [True] * 20 + [False] + [True] * 21
    assert found.view_valid(everything)[0].tolist() == [False] * 21 + [True] * 21
    assert found.frame_valid(everything, whole_hands=False)[0].tolist() == [True] * 41 + [False]
    assert found.frame_valid(everything)[0].tolist() == [True] * 21 + [False] * 21


def test_meshes_are_where_the_joints_are(train):
    everything = slice(None)
    vertices, has = torch.from_numpy(train.vertices(everything)), train.has_mesh(everything)
    for side, start in ((RIGHT, 0), (LEFT, 21)):
        wrong = train.models[side].regress(vertices[:, side])[:, list(SNAP_TO_INTERHAND)].numpy()
        gap = np.linalg.norm(wrong - train.joints(everything)[:, start : start + 21], axis=-1)
        counted = train.frame_valid(everything, whole_hands=False)[:, start : start + 21] & has[:, side, None]
        assert counted.sum() > 200
        assert gap[counted].max() < 0.1
    assert not vertices[torch.from_numpy(~has)].any()


def test_annotations_come_in_the_order_they_are_asked_for(interhand, train):
    some = truth(interhand, "train", [7, 3, 20])
    assert some.annotation_ids.tolist() == [7, 3, 20]
    np.testing.assert_array_equal(some.joints(slice(None)), train.joints(np.array([7, 3, 20])))
    np.testing.assert_array_equal(some.intrinsics(slice(1, 2)), train.intrinsics(slice(3, 4)))
    assert some.path(1) == train.path(3)
    assert some.path(1).is_file()
    with pytest.raises(ValueError, match=r"Annotation 100 .* train part"):
        truth(interhand, "train", [100])
