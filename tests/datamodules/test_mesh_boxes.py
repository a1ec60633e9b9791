import cv2
import numpy as np
import pytest
import simplejpeg

from datamodules.mesh_boxes import blob_boxes, local_box, outlines


def drawn(*boxes, size=(100, 140), value=240):
    """Bright rectangles, given by the first and one past the last pixel."""
    picture = np.zeros((*size, 3), np.uint8)
    for left, top, right, bottom in boxes:
        picture[top:bottom, left:right] = value
    return picture


def jpeg(picture):
    return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(picture, 60))


def test_a_box_ends_at_the_outer_edges_of_its_pixels():
    assert local_box(drawn((20, 30, 60, 80))).tolist() == [19.5, 29.5, 59.5, 79.5]
    whole = drawn((0, 0, 140, 100))
    assert local_box(whole).tolist() == [-0.5, -0.5, 139.5, 99.5]


def test_two_hands_share_a_box():
    hands = drawn((10, 20, 40, 50), (90, 60, 120, 80))
    assert local_box(hands).tolist() == [9.5, 19.5, 119.5, 79.5]
    assert blob_boxes(hands).tolist() == [[9.5, 19.5, 39.5, 49.5], [89.5, 59.5, 119.5, 79.5]]


def test_grey_pictures_and_compressed_ones_have_boxes_too():
    hand = drawn((20, 30, 60, 80))
    assert local_box(hand[..., 0]).tolist() == [19.5, 29.5, 59.5, 79.5]
    np.testing.assert_allclose(local_box(jpeg(hand)), [19.5, 29.5, 59.5, 79.5], atol=1)


def test_specks_do_not_widen_a_robust_box_but_an_official_one():
    hand = (20, 30, 60, 80)
    specks = drawn(hand, (130, 90, 135, 96), (2, 95, 4, 97), (100, 92, 103, 94))
    assert outlines(specks) == 4
    assert local_box(specks).tolist() == [19.5, 29.5, 59.5, 79.5]
    official = local_box(specks, "official")
    assert official[1] > 80  # the first two that OpenCV finds are specks: the hand is not even in it


def test_an_official_box_is_made_on_the_square_that_the_authors_stretch_to():
    hands = drawn((10, 20, 40, 50), (90, 60, 120, 80))
    square = cv2.resize(hands, (512, 512))
    there = local_box(square, "official")
    assert ((there + 0.5) % 1 == 0).all()
    expected = (there + 0.5) * np.array([140, 100, 140, 100]) / 512 - 0.5
    np.testing.assert_allclose(local_box(hands, "official"), expected, atol=1e-4)
    np.testing.assert_allclose(local_box(hands, "official"), [9.5, 19.5, 119.5, 79.5], atol=0.5)


def test_of_three_hands_an_official_box_holds_two():
    assert local_box(drawn((5, 5, 30, 30), (60, 40, 80, 60), (110, 70, 135, 95)), "official")[0] > 55


@pytest.mark.parametrize("mode", ["robust", "official"])
def test_an_empty_picture_has_no_box(mode):
    assert local_box(drawn(), mode) is None
    assert local_box(drawn((10, 10, 50, 50), value=120), mode) is None


def test_specks_alone_are_no_hand():
    assert local_box(drawn((10, 10, 13, 13))) is None
    assert blob_boxes(drawn((10, 10, 13, 13))).shape == (0, 4)
