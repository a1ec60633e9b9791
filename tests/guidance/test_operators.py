import math

import pytest
import torch
from gaussian_hands import HAND, bent

from zoo.guidance import JointsAt, PixelsAt, Together, VerticesAt
from zoo.guidance.cameras import put_in_front
from zoo.hands.camera import project

VERTICES = bent(3)
JOINTS = HAND.regress(VERTICES)
X0 = VERTICES / 0.1
PLACE = torch.tensor([[0.02, -0.03, 0.5], [0.1, 0.0, 0.7], [-0.05, 0.04, 0.4]])
CAMERA = torch.tensor([[500.0, 0, 128], [0, 500, 120], [0, 0, 1]]).expand(3, 3, 3)
PIXELS = project(JOINTS + PLACE[:, None], CAMERA)
FLAT = 300 * JOINTS[..., :2] + 100  # what a camera far away sees
ALL = torch.ones(3, 21, dtype=torch.bool)


def right():
    return [
        JointsAt(JOINTS + 0.3, ALL, HAND),
        VerticesAt(VERTICES, torch.ones(3, 778), 0.1),
        PixelsAt(FLAT, ALL, HAND),
        PixelsAt(PIXELS, ALL, HAND, intrinsics=CAMERA),
        PixelsAt(PIXELS, ALL, HAND, intrinsics=CAMERA, translation=PLACE),
    ]


NAMES = ["joints", "vertices", "flat", "camera", "place"]


@pytest.mark.parametrize("operator", right(), ids=NAMES)
def test_the_right_hand_is_not_off(operator):
    assert operator.error(X0).max() < 1e-4


@pytest.mark.parametrize("operator", right(), ids=NAMES)
def test_hypotheses_stand_beside_their_own_observation(operator):
    assert operator.error(X0.repeat_interleave(2, 0)).max() < 1e-4
    assert operator.error(X0.flip(0).repeat_interleave(2, 0))[:2].min() > 1e-3


@pytest.mark.parametrize("operator", right(), ids=NAMES)
def test_every_operator_has_a_gradient_towards_less(operator):
    x0 = X0.flip(0).clone().requires_grad_()
    (g,) = torch.autograd.grad(operator.error(x0).sum(), x0)
    assert g.isfinite().all()
    assert operator.error(x0 - 0.01 * torch.nn.functional.normalize(g, dim=(1, 2)))[0] < operator.error(x0)[0]


def test_residuals_of_joints_are_in_units_of_the_signal():
    moved = JOINTS.clone()
    moved[:, 8] += torch.tensor([0.03, 0, 0])
    vectors, weights = JointsAt(moved, ALL, HAND).residual(X0)
    torch.testing.assert_close(vectors[:, 8], torch.tensor([-0.3, 0, 0]).expand(3, 3), rtol=1e-4, atol=1e-4)
    assert weights.sum() == 63


def test_residuals_of_pixels_are_shares_of_the_box():
    side = (PIXELS.amax(1) - PIXELS.amin(1)).amax(1)
    operator = PixelsAt(PIXELS + 0.1 * side[:, None, None], ALL, HAND, intrinsics=CAMERA, translation=PLACE)
    expected = torch.full((3,), 0.1 * math.sqrt(2))
    torch.testing.assert_close(operator.error(X0), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["joints", "flat", "camera"])
def test_what_is_not_observed_is_never_read(kind):
    valid = ALL.clone()
    valid[:, 5:9] = False
    hole = torch.where(valid[..., None], 0.0, torch.nan)
    operator = {
        "joints": JointsAt(JOINTS + hole, valid, HAND),
        "flat": PixelsAt(FLAT + hole[..., :2], valid, HAND),
        "camera": PixelsAt(PIXELS + hole[..., :2], valid, HAND, intrinsics=CAMERA),
    }[kind]
    assert operator.error(X0).max() < 1e-4
    x0 = X0.clone().requires_grad_()
    assert torch.autograd.grad(operator.residual(x0).vectors.square().sum(), x0)[0].isfinite().all()


def test_nothing_observed_is_no_error_and_no_gradient():
    none = torch.zeros(3, 21)
    operators = [
        JointsAt(JOINTS * torch.nan, none, HAND),
        PixelsAt(PIXELS * torch.nan, none, HAND),
        PixelsAt(PIXELS * torch.nan, none, HAND, intrinsics=CAMERA),
        VerticesAt(VERTICES * torch.nan, torch.zeros(3, 778)),
    ]
    for operator in [*operators, Together(operators)]:
        x0 = X0.clone().requires_grad_()
        error = operator.error(x0)
        (g,) = torch.autograd.grad(error.sum(), x0)
        assert (error == 0).all()
        assert (g == 0).all()


def test_a_skeleton_without_its_wrist_may_lie_anywhere():
    valid = ALL.clone()
    valid[:, 0] = False
    assert JointsAt(JOINTS + torch.tensor([0.5, 0.1, 2.0]), valid, HAND).error(X0).max() < 1e-4


def test_confidence_weighs():
    moved, trust = JOINTS.clone(), torch.ones(3, 21)
    moved[:, 4] += 0.1
    trust[:, 4] = 0.01
    assert JointsAt(moved, trust, HAND).error(X0).max() < 0.02
    assert JointsAt(moved, ALL, HAND).error(X0).min() > 0.07


@pytest.mark.parametrize("camera", [None, CAMERA], ids=["flat", "camera"])
def test_some_wrong_pixels_do_not_move_the_camera(camera):
    pixels = (FLAT if camera is None else PIXELS).clone()
    wrong = [3, 9, 14, 17, 20]
    pixels[:, wrong] += torch.tensor([90.0, -70.0])
    good = [j for j in range(21) if j not in wrong]
    residual = PixelsAt(pixels, ALL, HAND, intrinsics=camera).residual(X0).vectors.norm(dim=-1)
    assert residual[:, good].mean() < 0.02
    assert residual[:, wrong].min() > 0.2


def test_outliers_count_less_where_asked():
    pixels = PIXELS.clone()
    pixels[:, 3] += 300.0
    weights = PixelsAt(pixels, ALL, HAND, intrinsics=CAMERA, outlier=0.1).residual(X0).weights
    assert weights[:, 3].max() < 0.05
    assert weights[:, 5:].min() > 0.9


def test_the_camera_carries_no_gradient():
    # moving all joints alike changes a fitted camera and nothing else: with the camera held still it is a change
    x0 = X0.clone().requires_grad_()
    operator = PixelsAt(FLAT, ALL, HAND)
    vectors = operator.residual(x0 + torch.tensor([0.3, 0.0, 0.0])).vectors
    assert vectors.norm(dim=-1).max() < 1e-4


def test_the_hand_is_put_where_it_was():
    torch.testing.assert_close(put_in_front(JOINTS, PIXELS, CAMERA, torch.ones(3, 21)), PLACE, rtol=1e-3, atol=1e-4)
    away = put_in_front(JOINTS, PIXELS, CAMERA, torch.zeros(3, 21))
    assert away.isfinite().all()


def test_operators_together_count_as_their_weights_say():
    joints = JOINTS + torch.tensor([0.0, 0, 0.01]) * torch.arange(21)[:, None]
    one, other = JointsAt(joints, ALL, HAND), VerticesAt(VERTICES + 0.02, torch.ones(3, 778))
    both = Together([one, other], [1.0, 3.0]).error(X0)
    torch.testing.assert_close(both, (one.error(X0) + 3 * other.error(X0)) / 4)
    pixels = PixelsAt(PIXELS + 5, ALL, HAND, intrinsics=CAMERA, translation=PLACE)
    torch.testing.assert_close(Together([one, pixels]).error(X0), (one.error(X0) + pixels.error(X0)) / 2)


def test_an_empty_operator_leaves_the_others_alone():
    empty = JointsAt(JOINTS, torch.zeros(3, 21), HAND)
    other = VerticesAt(VERTICES + 0.02, torch.ones(3, 778))
    torch.testing.assert_close(Together([empty, other]).error(X0), other.error(X0))


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="3 rows are observed and 4 hands"):
        JointsAt(JOINTS, ALL, HAND).error(X0[[0, 1, 2, 0]])
    with pytest.raises(ValueError, match="one weight for each"):
        Together([JointsAt(JOINTS, ALL, HAND)], [1.0, 2.0])
