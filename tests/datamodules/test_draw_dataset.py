import numpy as np
import pytest
import torch
from PIL import Image
from tiny_freihand import COLOURS

from datamodules.draw import draw, draw_crop
from datamodules.freihand.data import FreiHAND
from zoo.hands.camera import denormalize_pixels, project


def test_a_sheet_has_a_plain_and_a_varied_crop_of_every_hand(freihand, tmp_path):
    path = draw("freihand", freihand, tmp_path / "new/sheet.png", n=3, seed=1, size=96)
    with Image.open(path) as sheet:
        assert sheet.width > 2 * 96
        assert sheet.height > 3 * 96
    assert [file.name for file in path.parent.iterdir()] == ["sheet.png"]


def test_the_same_seed_draws_the_same_sheet(freihand, tmp_path):
    sheets = [draw("freihand", freihand, tmp_path / f"{i}.png", n=2, seed=i // 2, size=64) for i in range(3)]
    first, second, other = (np.asarray(Image.open(sheet)) for sheet in sheets)
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_a_row_without_an_image_is_drawn_on_grey(freihand):
    batch = FreiHAND(freihand, size=64, images=False).view("val").batch([0])
    picture = draw_crop(batch)
    assert picture.shape == (3, 64, 64)
    assert (picture == 128).float().mean() > 0.1


def test_labels_are_drawn_where_the_joints_are_seen(freihand):
    batch = FreiHAND(freihand, size=128).view("val").batch([1])
    pixels = denormalize_pixels(batch["joints2d"], (128, 128))[0]
    torch.testing.assert_close(project(batch["joints"], batch["intrinsics"])[0], pixels, atol=1e-3, rtol=0)
    u, v = pixels[8].round().int().tolist()
    seen = batch["image"][0, :, v, u].numpy().astype(int)
    assert np.abs(seen - COLOURS[8]).max() < 80


def test_what_cannot_be_drawn_says_what_can(freihand, tmp_path):
    with pytest.raises(ValueError, match="Known: freihand, openhand"):
        draw("imagenet", tmp_path, tmp_path / "a.png")
    with pytest.raises(ValueError, match="-n 1"):
        draw("freihand", freihand, tmp_path / "a.png", n=0)
