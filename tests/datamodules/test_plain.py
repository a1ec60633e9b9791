import numpy as np
import pytest

from datamodules.freihand.data import FreiHANDScenes
from datamodules.freihand.files import FreiHANDPart
from datamodules.openhand.generate import generate
from datamodules.openhand.maker import Recipe
from datamodules.openhand.plain import BACKGROUNDS, COLOURS, SKIN, caption, named_colour, plain_background
from zoo.hands.skeleton import LEFT, RIGHT


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return generate(Recipe(6, 3, size=64, left=0.5, style="plain"), tmp_path_factory.mktemp("plain"), progress=False)


def test_every_plain_picture_has_its_own_sentence(made):
    part = FreiHANDPart(made, "training")
    assert len(part.captions) == 4 * part.samples == 24
    assert all(said.endswith(".") and "hand" in said and "skin" in said for said in part.captions)
    assert len(set(part.captions)) > 20


def test_the_sentence_says_which_hand_it_is(made):
    scenes = FreiHANDScenes(FreiHANDPart(made, "training"))
    for i in range(len(scenes)):
        scene = scenes.read(i, image=False)
        (side,) = scene.hands
        assert ("left hand" if side == LEFT else "right hand") in scene.caption


def test_the_four_pictures_of_a_hand_share_its_mask_and_differ_in_background(made):
    scenes = FreiHANDScenes(FreiHANDPart(made, "training"))
    corners = [scenes.read(6 * version).image[0, 0].astype(int) for version in range(4)]
    assert max(np.abs(corners[0] - other).max() for other in corners[1:]) > 20


def test_photos_have_no_sentences(tmp_path):
    root = generate(Recipe(1, 1, size=32), tmp_path / "photos", progress=False)
    assert FreiHANDPart(root, "training").captions is None


def test_styles_do_not_share_a_folder_and_old_recipes_keep_theirs():
    assert "style" not in Recipe(1, 1).described()
    assert Recipe(1, 1).default_root() != Recipe(1, 1, style="plain").default_root()


def test_a_named_colour_is_nearest_to_its_name():
    rng = np.random.default_rng(0)
    palette = np.array(list(COLOURS.values()))
    for _ in range(200):
        name, tone = named_colour(rng)
        assert list(COLOURS)[np.abs(palette - tone).sum(1).argmin()] == name


def test_a_wall_has_the_colour_that_it_is_called_by():
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(60):
        picture, called = plain_background(rng, 32)
        seen.add(next(kind for kind in BACKGROUNDS if kind in called))
        if "blue wall" in called:
            assert picture.mean((0, 1)).argmax() == 2
        assert picture.shape == (32, 32, 3)
        assert picture.dtype == np.float32
    assert seen == set(BACKGROUNDS)


def test_a_sentence_has_the_right_articles():
    said = caption(np.zeros((21, 3)), RIGHT, SKIN[0], "orange ball", "on a wooden table", np.random.default_rng(0))
    assert "an orange ball" in said
    assert said[0].isupper()
