import copy
import pickle
import shutil

import numpy as np
import pytest
import torch
from pairs import SAID, mark, meshes, numbers, read_meshes, same_but_for_place, write_shards

import datamodules
import zoo.hands
from datamodules.check import check
from datamodules.twohand500k.data import VIRTUAL_DEPTH, TwoHand500K
from datamodules.twohand500k.shards import write_shard
from zoo.hands.model import HandModel
from zoo.hands.openhand import OpenHand


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    """Ten pairs in three shards, the last pair without a left hand; only read it."""
    valid = np.ones((10, 2), bool)
    valid[9, 0] = False
    return write_shards(tmp_path_factory.mktemp("Zwei Hände"), numbers(10), valid, shards=3)


def scene(root, index=0, split="train", **options):
    return TwoHand500K(root, **options).scenes(split).read(index)


def test_fingers_relative_to_the_mean_pose_become_absolute(shards):
    for i in (0, 5):
        same_but_for_place(read_meshes(scene(shards, i)), meshes(numbers(10)[i]))


def test_fingers_relative_to_the_flat_hand_stay_as_they_are(tmp_path):
    root = write_shards(tmp_path, numbers(3), flat_hand_mean=True)
    same_but_for_place(read_meshes(scene(root)), meshes(numbers(3)[0], mean=False))


@pytest.mark.parametrize(("unit", "metre"), [("m", 1), ("cm", 100), ("mm", 1000)])
def test_the_distance_between_hands_comes_in_metres(tmp_path, unit, metre):
    stored = numbers(3)
    stored[..., 58:] *= metre
    root = write_shards(tmp_path, stored, unit=unit)
    same_but_for_place(read_meshes(scene(root)), meshes(numbers(3)[0]))


def test_opengl_hands_are_turned_about_x_each_about_its_own_root(tmp_path):
    root = write_shards(tmp_path, numbers(3), frame="opengl")
    same_but_for_place(read_meshes(scene(root)), meshes(numbers(3)[0]), np.diag([1, -1, -1]))


def test_pairs_stand_in_the_middle_of_a_virtual_camera(shards):
    scenes = TwoHand500K(shards).scenes("train")
    for i in range(len(scenes)):
        read = scenes.read(i)
        made = read_meshes(read)
        points = np.concatenate(list(made.values()))
        assert abs(points[:, 2].mean() - VIRTUAL_DEPTH) < 0.15
        pixels = points @ read.intrinsics.T
        pixels = pixels[:, :2] / pixels[:, 2:]
        assert np.abs(pixels.mean(0) - 127.5).max() < 60
        assert read.size == (256, 256)
        assert read.image is None


def test_a_hand_that_is_not_there_is_left_out(shards):
    scenes = TwoHand500K(shards, val_fraction=0.1).scenes("val")
    assert scenes.sides().tolist() == [[False, True]]
    assert list(scenes.read(0).hands) == [1]


def test_single_hands_train_hhmr_with_meshes_and_without_pictures(shards):
    data = TwoHand500K(shards, size=32, batch_size=6, images=False, augment=None)
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (0, 3, 32, 32)
    assert batch["has_mesh"].all()
    assert batch["joints_valid"].all()
    assert batch["side"].tolist() != [1] * 6
    assert (batch["joints2d"].abs() < 1).all()
    hand = OpenHand()
    torch.testing.assert_close(batch["joints"], hand.regress(batch["vertices"]), atol=1e-5, rtol=0)


def test_held_out_pairs_are_the_last(shards):
    data = TwoHand500K(shards, val_fraction=0.3)
    assert data.scenes("train").rows.tolist() == list(range(7))
    for split in ("val", "test", "predict"):
        assert data.scenes(split).rows.tolist() == [7, 8, 9]
    with pytest.raises(ValueError, match=r"10 pairs, of which 10 are held out.*--data\.val_fraction"):
        TwoHand500K(shards, val_fraction=0.99).scenes("train")
    with pytest.raises(ValueError, match=r"--data\.val_fraction between 0 and 1"):
        TwoHand500K(shards, val_fraction=0.0)


def test_parts_are_read_from_their_folders(tmp_path):
    for part, n in (("train", 5), ("val", 2), ("test", 3)):
        write_shards(tmp_path / part, numbers(n))
    data = TwoHand500K(mark(tmp_path))
    assert [len(data.scenes(split)) for split in ("train", "val", "test", "predict")] == [5, 2, 3, 3]
    shutil.rmtree(tmp_path / "val")
    assert [len(TwoHand500K(tmp_path).scenes(split)) for split in ("train", "val", "test")] == [4, 1, 3]
    shutil.rmtree(tmp_path / "train")
    with pytest.raises(FileNotFoundError, match="has test but no train"):
        TwoHand500K(tmp_path).scenes("train")
    assert len(TwoHand500K(tmp_path).scenes("test")) == 3


def test_parts_of_other_conventions_are_refused(tmp_path):
    write_shards(tmp_path / "train", numbers(2))
    write_shards(tmp_path / "val", numbers(2), flat_hand_mean=True)
    with pytest.raises(ValueError, match="not what the other parts have"):
        TwoHand500K(mark(tmp_path)).prepare_data()


def test_files_that_could_be_either_of_two_datasets_are_refused(tmp_path):
    write_shards(tmp_path, numbers(2))
    write_shards(tmp_path / "train", numbers(2))
    with pytest.raises(ValueError, match="files of its own and in train"):
        TwoHand500K(tmp_path).prepare_data()


def without(path, *keys, **more):
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files if key not in keys}
    np.savez(path, **arrays, **more)


@pytest.mark.parametrize("key", ["unit", "frame", "flat_hand_mean", "left_shapedirs_fix"])
def test_hands_whose_conventions_are_not_known_are_refused(tmp_path, key):
    write_shards(tmp_path, numbers(2))
    without(tmp_path / "000.npz", key)
    with pytest.raises(ValueError, match=rf"lacks {key}\. Keys found: left_global_orient.*cannot be guessed"):
        TwoHand500K(tmp_path).prepare_data()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("unit", "inch", "unit is 'inch'; it must be one of"),
        ("frame", "world", "frame is 'world'"),
        ("flat_hand_mean", 1, "flat_hand_mean is 1"),
        ("left_betas", np.zeros((2, 11)), r"left_betas is \(2, 11\) float64; it must be \(2, 10\)"),
        ("right_valid", np.ones(2), "right_valid is .* booleans"),
        ("right_transl", np.full((2, 3), np.nan), "the right hand of pair 0 has a number that is not finite"),
        ("right_transl", np.array([None]), "objects|Object|allow_pickle"),
    ],
)
def test_wrong_arrays_are_named(tmp_path, key, value, message):
    write_shards(tmp_path, numbers(2))
    without(tmp_path / "000.npz", key, **{key: value})
    with pytest.raises(ValueError, match=message):
        TwoHand500K(tmp_path).prepare_data()
    assert not check("twohand500k", tmp_path).ok


def test_what_a_hand_that_is_not_there_holds_is_never_looked_at(tmp_path):
    hands, valid = numbers(3), np.array([[True, True], [True, False], [True, True]])
    hands[1, 1] = np.nan
    scenes = TwoHand500K(write_shards(tmp_path, hands, valid), val_fraction=0.3).scenes("train")
    assert list(scenes.read(1).hands) == [0]
    assert np.isfinite(scenes.table.hands).all()


def test_shards_that_disagree_are_refused(tmp_path):
    write_shards(tmp_path, numbers(2))
    write_shard(tmp_path / "001.npz", numbers(2), np.ones((2, 2), bool), **{**SAID, "unit": "mm"})
    with pytest.raises(ValueError, match=r"001\.npz has .*'mm'.*All shards of a dataset must agree"):
        TwoHand500K(tmp_path).prepare_data()


def test_a_truncated_shard_is_named(tmp_path):
    path = write_shards(tmp_path, numbers(5)) / "000.npz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"000\.npz is not a whole npz file"):
        TwoHand500K(tmp_path).prepare_data()


def test_missing_data_says_what_is_there_and_names_the_flags(tmp_path):
    (tmp_path / "hands.h5").touch()
    with pytest.raises(FileNotFoundError, match=r"There is hands\.h5\. Change --data\.root.*--data\.mapping"):
        TwoHand500K(tmp_path).prepare_data()
    with pytest.raises(FileNotFoundError, match=r"Two-hand 500K needs a folder.*--data\.root"):
        TwoHand500K().prepare_data()
    write_shards(tmp_path / "empty", numbers(0))
    with pytest.raises(ValueError, match="holds no pair of hands"):
        TwoHand500K(tmp_path / "empty").prepare_data()


def test_without_a_hand_model_parameters_are_no_hands(shards, tmp_path):
    root = shutil.copytree(shards, tmp_path / "copy", ignore=shutil.ignore_patterns("openhand.json"))
    with pytest.raises(FileNotFoundError, match=r"MANO is needed.*--data\.mano"):
        TwoHand500K(root).prepare_data()


def test_files_are_read_once_and_again_when_they_change(tmp_path):
    cache = tmp_path / "cache"
    root = write_shards(tmp_path / "data", numbers(4))
    first = TwoHand500K(root, cache=cache).table("train")
    (kept,) = cache.iterdir()
    stamp = kept.stat().st_mtime_ns
    assert TwoHand500K(root, cache=cache).table("train").folder == first.folder == kept
    assert kept.stat().st_mtime_ns == stamp
    write_shards(root, numbers(6))
    assert len(TwoHand500K(root, cache=cache).table("train")) == 6
    assert len(list(cache.iterdir())) == 1


def test_a_cache_that_cannot_be_written_names_the_flag(shards, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"--data\.cache"):
        TwoHand500K(shards, cache=tmp_path / "file").prepare_data()


def test_the_reader_pickles_small_for_workers(tmp_path):
    data = TwoHand500K(write_shards(tmp_path, numbers(3000)))
    scenes = data.scenes("train")
    scenes.read(0)
    assert len(pickle.dumps(scenes.table)) < 1000
    again = copy.deepcopy(scenes.table)
    np.testing.assert_array_equal(again.hands[7], scenes.table.hands[7])


@pytest.fixture(scope="session")
def mano(tmp_path_factory):
    """OpenHand's numbers under MANO's names; left shape directions are the right hand's, as in the published file."""
    root = tmp_path_factory.mktemp("mano")
    for name, side in (("RIGHT", "right"), ("LEFT", "left")):
        from zoo.hands.openhand import OpenHand  # noqa: F401

        with np.load(f"{zoo.hands.__path__[0]}/assets/openhand/openhand_{side}.npz") as file:
            arrays = {key: file[key] for key in file.files if key not in ("tips", "shape_names", "bs_style", "bs_type")}
        if side == "right":
            right = arrays["shapedirs"][:, 0]
        else:
            arrays["shapedirs"] = arrays["shapedirs"].copy()
            arrays["shapedirs"][:, 0] = right
        np.savez(root / f"MANO_{name}.npz", **arrays)
    return root


@pytest.mark.filterwarnings("ignore:MANO_LEFT:UserWarning")
@pytest.mark.parametrize("fixed", [True, False])
def test_left_shapes_belong_to_the_model_that_the_files_name(tmp_path, mano, fixed):
    root = write_shards(tmp_path, numbers(2), left_shapedirs_fix=fixed)
    (root / "openhand.json").unlink()
    left: HandModel = TwoHand500K(root, mano=mano).models[0]
    betas = torch.zeros(1, 10)
    betas[0, 0] = 2.0
    still = torch.eye(3).expand(1, 16, 3, 3)
    places = left(still, betas, torch.zeros(1, 3)).vertices - left(still, 0 * betas, torch.zeros(1, 3)).vertices
    expected = OpenHand("left")
    right_way = expected(still, betas, torch.zeros(1, 3)).vertices - expected.template
    assert torch.allclose(places[..., 0], right_way[..., 0], atol=1e-5) == fixed
    torch.testing.assert_close(places[..., 1:], right_way[..., 1:], atol=1e-5, rtol=0)


def test_a_whole_folder_is_ok_and_its_hands_are_counted(shards):
    report = check("twohand500k", shards)
    assert report.ok, str(report)
    assert "10 (9 left, 10 right)" in str(report)
    assert any("untested" in note for note in report.notes)


@pytest.mark.parametrize(
    ("columns", "factor", "rule"),
    [
        (slice(58, 61), 1000, "more than 1 m apart"),
        (slice(58, 61), 0, "all in one point"),
        (slice(3, 48), 57.3, "are these radians"),
        (slice(48, 58), 30, "a shape beyond 10"),
    ],
)
def test_numbers_that_speak_against_their_conventions_are_pointed_out(tmp_path, columns, factor, rule):
    hands = numbers(4)
    hands[..., columns] *= factor
    report = check("twohand500k", write_shards(tmp_path, hands))
    assert rule in " ".join(row.problem for row in report.rows)


def test_a_folder_that_is_none_is_not_ok(tmp_path):
    assert not check("twohand500k", tmp_path).ok


def test_a_twin_is_read_with_its_own_hand(tmp_path):
    from datamodules.twohand500k.twin import synth

    synth(tmp_path / "twin", 8, 0, 0)
    assert check("twohand500k", tmp_path / "twin").ok
    data = TwoHand500K(tmp_path / "twin")
    data.prepare_data()
    assert [len(data.scenes(split)) for split in ("train", "val", "test")] == [8, 1, 1]
    assert data.scenes("train").sides().sum() == 15
    assert not data.table("train").conventions.flat_hand_mean


def test_the_dataset_is_found_by_its_name():
    assert datamodules.TwoHand500K is TwoHand500K
