import numpy as np
import pytest
import torch
from sample_files import HAND, photo, posed

from zoo.commands.tasks.case import Case
from zoo.commands.tasks.crops import crop, fill_box, put_back
from zoo.hands.camera import crop_intrinsics, project
from zoo.hands.skeleton import LEFT, MIDDLE_MCP, RIGHT, WRIST

CAMERA = torch.tensor([[500.0, 0, 310], [0, 500, 250], [0, 0, 1]])


def seen(points, side, **labels):
    pixels = project(points[None], CAMERA[None])[0]
    sure = np.ones(21, np.float32)
    return Case("hand", side, pixels.numpy(), sure, size=(480, 640), intrinsics=CAMERA.numpy(), **labels)


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_a_perfect_answer_in_the_crop_is_the_hand_in_the_image(side, upright):
    vertices, joints = posed(side)
    crops = crop([seen(joints, side)], [(480, 640)], upright=upright)
    ideal, ideal_joints = ((x - joints[0]) @ crops.frame[0].T for x in (vertices, joints))
    placed = put_back(ideal[None, None], ideal_joints[None, None], crops)
    torch.testing.assert_close(placed.vertices[0, 0], vertices, atol=2e-4, rtol=0)


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_what_is_given_is_the_hand_in_its_crop_as_in_training(side):
    _, joints = posed(side, seed=1)
    labels = {"joints": joints.numpy(), "labelled": np.ones(21, np.bool_)}
    crops = crop([seen(joints, side, **labels)], [(480, 640)], upright=True)
    torch.testing.assert_close(crops.given["joints"][0], joints @ crops.frame[0].T)
    given = crops.given["joints2d"][0]
    assert float(given.abs().max()) <= 1 / 1.5 + 1e-2  # the box of the joints fills two thirds of the crop
    up = given[MIDDLE_MCP] - given[WRIST]
    torch.testing.assert_close(up[0], torch.tensor(0.0), atol=1e-5, rtol=0)
    assert up[1] < 0
    assert torch.det(crops.frame[0]).sign() == (1 if side == RIGHT else -1)  # left hands are mirrored


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_the_camera_of_a_crop_sees_the_hand_where_the_crop_shows_it(side):
    _, joints = posed(side, seed=3)
    crops = crop([seen(joints, side)], [(480, 640)], upright=True)
    inside = project((joints @ crops.frame[0].T)[None], crops.camera)[0]
    shown = crops.pixels[0] @ crops.affine[0, :, :2].T + crops.affine[0, :, 2]
    torch.testing.assert_close(inside, shown, atol=2e-3, rtol=0)


def test_upright_turns_the_camera_and_nothing_else():
    _, joints = posed(RIGHT, seed=2)
    crops = crop([seen(joints, RIGHT)], [(480, 640)], upright=True)
    affine = torch.eye(2, 3)[None]
    affine[:, :2, :2] = crops.frame[:, :2, :2]
    turned = project((joints @ crops.frame[0].T)[None], crop_intrinsics(affine, CAMERA[None], crops.frame))
    torch.testing.assert_close(turned[0], crops.pixels[0] @ affine[0, :, :2].T, atol=1e-3, rtol=0)


def test_3d_labels_place_a_hand_where_they_are_and_2d_given_alone_ignores_them():
    vertices, joints = posed(RIGHT)
    far = {"joints": (joints + torch.tensor([0, 0, 0.5])).numpy(), "labelled": np.ones(21, np.bool_)}
    for what, offset in (("auto", 0.5), ("2d", 0.0)):
        crops = crop([seen(joints, RIGHT, **far)], [(480, 640)], what=what, upright=False)
        placed = put_back((vertices - joints[0])[None, None], (joints - joints[0])[None, None], crops)
        shift = float((placed.vertices[0, 0] - vertices)[:, 2].mean())
        assert shift == pytest.approx(offset, abs=1e-3)
        assert ("joints" in crops.given) == (what == "auto")


def test_a_badly_fitting_hand_is_placed_by_its_size():
    _, joints = posed(RIGHT)
    crops = crop([seen(joints, RIGHT)], [(480, 640)], upright=False)
    inverted = joints[0] - joints  # least squares alone puts this one behind the camera
    placed = put_back(inverted[None, None, :1].expand(1, 1, 778, 3), inverted[None, None], crops)
    assert float(placed.joints[0, 0, :, 2].mean()) == pytest.approx(float(joints[:, 2].mean()), rel=0.2)


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_without_keypoints_the_joints_fill_the_box(side):
    vertices, joints = posed(side)
    pixels = project(joints[None], CAMERA[None])[0]
    low, high = pixels.amin(0), pixels.amax(0)
    box = (*low.tolist(), *(high - low).tolist())
    case = Case("hand", side, size=(480, 640), intrinsics=CAMERA.numpy(), box=box)
    crops = crop([case], [(480, 640)])
    assert "joints2d" not in crops.given
    ideal, ideal_joints = ((x - joints[0]) @ crops.frame[0].T for x in (vertices, joints))
    placed = put_back(ideal[None, None], ideal_joints[None, None], crops)
    torch.testing.assert_close(placed.vertices[0, 0], vertices, atol=1e-3, rtol=0)


def test_a_hand_fills_its_box_also_where_it_is_near_and_off_the_axis():
    _, joints = posed(RIGHT, seed=5)
    corners = torch.tensor([[20.0, 130], [240, 320]])
    moved = joints + fill_box(joints[None], corners[None], CAMERA[None])[0]
    pixels = project(moved[None], CAMERA[None])[0]
    low, high = pixels.amin(0), pixels.amax(0)
    torch.testing.assert_close((low + high) / 2, corners.mean(0), atol=1.0, rtol=0)
    assert float((high - low).amax()) == pytest.approx(220, abs=1)


def test_the_image_of_a_crop_is_the_part_around_the_box(tmp_path):
    from zoo.commands.tasks.photos import read_photo

    image = photo(tmp_path / "a.png")
    case = Case("hand", RIGHT, image=image, box=(40.5, 30.5, 32.0, 20.0))
    crops = crop([case], [(120, 160)], image_side=48)  # margin 1.5 of 32 is 48: no scaling
    whole = torch.from_numpy(read_photo(image)).permute(2, 0, 1).float() / 255
    torch.testing.assert_close(crops.given["image"][0], whole[:, 17:65, 33:81], atol=0.01, rtol=0)


def test_a_whole_image_is_the_crop_itself(tmp_path):
    from zoo.commands.tasks.photos import read_photo

    image = photo(tmp_path / "a.png", (64, 64))
    for side, flip in ((RIGHT, False), (LEFT, True)):
        crops = crop([Case("hand", side, image=image, whole=True)], [(64, 64)], image_side=64)
        whole = torch.from_numpy(read_photo(image)).permute(2, 0, 1).float() / 255
        torch.testing.assert_close(crops.given["image"][0], whole.flip(-1) if flip else whole, atol=0.01, rtol=0)


def test_settling_meets_what_is_known_and_leaves_what_is_far():
    from zoo.hands.settle import settle

    vertices, joints = posed(RIGHT)
    known = torch.nonzero(HAND.parts == 0)[:, 0]
    target = vertices[known] + torch.tensor([0.0, 0.002, 0.0])
    done = settle(vertices[None], HAND.faces, torch.eye(778)[known], target[None])[0]
    torch.testing.assert_close(done[known], target, atol=1e-6, rtol=0)
    tip = HAND.tips[2]
    assert float((done[tip] - vertices[tip]).norm()) < 1e-3
    rows = torch.tensor([0, 4, 8])
    moved = joints[rows] + 0.003
    done = settle(vertices[None], HAND.faces, HAND.joint_regressor[rows], moved[None])[0]
    torch.testing.assert_close(HAND.regress(done)[rows], moved, atol=1e-6, rtol=0)
