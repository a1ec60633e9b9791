import copy
import json
import pickle
import shutil

import cv2
import numpy as np
import pytest
import simplejpeg
from tiny_attentionhand import SIZES, rewrite, scene, write

import datamodules
from datamodules.attentionhand.data import AttentionHandData
from datamodules.attentionhand.files import AttentionHandFolder
from datamodules.mesh_boxes import local_box
from datamodules.photos import UnreadableFileError


@pytest.fixture
def broken(attentionhand, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(attentionhand, tmp_path / "copy")


def test_every_line_of_the_file_is_an_object_of_its_own(attentionhand):
    lines = (attentionhand / "data/modalities.json").read_text().splitlines()
    assert json.loads(lines[3]) == {
        "mesh": "data/mesh/000000000003.jpg",
        "rgb": "data/rgb/000000000003.jpg",
        "text": "data/text/000000000003.txt",
    }
    assert (attentionhand / "data/text/000000000003.txt").read_text() == "Hand number 3."


def test_a_scene_has_photo_meshes_caption_and_no_invented_hands(attentionhand):
    scenes = AttentionHandData(attentionhand, val_fraction=0.3).scenes("train")
    assert len(scenes) == 7
    for i in range(len(scenes)):
        read = scenes.read(i)
        number = int(read.name)
        assert read.caption == f"Hand number {number}."
        assert read.size == SIZES[number % 3]
        assert abs(int(read.image[0, 0, 0]) - 20 * number) < 3
        np.testing.assert_allclose(local_box(read.mesh_image), [14.5, 9.5, 39.5, 19.5 + number], atol=1)
        assert read.hands == {}
    assert not scenes.sides().any()


def test_pictures_are_opened_only_where_they_are_asked_for(broken):
    for path in (broken / "data").glob("*/*.jpg"):
        path.write_bytes(path.read_bytes()[:-40])  # the head is left
    read = AttentionHandData(broken).scenes("train").read(0, image=False)
    assert (read.image, read.mesh_image) == (None, None)
    assert read.size == SIZES[int(read.name) % 3]


def test_rows_to_predict_have_no_photo(attentionhand):
    scenes = AttentionHandData(attentionhand).scenes("predict")
    assert [scenes.read(i).name for i in range(2)] == ["000000000010", "000000000011"]
    assert scenes.read(0).image is None
    assert scenes.read(0).mesh_image.shape == (*scenes.read(0).size, 3)


def test_a_folder_without_photos_is_for_predicting_only(attentionhand):
    data = AttentionHandData(attentionhand / "samples")
    data.prepare_data()
    assert len(data.scenes("predict")) == 2
    with pytest.raises(FileNotFoundError, match=r'none of its 2 lines has "rgb".*predict.*--data\.root'):
        data.scenes("train")


def test_a_folder_of_photos_can_be_predicted_too(attentionhand):
    scenes = AttentionHandData(attentionhand / "data").scenes("predict")
    assert len(scenes) == 10
    assert scenes.read(4).image is not None


def test_held_out_rows_are_a_function_of_the_seed_and_the_names(attentionhand):
    def names(data, split):
        scenes = data.scenes(split)
        return {scenes.read(i, image=False).name for i in range(len(scenes))}

    first = AttentionHandData(attentionhand, val_fraction=0.3)
    train, val = names(first, "train"), names(first, "val")
    assert len(val) == 3
    assert not train & val
    assert len(train | val) == 10
    assert names(AttentionHandData(attentionhand, val_fraction=0.3, seed=5), "val") == val
    assert names(first, "test") == val
    others = [names(AttentionHandData(attentionhand, val_fraction=0.3, val_seed=seed), "val") for seed in range(1, 4)]
    assert any(other != val for other in others)


def test_rows_of_one_example_are_held_out_together(tmp_path):
    write(tmp_path, [scene(number) for number in range(4)])
    path = tmp_path / "modalities.json"
    path.write_text(path.read_text() * 3)
    data = AttentionHandData(tmp_path, val_fraction=0.25)
    train, val = data.scenes("train"), data.scenes("val")
    assert (len(train), len(val)) == (9, 3)
    assert len({val.read(i, image=False).name for i in range(3)}) == 1


def test_holding_out_everything_is_refused(attentionhand):
    with pytest.raises(ValueError, match=r"10 examples, of which 10 are held out.*--data\.val_fraction"):
        AttentionHandData(attentionhand, val_fraction=0.99).scenes("train")
    with pytest.raises(ValueError, match=r"--data\.val_fraction between 0 and 1"):
        AttentionHandData(attentionhand, val_fraction=1.5)


@pytest.mark.parametrize("prefix", ["data", "elsewhere", "deep/er/data", "."])
def test_files_are_found_whatever_folder_the_paths_are_relative_to(tmp_path, prefix):
    root = write(tmp_path / "renamed", [scene(0), scene(1)], prefix=prefix)
    assert AttentionHandData(root).scenes("predict").read(1).caption == "Hand number 1."


def test_absolute_paths_stay_what_they_are(broken, tmp_path):
    moved = shutil.move(broken / "data/mesh", tmp_path / "meshes")
    rewrite(broken / "data", lambda row: row | {"mesh": f"{moved}/{row['mesh'].rpartition('/')[2]}"})
    assert AttentionHandData(broken).scenes("train").read(0).mesh_image is not None


def test_a_missing_file_names_every_place_that_was_tried(broken):
    for path in (broken / "data/mesh").iterdir():
        path.unlink()
    with pytest.raises(UnreadableFileError) as caught:
        AttentionHandData(broken).scenes("train").read(0)
    for place in (broken / "data/mesh", broken / "data/data/mesh", broken / "data/mesh"):
        assert str(place) in str(caught.value)
    assert "data check attentionhand" in str(caught.value)


def test_a_mesh_picture_of_another_size_is_brought_to_the_photos(broken):
    for path in (broken / "data/mesh").iterdir():
        picture = simplejpeg.decode_jpeg(path.read_bytes())
        path.write_bytes(simplejpeg.encode_jpeg(cv2.resize(picture, (128, 128))))
    read = AttentionHandData(broken).scenes("train").read(2)
    assert read.mesh_image.shape == read.image.shape


def test_grey_mesh_pictures_are_read_as_rgb(broken):
    for path in (broken / "data/mesh").iterdir():
        picture = simplejpeg.decode_jpeg(path.read_bytes(), "GRAY")
        path.write_bytes(simplejpeg.encode_jpeg(picture, colorspace="GRAY", colorsubsampling="Gray"))
    assert AttentionHandData(broken).scenes("train").read(2).mesh_image.shape[2] == 3


def test_only_the_first_line_of_a_text_is_read(broken):
    for path in (broken / "data/text").iterdir():
        path.write_bytes(b"\xef\xbb\xbfOne line. \r\nAnother.\r\n")
    assert AttentionHandData(broken).scenes("train").read(0).caption == "One line."
    for path in (broken / "data/text").iterdir():
        path.write_bytes(b"\n")
    assert AttentionHandData(broken).scenes("train").read(0).caption is None
    for path in (broken / "data/text").iterdir():
        path.write_bytes(b"\xff\xfe")
    with pytest.raises(UnreadableFileError, match="is not UTF-8"):
        AttentionHandData(broken).scenes("train").read(0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('[{"mesh": "a.jpg", "text": "a.txt"}]', r"line 2 is a list.*must not be one list|line 2 is a list"),
        ('{"mesh": "a.jpg"', "line 2 is not JSON"),
        ('{"mesh": "a.jpg"}', r'line 2 has no path as "text"; it has mesh'),
        ('{"mesh": "a.jpg", "text": "a.txt", "rgb": null}', r'line 2 has no path as "rgb"'),
    ],
)
def test_a_wrong_line_is_named_before_training_starts(broken, line, message):
    path = broken / "data/modalities.json"
    path.write_text("\n" + line + "\n" + path.read_text())
    with pytest.raises(ValueError, match=message):
        AttentionHandData(broken).prepare_data()


def test_one_big_list_is_recognised(broken):
    path = broken / "data/modalities.json"
    path.write_text("[" + ",\n".join(path.read_text().splitlines()) + "]")
    with pytest.raises(ValueError, match="the whole file must not be one list"):
        AttentionHandData(broken).prepare_data()


def test_missing_data_names_file_and_flag(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"modalities\.json is not there.*--data\.root"):
        AttentionHandData(tmp_path).prepare_data()
    with pytest.raises(FileNotFoundError, match=r"AttentionHand needs a folder.*--data\.root"):
        AttentionHandData().prepare_data()
    (tmp_path / "modalities.json").write_text("\n")
    with pytest.raises(ValueError, match="is empty"):
        AttentionHandData(tmp_path).prepare_data()


def test_the_reader_pickles_small_for_workers(attentionhand):
    scenes = AttentionHandData(attentionhand).scenes("train")
    scenes.read(0)
    assert len(pickle.dumps(scenes)) < 2000
    assert copy.deepcopy(scenes).read(1).name == scenes.read(1).name


def test_the_dataset_is_found_by_its_name():
    assert datamodules.AttentionHandData is AttentionHandData


def test_the_line_of_a_row_is_counted_with_the_blank_ones(tmp_path):
    write(tmp_path, [scene(0), scene(1)])
    path = tmp_path / "modalities.json"
    path.write_text("\n\n" + path.read_text().replace("\n", "\n\n"))
    folder = AttentionHandFolder(tmp_path)
    assert [folder.where(row).rpartition(" ")[2] for row in range(len(folder))] == ["3", "5"]
