import numpy as np
import pytest

from datamodules.framing import chain, framed, local_affine, local_square


def dot(size, x, y, radius=4):
    """A soft bright dot whose centroid is (x, y)."""
    v, u = np.mgrid[: size[0], : size[1]]
    level = 255 * np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * radius**2))
    return np.repeat(level.round().astype(np.uint8)[..., None], 3, 2)


def centroid(picture):
    level = picture[..., 0].astype(float)
    v, u = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return np.array([(u * level).sum(), (v * level).sum()]) / level.sum()


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(120, 200), (311, 90), (64, 64), (500, 707)])
def test_what_is_seen_moves_with_its_pixel(fit, size):
    x, y = 0.5 * size[1] + 3.3, 0.5 * size[0] - 7.1
    frame = framed(size, 96, fit)
    square = frame.image(dot(size, x, y, radius=0.03 * max(size)))
    assert square.shape == (96, 96, 3)
    np.testing.assert_allclose(centroid(square), frame.affine(size) @ [x, y, 1], atol=0.08)


def test_padding_shows_the_whole_picture_between_black_bars():
    frame = framed((50, 100), 64, "pad")
    square = frame.image(np.full((50, 100, 3), 200, np.uint8))
    assert (square[16:48] == 200).all()
    assert not square[:16].any()
    assert not square[48:].any()
    assert frame.box((0, 0, 100, 50), (50, 100)) == (0, 16, 64, 48)


def test_stretching_gives_up_the_aspect():
    assert framed((50, 100), 64, "stretch").box((0, 0, 100, 50), (50, 100)) == (0, 0, 64, 64)


def test_a_crop_is_the_middle_unless_the_hands_are_elsewhere():
    size = (100, 300)
    assert framed(size, 100, "crop").place == (-100, 0)
    assert framed(size, 100, "crop", (120, 20, 180, 60)).place == (-100, 0)
    assert framed(size, 100, "crop", (250, 20, 290, 60)).place == (-190, 0)
    assert framed(size, 100, "crop", (10, 20, 290, 60)).place == (-100, 0)  # more than fits: their middle
    assert framed(size[::-1], 100, "crop", (20, 0, 60, 40)).place == (0, 0)


def test_a_local_square_goes_around_the_hands_and_stays_inside():
    assert local_square((40, 50, 60, 90), 128, 1.5) == (20, 40, 80, 100)
    assert local_square((0, 0, 40, 40), 128, 1.5) == (0, 0, 60, 60)
    assert local_square((60, 60, 62, 62), 128, 1.5) == (45, 45, 77, 77)  # 32 pixels at least
    assert local_square((-50, 4, 500, 9), 128, 1.5) == (0, 0, 128, 128)
    assert local_square(None, 128, 1.5) == (0, 0, 128, 128)


def test_a_local_part_fills_its_square_edge_to_edge():
    corners = local_affine((20, 40, 80, 70), 128) @ [[19.5, 79.5], [39.5, 69.5], [1, 1]]
    np.testing.assert_allclose(corners, [[-0.5, 127.5], [-0.5, 127.5]], atol=1e-12)


def test_maps_chain_in_order():
    first, second = framed((50, 100), 64, "pad").affine((50, 100)), local_affine((10, 20, 30, 50), 64)
    inner = first @ [33, 44, 1]
    np.testing.assert_allclose(chain(second, first) @ [33, 44, 1], second @ [*inner, 1])
