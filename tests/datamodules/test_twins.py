import numpy as np
import pytest

from datamodules.hand_models import pose_hands
from datamodules.twins import Stage
from zoo.hands.skeleton import LEFT, RIGHT


@pytest.fixture(scope="module")
def stage():
    return Stage(3, (90, 120), 300.0)


@pytest.mark.parametrize("sides", [(RIGHT,), (LEFT,), (LEFT, RIGHT)])
def test_parameters_mesh_joints_and_pixels_belong_together(stage, sides):
    hands = stage.hands(1, sides)
    assert tuple(hands) == sides
    for side, hand in hands.items():
        vertices, regressed = pose_hands(stage.models, [side], [hand.pose])
        np.testing.assert_allclose(hand.vertices, vertices[0], atol=1e-5)
        np.testing.assert_allclose(hand.regressed, regressed[0], atol=1e-5)
        rays = hand.joints @ stage.intrinsics.T
        np.testing.assert_allclose(hand.pixels, rays[:, :2] / rays[:, 2:], atol=1e-4)
        assert (hand.vertices[:, 2] > 0.1).all()
    if len(sides) > 1:
        assert np.linalg.norm(hands[LEFT].vertices.mean(0) - hands[RIGHT].vertices.mean(0)) > 0.09


def test_a_hand_is_where_its_mask_is(stage):
    hands = stage.hands(2, (LEFT, RIGHT))
    picture = stage.photograph(2, hands)
    assert picture.image.shape == (90, 120, 3)
    assert picture.image.dtype == np.uint8
    for side, mask in picture.masks.items():
        rows, columns = np.nonzero(mask)
        rays = hands[side].vertices @ stage.intrinsics.T
        low, high = (rays[:, :2] / rays[:, 2:]).min(0), (rays[:, :2] / rays[:, 2:]).max(0)
        assert low[0] - 1 <= columns.min() <= columns.max() <= high[0] + 1
        assert low[1] - 1 <= rows.min() <= rows.max() <= high[1] + 1
    assert not (picture.masks[LEFT] & picture.masks[RIGHT]).any()


def test_a_scene_hangs_on_seed_and_number_alone(stage):
    again, other = Stage(3, (90, 120), 300.0), Stage(4, (90, 120), 300.0)
    again.hands(7, (LEFT,))
    picture = stage.photograph(1, stage.hands(1, (RIGHT,))).image
    np.testing.assert_array_equal(again.photograph(1, again.hands(1, (RIGHT,))).image, picture)
    assert (other.photograph(1, other.hands(1, (RIGHT,))).image != picture).any()
