import json
import pickle
import shutil

import cv2
import numpy as np
import pytest
import simplejpeg

import datamodules
from datamodules.attentionhand.data import AttentionHandData, nominal_camera
from datamodules.attentionhand.files import AttentionHandFolder
from datamodules.attentionhand.writer import AttentionHandWriter
from datamodules.check import check
from datamodules.mesh_boxes import local_box
from datamodules.photos import UnreadableFileError
from datamodules.scene import ManoPose, Scene, SceneHand

SIZES = ((60, 80), (90, 50), (64, 64))


def scene(number, *, photo=True, hands=None):
    """A picture as grey as its number says and a bright rectangle for a hand."""
    height, width = SIZES[number % 3]
    meshes = np.zeros((height, width, 3), np.uint8)
    meshes[10 : 20 + number, 15:40] = 240
    image = np.full((height, width, 3), 20 * number, np.uint8) if photo else None
    return Scene(
        number,
        (height, width),
        nominal_camera((height, width)),
        hands or {},
        image=image,
        caption=f"Hand number {number}.",
        mesh_image=meshes,
        name=f"{number:012d}",
    )


def write(root, scenes, **options):
    scenes = list(scenes)
    writer = AttentionHandWriter(root, len(scenes), shard=4, **options)
    for rows in writer.missing():
        writer.write(rows, [scenes[row] for row in rows])
    writer.finish()
    return root


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The authors' working folder: ten rows in `data`, two rows to predict in `samples`; only read it."""
    root = tmp_path_factory.mktemp("Attention Hånd")
    write(root / "data", map(scene, range(10)))
    write(root / "samples", (scene(number, photo=False) for number in (10, 11)))
    return root


@pytest.fixture
def broken(folder, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(folder, tmp_path / "copy")


def rewrite(root, change):
    """Changes every row of a folder."""
    path = root / "modalities.json"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(change(row)) + "\n" for row in rows))


def test_every_line_of_the_file_is_an_object_of_its_own(folder):
    lines = (folder / "data/modalities.json").read_text().splitlines()
    assert json.loads(lines[3]) == {
        "mesh": "data/mesh/000000000003.jpg",
        "rgb": "data/rgb/000000000003.jpg",
        "text": "data/text/000000000003.txt",
    }
    assert (folder / "data/text/000000000003.txt").read_text() == "Hand number 3."


def test_a_scene_has_photo_meshes_caption_and_no_invented_hands(folder):
    scenes = AttentionHandData(folder, val_fraction=0.3).scenes("train")
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


def test_rows_to_predict_have_no_photo(folder):
    scenes = AttentionHandData(folder).scenes("predict")
    assert [scenes.read(i).name for i in range(2)] == ["000000000010", "000000000011"]
    assert scenes.read(0).image is None
    assert scenes.read(0).mesh_image.shape == (*scenes.read(0).size, 3)


def test_a_folder_without_photos_is_for_predicting_only(folder):
    data = AttentionHandData(folder / "samples")
    data.prepare_data()
    assert len(data.scenes("predict")) == 2
    with pytest.raises(FileNotFoundError, match=r'none of its 2 lines has "rgb".*predict.*--data\.root'):
        data.scenes("train")


def test_a_folder_of_photos_can_be_predicted_too(folder):
    scenes = AttentionHandData(folder / "data").scenes("predict")
    assert len(scenes) == 10
    assert scenes.read(4).image is not None


def test_held_out_rows_are_a_function_of_the_seed_and_the_names(folder):
    def names(data, split):
        scenes = data.scenes(split)
        return {scenes.read(i, image=False).name for i in range(len(scenes))}

    first = AttentionHandData(folder, val_fraction=0.3)
    train, val = names(first, "train"), names(first, "val")
    assert len(val) == 3
    assert not train & val
    assert len(train | val) == 10
    assert names(AttentionHandData(folder, val_fraction=0.3, seed=5), "val") == val
    assert names(first, "test") == val
    others = [names(AttentionHandData(folder, val_fraction=0.3, val_seed=seed), "val") for seed in range(1, 4)]
    assert any(other != val for other in others)


def test_rows_of_one_example_are_held_out_together(tmp_path):
    write(tmp_path, [scene(number) for number in range(4)])
    path = tmp_path / "modalities.json"
    path.write_text(path.read_text() * 3)
    data = AttentionHandData(tmp_path, val_fraction=0.25)
    train, val = data.scenes("train"), data.scenes("val")
    assert (len(train), len(val)) == (9, 3)
    assert len({val.read(i, image=False).name for i in range(3)}) == 1


def test_holding_out_everything_is_refused(folder):
    with pytest.raises(ValueError, match=r"10 examples, of which 10 are held out.*--data\.val_fraction"):
        AttentionHandData(folder, val_fraction=0.99).scenes("train")
    with pytest.raises(ValueError, match=r"--data\.val_fraction between 0 and 1"):
        AttentionHandData(folder, val_fraction=1.5)


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


def test_the_reader_pickles_small_for_workers(folder):
    scenes = AttentionHandData(folder).scenes("train")
    scenes.read(0)
    assert len(pickle.dumps(scenes)) < 2000
    assert pickle.loads(pickle.dumps(scenes)).read(1).name == scenes.read(1).name


def labelled(number):
    rng = np.random.default_rng(number)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    left = SceneHand(0, joints=draw(21, 3), joints_valid=rng.random(21) < 0.5, box=draw(4))
    right = SceneHand(1, joints2d=draw(21, 2), pose=ManoPose(draw(16, 3), draw(10), draw(3)))
    return scene(number, hands={0: left} if number % 2 else {0: left, 1: right})


def test_labels_come_back_as_they_were_written(tmp_path):
    write(tmp_path, map(labelled, range(4)))
    scenes = AttentionHandData(tmp_path).scenes("predict")
    assert scenes.sides().tolist() == [[True, True], [True, False]] * 2
    for number in range(4):
        expected, read = labelled(number), scenes.read(number, image=False)
        assert set(read.hands) == set(expected.hands)
        np.testing.assert_array_equal(read.intrinsics, expected.intrinsics)
        for side, hand in expected.hands.items():
            for key in ("joints", "joints_valid", "joints2d", "joints2d_valid", "box", "vertices"):
                np.testing.assert_array_equal(getattr(read.hands[side], key), getattr(hand, key))
            if hand.pose is not None:
                for key, value in vars(hand.pose).items():
                    np.testing.assert_array_equal(getattr(read.hands[side].pose, key), value)


def test_labels_are_one_more_key_that_the_authors_code_does_not_read(tmp_path):
    write(tmp_path / "data", [labelled(0)])
    row = json.loads((tmp_path / "data/modalities.json").read_text())
    assert list(row) == ["mesh", "rgb", "text", "labels"]
    write(tmp_path / "without", [labelled(0)], labels=False)
    assert "labels" not in (tmp_path / "without/modalities.json").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hands": {"both": {}}}, "a hand 'both'"),
        ({"hands": {"left": {"joint": []}}}, "a label 'joint', which is not known"),
        ({"hands": {"left": {"box": [1, 2, 3]}}}, r"box has shape \(3,\)"),
        ({"hands": {"left": {"box": [1, 2, 3, None]}}}, "box has|box holds"),
        ({"hands": {"left": {"joints2d_valid": [1] * 21}}}, "21 times true or false"),
        ({"hands": {"left": {"pose": {"betas": [0.0] * 10}}}}, "pose must have rotations, betas, transl"),
        ({"hands": {"left": {"joints": [[0.0] * 3] * 21}}}, "no `camera`"),
        ([], "no object with `hands`"),
    ],
)
def test_wrong_labels_are_refused_by_name(tmp_path, change, message):
    write(tmp_path, [scene(0), scene(1)])
    rewrite(tmp_path, lambda row: row | {"labels": change})
    with pytest.raises(ValueError, match=rf"modalities\.json, line 1: .*({message})"):
        AttentionHandData(tmp_path).scenes("predict").read(0)
    assert not check("attentionhand", tmp_path).ok


def test_an_interrupted_writer_goes_on_where_it_stopped(tmp_path):
    writer = AttentionHandWriter(tmp_path, 5, shard=2)
    assert writer.missing() == [range(0, 2), range(2, 4), range(4, 5)]
    writer.write(range(2, 4), [scene(2), scene(3)])
    assert not writer.finished
    with pytest.raises(ValueError, match="2 shards are not written"):
        writer.finish()
    again = AttentionHandWriter(tmp_path, 5, shard=2)
    for rows in again.missing():
        again.write(rows, map(scene, rows))
    again.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mesh", "modalities.json", "rgb", "text"]
    scenes = AttentionHandData(tmp_path).scenes("predict")
    assert [scenes.read(i, image=False).name for i in range(5)] == [f"{i:012d}" for i in range(5)]
    assert not AttentionHandWriter(tmp_path, 5).missing()


def test_a_scene_that_cannot_be_a_row_is_refused(tmp_path):
    writer = AttentionHandWriter(tmp_path, 1)
    for lack, message in (({"caption": None}, "a caption"), ({"mesh_image": None}, "a picture of its meshes")):
        with pytest.raises(ValueError, match=message):
            writer.write(range(1), [Scene(**{**vars(scene(0)), **lack})])
    with pytest.raises(ValueError, match="no name for a file"):
        writer.write(range(1), [Scene(**{**vars(scene(0)), "name": "../a"})])


def test_a_whole_folder_is_ok_and_its_counts_are_shown(folder):
    report = check("attentionhand", folder)
    assert report.ok, str(report)
    assert [row.found for row in report.rows] == ["10 rows", "10", "10", "10", "2 rows", "2", "2"]
    assert any('samples/: no row has "rgb"' in note for note in report.notes)
    assert check("attentionhand", folder / "samples").ok


def test_what_is_broken_is_counted_and_named(broken):
    (broken / "data/rgb/000000000003.jpg").unlink()
    path = broken / "data/rgb/000000000004.jpg"
    path.write_bytes(path.read_bytes()[:300])
    (broken / "data/text/000000000001.txt").write_text("\n")
    black = simplejpeg.encode_jpeg(np.zeros((60, 80, 3), np.uint8))
    (broken / "data/mesh/000000000002.jpg").write_bytes(black)
    report = check("attentionhand", broken)
    text = " ".join(row.problem for row in report.rows)
    assert "1 missing: data/rgb/000000000003.jpg" in text
    assert "1 that are not whole pictures: 000000000004.jpg" in text
    assert "1 without a sentence: 000000000001.txt" in text
    assert "1 without a bright hand: 000000000002.jpg" in text
    assert not report.ok


def test_a_folder_that_is_none_is_not_ok(tmp_path):
    assert not check("attentionhand", tmp_path).ok


def test_a_twin_has_the_quirks_of_the_real_files(tmp_path, monkeypatch):
    from datamodules.attentionhand import twin

    monkeypatch.setattr(twin, "SIZES", ((160, 120), (120, 160)))
    monkeypatch.setattr(twin, "FOCAL", 150.0)
    twin.synth(tmp_path / "twin", 3, 0, 0)
    assert check("attentionhand", tmp_path / "twin").ok
    data = AttentionHandData(tmp_path / "twin")
    scenes = [data.scenes("predict").read(0)]
    folder = AttentionHandFolder(tmp_path / "twin/data")
    assert not folder.facts.sides.any()
    scenes += [read for split in ("train", "val") for read in _all(data.scenes(split))]
    assert len({read.size for read in scenes}) == 2
    named = {read.name: read for read in scenes}
    assert "both hands" in named["000000000001"].caption
    assert not (tmp_path / "twin/data/text/000000000001.txt").read_bytes().endswith(b"\n")
    for read in scenes:
        assert local_box(read.mesh_image) is not None
        assert np.median(read.mesh_image) < 10
    specks = named["000000000002"]
    assert np.abs(local_box(specks.mesh_image, "official") - local_box(specks.mesh_image)).max() > 5


def _all(scenes):
    return [scenes.read(i) for i in range(len(scenes))]


def test_the_dataset_is_found_by_its_name():
    assert datamodules.AttentionHandData is AttentionHandData


def test_the_line_of_a_row_is_counted_with_the_blank_ones(tmp_path):
    write(tmp_path, [scene(0), scene(1)])
    path = tmp_path / "modalities.json"
    path.write_text("\n\n" + path.read_text().replace("\n", "\n\n"))
    folder = AttentionHandFolder(tmp_path)
    assert [folder.where(row).rpartition(" ")[2] for row in range(len(folder))] == ["3", "5"]
