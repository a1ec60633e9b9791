import numpy as np
import pytest
import torch
from PIL import Image
from tiny_freihand import COLOURS

from datamodules.draw import draw, draw_crop, load
from datamodules.draw_scenes import draw_scene
from datamodules.freihand.data import FreiHAND
from datamodules.openhand.data import OpenHandData
from datamodules.synth import synth
from zoo.hands.camera import denormalize_pixels, project
from zoo.registry import folder, names

TWINS = [name for name in names("data") if (folder("data").parent / name / "twin.py").is_file()]
SHARED = {"coco": "coco_twin", "ho3d": "ho3d", "interhand": "interhand"}  # made for other tests too


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
    with pytest.raises(ValueError, match=r"imagenet is not in the zoo.* Known: .*freihand"):
        draw("imagenet", tmp_path, tmp_path / "a.png")
    with pytest.raises(ValueError, match="-n 1"):
        draw("freihand", freihand, tmp_path / "a.png", n=0)
    with pytest.raises(ValueError, match=r"a\.xyz is no picture. Give a name that ends in \.png"):
        draw("freihand", freihand, tmp_path / "a.xyz")


def test_a_sheet_lies_under_its_name_in_a_folder(freihand, tmp_path):
    assert draw("freihand", freihand, tmp_path, n=1) == tmp_path / "freihand.png"
    assert [path.name for path in tmp_path.iterdir()] == ["freihand.png"]


@pytest.fixture(scope="session", params=TWINS)
def twin(request, tmp_path_factory):
    """A dataset's name and a folder in its layout."""
    if request.param in SHARED:
        return request.param, request.getfixturevalue(SHARED[request.param])
    return request.param, synth(request.param, tmp_path_factory.mktemp("twin") / "a folder", 4, 0, workers=0)


def test_every_dataset_is_drawn_as_scenes(twin, tmp_path):
    name, root = twin
    with Image.open(draw(name, root, tmp_path / "scenes.png", n=3, size=80, view="scenes")) as sheet:
        assert sheet.width > 8 * 80
        assert np.asarray(sheet).std() > 20


def test_every_dataset_is_drawn_as_people_want_to_see_it(twin, tmp_path):
    name, root = twin
    with Image.open(draw(name, root, tmp_path / "any.png", n=2, size=80)) as sheet:
        assert sheet.width > 2 * 80


def test_one_hand_a_picture_is_drawn_as_crops_unless_scenes_are_asked_for(freihand, tmp_path):
    hands = draw("freihand", freihand, tmp_path / "a.png", n=2, size=64)
    scenes = draw("freihand", freihand, tmp_path / "b.png", n=2, size=64, view="scenes")
    with Image.open(hands) as small, Image.open(scenes) as large:
        assert large.width > 2 * 4 * 64 > small.width


def test_a_scene_is_drawn_with_its_parts_beside_it_and_its_text_below(freihand):
    batch = FreiHAND(freihand, rows="scenes", size=128, images=False).view("val").batch([0, 1])
    blank = draw_scene(batch, 1)
    assert blank.shape[2] == 256
    assert blank.shape[1] > 128
    assert (blank[:, 66:126, 194:254] == 128).all()  # there is no picture: grey
    assert (blank[:, 128:] < 100).any()  # text
    assert (blank[:, :128, :128] != 128).any()  # the skeleton


def test_datasets_are_built_as_the_trainer_builds_them(tmp_path, freihand):
    data = load("openhand", tmp_path)
    assert isinstance(data, OpenHandData)
    assert data.images
    assert data.leave_out
    assert load("freihand", freihand, tmp_path).mano == tmp_path
    with pytest.raises(ValueError, match="openhand cannot be opened"):
        load("openhand", tmp_path, mano=tmp_path)
