import pickle

import numpy as np
import pytest
import tiny_interhand as tiny

from datamodules.interhand import index as module
from datamodules.interhand.files import find_files
from datamodules.interhand.index import InterHandIndex

PARTLY = [1, 0, 1] * 14


def indexed(root, cache=None, part="train", fps=5):
    return InterHandIndex(find_files(root, part, fps), cache)


def test_annotations_find_their_images_by_id_and_come_by_their_own(tmp_path):
    images = [tiny.image(90 + i, frame, width=300 + i) for i, frame in enumerate((5, 6, 5))]
    annotations = [tiny.annotation(7, 91), tiny.annotation(3, 92), tiny.annotation(5, 90)]
    index = indexed(tiny.write(tmp_path, images=images, annotations=annotations))
    assert index.arrays["annotation_id"].tolist() == [3, 5, 7]
    assert index.arrays["image_id"].tolist() == [92, 90, 91]
    assert index.arrays["width"].tolist() == [302, 300, 301]
    assert index.frame_valid(slice(None)).any(1).tolist() == [True, True, False]  # frame 6 has no 3D label
    assert index.rows([7, 3]).tolist() == [2, 0]


@pytest.mark.parametrize(
    "flags",
    [
        [[v] for v in PARTLY],
        PARTLY,
        [[bool(v)] for v in PARTLY],
        [bool(v) for v in PARTLY],
        [[float(v)] for v in PARTLY],
    ],
)
def test_validity_is_read_however_it_is_written(tmp_path, flags):
    frame = {"world_coord": tiny.world().tolist(), "joint_valid": flags}
    index = indexed(tiny.write(tmp_path, annotations=[tiny.annotation(0, 0, flags)], frames={"5": frame}))
    assert index.view_valid(slice(None))[0].tolist() == [bool(v) for v in PARTLY]
    assert index.frame_valid(slice(None))[0].tolist() == [bool(v) for v in PARTLY]


def test_file_names_are_kept_whether_they_follow_the_rule_or_not(tmp_path):
    names = ["image0.jpg", "Capture3/0007_wave/cam400012/image5.jpg", "flach/bild ñ.jpg"]
    images = [tiny.image(i, file_name=name) for i, name in enumerate(names)]
    index = indexed(tiny.write(tmp_path, images=images, annotations=[tiny.annotation(i, 2 - i) for i in range(3)]))
    assert [index.name(row) for row in range(3)] == names[::-1]
    assert index.arrays["name"].tolist() == [1, -1, 0]
    assert index.path(1) == tmp_path / "images/train" / names[1]


def test_frames_may_have_leading_zeros_and_say_their_sequence(tmp_path):
    frame = {"seq": "0007_wave", "world_coord": tiny.world().tolist(), "joint_valid": [[1]] * 42}
    fit = {"pose": [0.0] * 48, "shape": [0.0] * 10, "trans": [1.0, 2, 3]}
    index = indexed(tiny.write(tmp_path, frames={"0005": frame}, fits={"00005": {"left": fit}}))
    assert index.frame_valid(slice(None)).all()
    assert index.has_fit(slice(None)).tolist() == [[True, False]]
    assert index.fit(0, 0)[58:].tolist() == [1, 2, 3]


def test_pieces_of_a_part_are_one_part_and_chosen_by_the_frame_rate(tmp_path):
    tiny.write(
        tmp_path, images=[tiny.image(i) for i in range(3)], annotations=[tiny.annotation(i, i) for i in range(3)]
    )
    whole = tiny.load(tmp_path, "train", "data")
    for i in range(3):  # annotations in another piece than their images
        piece = {"images": whole["images"][i : i + 1], "annotations": whole["annotations"][2 - i : 3 - i]}
        tiny.save(tmp_path, "train", f"data-00{i + 1}", piece)
    assert len(find_files(tmp_path, "train").data) == 1
    assert len(find_files(tmp_path, "train", 30).data) == 3
    index = indexed(tmp_path, fps=30)
    assert index.arrays["annotation_id"].tolist() == index.arrays["image_id"].tolist() == [0, 1, 2]
    tiny.file(tmp_path, "train", "data").unlink()
    assert len(find_files(tmp_path, "train").data) == 3


def test_a_renamed_data_file_and_one_without_its_prefix_are_found(tmp_path):
    tiny.write(tmp_path)
    path = tiny.file(tmp_path, "train", "data")
    for name in ("InterHand2.6M_train_data_hm.json", "data-001.json", "data.json"):
        path = path.rename(path.with_name(name))
        assert find_files(tmp_path, "train").data == (path,)


def test_left_out_and_null_parameters_are_no_fit(tmp_path):
    fit = {"pose": [0.1] * 48, "shape": [0.0] * 10, "trans": [0.0] * 3}
    for fits, has in (({"5": {"right": None}}, [False, False]), ({"5": None}, [False, False]), ({}, [False, False])):
        assert indexed(tiny.write(tmp_path, fits=fits)).has_fit(slice(None))[0].tolist() == has
    tiny.write(tmp_path, fits={"5": {"right": fit, "left": None}})
    assert indexed(tmp_path).has_fit(slice(None))[0].tolist() == [False, True]


def test_files_are_read_once_and_again_when_they_change(tmp_path, monkeypatch):
    root, cache = tiny.write(tmp_path / "data"), tmp_path / "the cache ñ"
    assert len(indexed(root, cache)) == 1
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_index", None)
        again = indexed(root, cache)
        assert len(again) == 1
        assert isinstance(again.arrays["bbox"], np.memmap)
        assert len(pickle.dumps(again)) < 2000
    tiny.write(root, images=[tiny.image(0), tiny.image(1)], annotations=[tiny.annotation(0, 0), tiny.annotation(1, 1)])
    assert len(indexed(root, cache)) == 2
    assert len(list(cache.iterdir())) == 1


def test_a_full_disk_names_the_flag(tmp_path, monkeypatch):
    def full(files, folder, *, progress):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_index", full)
    with pytest.raises(OSError, match=r"--data\.cache"):
        indexed(tiny.write(tmp_path), tmp_path).arrays  # noqa: B018


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"annotations": [tiny.annotation(0, 8)]}, "annotation 0 belongs to image 8, which is not there"),
        ({"images": [tiny.image(0), tiny.image(0)]}, "two images have one id"),
        ({"annotations": [tiny.annotation(0, 0)] * 2}, "two annotations have one id"),
        ({"annotations": [tiny.annotation(4, 0, [[1]] * 21)]}, "annotation 4 cannot be read .*21 flags"),
        ({"annotations": [tiny.annotation(4, 0, hand_type="both")]}, "annotation 4 cannot be read .*both"),
        ({"annotations": [{"id": 4}]}, "annotation 4 cannot be read .*image_id"),
        ({"annotations": [tiny.annotation(4, 0, bbox=[1, None, 2, 3])]}, "annotation 4 cannot be read .*NoneType"),
        ({"annotations": [tiny.annotation(4, "x")]}, "annotation 4 cannot be read .*'x'"),
        ({"images": [{"id": 2}]}, "image 2 cannot be read .*capture"),
        ({"images": [tiny.image(2, file_name=None)]}, "image 2 cannot be read .*NoneType"),
        ({"images": []}, "0 images and 1 annotations"),
        ({"frames": {}}, "has no frames"),
        ({"frames": {"5": {"world_coord": [[1, 2, 3]], "joint_valid": [[1]] * 42}}}, "frame 5 of capture 3 cannot"),
        ({"frames": {"5": {"joint_valid": [[1]] * 42}}}, "frame 5 of capture 3 cannot be read .*world_coord"),
        ({"fits": {"5": {"right": {"pose": [0.0] * 3}}}}, "NeuralAnnot.json: frame 5 of capture 3 cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, change, words):
    with pytest.raises(ValueError, match=f"(?s){words}.*Unpack the annotations again"):
        indexed(tiny.write(tmp_path, **change)).arrays  # noqa: B018


@pytest.mark.parametrize("kind", ["data", "camera", "joint_3d"])
def test_a_cut_file_and_a_missing_one_are_named(tmp_path, kind):
    path = tiny.file(tiny.write(tmp_path), "train", kind)
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ValueError, match=f"(?s){kind}.json.*again"):
        indexed(tmp_path).arrays  # noqa: B018
    path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"_{kind}.json is not there.*--data\.root"):
        indexed(tmp_path)


def test_numbers_that_are_not_finite_are_refused_where_they_would_be_used(tmp_path):
    fit = {"pose": [0.0] * 48, "shape": [0.0] * 10, "trans": [1.0, None, 3]}  # a writer's word for NaN
    tiny.write(tmp_path, fits={"5": {"left": fit}})
    with pytest.raises(ValueError, match=r"frame 5 of capture 3 cannot be read .*left has a number that is not finite"):
        indexed(tmp_path).folder  # noqa: B018
    world = tiny.world().tolist()
    world[30][0] = None  # of the left hand, which is not valid
    frame = {"world_coord": world, "joint_valid": [[1]] * 21 + [[0]] * 21}
    assert np.isfinite(indexed(tiny.write(tmp_path, frames={"5": frame}, fits={})).joints(slice(None))[:, :21]).all()
    frame["joint_valid"] = [[1]] * 42
    with pytest.raises(ValueError, match=r"frame 5 of capture 3 .*world_coord has a number that is not finite"):
        indexed(tiny.write(tmp_path, frames={"5": frame})).folder  # noqa: B018
    tiny.write(tmp_path)
    camera = tiny.load(tmp_path, "train", "camera")
    camera["3"]["focal"]["400012"] = [1200, None]
    tiny.save(tmp_path, "train", "camera", camera)
    with pytest.raises(ValueError, match=r"camera 400012 of capture 3 .*focal has a number that is not finite"):
        indexed(tmp_path).folder  # noqa: B018


@pytest.mark.parametrize("content", [[], {"3": []}, {"3": {"camrot": {}}}, {"x": {"campos": {"4": [1]}}}])
def test_cameras_of_another_layout_are_refused(tmp_path, content):
    tiny.save(tiny.write(tmp_path), "train", "camera", content)
    with pytest.raises(ValueError, match=r"camera\.json: its list of captures cannot be read"):
        indexed(tmp_path).arrays  # noqa: B018


def test_a_camera_without_all_its_numbers_is_no_camera(tmp_path):
    tiny.save(tiny.write(tmp_path), "train", "camera", {"3": {"campos": {"400012": [1, 2, 3]}}})
    assert indexed(tmp_path).arrays["camera_known"].tolist() == [False]


def test_a_camera_that_is_not_listed_is_named_when_it_is_needed(tmp_path):
    index = indexed(tiny.write(tmp_path, images=[tiny.image(0, camera="410000")]))
    with pytest.raises(ValueError, match=r"no camera 410000 of capture 3"):
        index.camera(0)


@pytest.mark.parametrize("folder", ["all", "human_annot", "machine_annot"])
def test_the_folder_of_version_zero_is_recognised(tmp_path, folder):
    (tmp_path / "annotations" / folder).mkdir(parents=True)
    with pytest.raises(ValueError, match=r"version 0\.0.*Get version 1\.0"):
        find_files(tmp_path, "train")
    tiny.write(tmp_path)
    assert find_files(tmp_path, "train").data  # the new layout beside the old one is read


def test_a_wrong_folder_says_which_is_right(tmp_path):
    root = tiny.write(tmp_path / "a" / "b")
    for wrong in (tmp_path / "a", root / "annotations", root / "annotations" / "train"):
        with pytest.raises(FileNotFoundError, match=rf"Pass --data\.root {root}, which"):
            find_files(wrong, "train")
    with pytest.raises(FileNotFoundError, match=r"It has train\. Get version"):
        find_files(root, "val")
    with pytest.raises(FileNotFoundError, match=r"Get version 1\.0"):
        find_files(tmp_path / "nowhere", "val")


def test_an_annotation_takes_little_room(tmp_path):
    images = [tiny.image(i) for i in range(1000)]
    index = indexed(tiny.write(tmp_path, images=images, annotations=[tiny.annotation(i, i) for i in range(1000)]))
    assert sum(path.stat().st_size for path in index.folder.iterdir()) < 100 * 1000
