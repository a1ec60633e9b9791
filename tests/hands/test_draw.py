import numpy as np
import pytest
import torch

from zoo.hands.draw import (
    FINGER_COLORS,
    comparison,
    contact_sheet,
    draw_skeleton,
    hand_picture,
    loss_curves,
    overlay,
)
from zoo.hands.render import Rendered

GREY = torch.full((3, 64, 64), 128, dtype=torch.uint8)
TETRAHEDRON = torch.tensor([[[0.0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0, 0, 0.1]]])
FACES = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])


def changed(picture, background=GREY):
    return (picture != background).any(0)


def bounds(mask):
    y, x = mask.nonzero().unbind(1)
    return [int(i) for i in (x.min(), y.min(), x.max(), y.max())]


@pytest.mark.parametrize("view", ["front", "back", "side", "top", "palm"])
def test_hands_are_framed_wherever_they_are(view):
    away = torch.tensor([5.0, -3.0, -20.0])
    near, far = (hand_picture(v, FACES, 64, view, backend="torch") for v in (TETRAHEDRON, TETRAHEDRON + away))
    assert near.shape == (1, 3, 64, 64)
    assert near.dtype == torch.uint8
    assert (near.int() - far.int()).abs().float().mean() < 1
    left, top, right, bottom = bounds((near[0].int() - near[0, :, :1, :1].int()).abs().amax(0) > 60)
    assert min(left, top) >= 3
    assert max(right, bottom) <= 60
    assert max(right - left, bottom - top) >= 48


def test_the_front_view_is_what_the_camera_sees():
    above = torch.tensor([[[0.0, 0, 0], [0.1, 0, 0], [0, -0.1, 0]]])  # a right angle at the lower left
    picture = hand_picture(above, FACES[:1], 64, backend="torch")[0].int()
    dark = (picture - picture[:, :1, :1]).abs().amax(0) > 60
    assert dark[50, 12]
    assert not dark[12, 50]


def test_hands_that_share_a_frame_share_their_scale():
    both = torch.cat([TETRAHEDRON, TETRAHEDRON / 2])
    pictures = hand_picture(both, FACES, 64, backend="torch").int()
    large, small = ((p - p[:, :1, :1]).abs().amax(0) > 60 for p in pictures)
    assert bounds(large)[2] - bounds(large)[0] > 1.7 * (bounds(small)[2] - bounds(small)[0])
    alone = hand_picture(both[1:], FACES, 64, framed_by=both[:1], backend="torch")[0].int()
    framed = (alone - alone[:, :1, :1]).abs().amax(0) > 60
    assert framed.sum() < 0.4 * large.sum()


def test_no_hands_are_no_pictures():
    assert hand_picture(TETRAHEDRON[:0], FACES, 32).shape == (0, 3, 32, 32)


def test_a_skeleton_has_its_finger_colours_at_its_pixels_and_skips_what_is_not_valid():
    joints = torch.stack([torch.linspace(4, 60, 21), torch.full((21,), 32.0)], -1)
    valid = torch.zeros(21, dtype=torch.bool)
    valid[5:9] = True
    touched = changed(draw_skeleton(GREY, joints, valid))
    left, top, right, bottom = bounds(touched)
    assert left >= joints[5, 0] - 4
    assert right <= joints[8, 0] + 4
    assert abs((top + bottom) / 2 - 32) <= 0.5
    between = (joints[5] + joints[6]) / 2
    color = draw_skeleton(GREY, joints, valid, thickness=3.0)[:, 32, round(float(between[0]))]
    assert (color.int() - torch.tensor(FINGER_COLORS[1])).abs().max() < 60


def test_joints_that_are_far_off_or_nan_draw_nothing():
    joints = torch.full((21, 2), torch.nan)
    assert not changed(draw_skeleton(GREY, joints)).any()
    assert not changed(draw_skeleton(GREY, torch.full((21, 2), 1e9))).any()


def rendered():
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask[:, 20:40, 10:50] = True
    color = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    color[:, 0] = 200
    return Rendered(color, mask.float(), mask, mask.short() - 1)


def test_an_overlay_mixes_inside_and_leaves_the_photograph_outside():
    picture = overlay(GREY, rendered(), alpha=0.5, outline=None)
    assert picture[:, 30, 30].tolist() == [164, 64, 64]
    assert torch.equal(changed(picture), rendered().mask[0])
    lined = overlay(GREY[None], rendered(), alpha=0.0)
    assert lined.shape == (1, 3, 64, 64)
    assert changed(lined[0])[20, 30]
    assert not changed(lined[0])[30, 30]
    with pytest.raises(ValueError, match="overlay"):
        overlay(GREY[:, :32], rendered())


def test_a_sheet_holds_all_its_pictures():
    colors = [torch.full((3, 20, 30), 40 * i, dtype=torch.uint8) for i in range(1, 6)]
    captions = ["a", "b", "a caption that is far too long for its picture", "d", "é"]
    sheet = np.asarray(contact_sheet(colors, 2, captions, title="title", headers=["left", "right"]))
    for i in range(1, 6):
        assert (sheet == 40 * i).all(-1).sum() >= 20 * 30
    assert contact_sheet(torch.stack(colors), size=60).width == 3 * 60 + 4 * 4
    with pytest.raises(ValueError, match="2 captions for 5"):
        contact_sheet(colors, captions=["a", "b"])
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])


def test_a_comparison_has_a_column_for_each_name():
    pictures = [GREY, GREY, GREY]
    sheet = comparison({"input": pictures, "truth": pictures})
    assert (np.asarray(sheet) == 128).all(-1).sum() >= 6 * 64 * 64
    assert sheet.width < 3 * 64


def test_long_curves_are_drawn_and_none_are_refused():
    steps = range(60)
    curves = {"train/loss": (steps, [1 / (i + 1) for i in steps]), "pa_mpvpe_mm/none": ([0, 10], [20.0, 10.0])}
    picture = loss_curves(curves, title="a run")
    assert picture.width > picture.height > 100
    with pytest.raises(ValueError, match="nothing to draw"):
        loss_curves({})


def test_curves_may_be_short_negative_or_hold_nan():
    picture = loss_curves({"loss": ([1], [-2.0]), "other/a": ([1, 2], [float("nan")] * 2), "other/b": ([1], [0.0])})
    assert np.asarray(picture).std() > 1
