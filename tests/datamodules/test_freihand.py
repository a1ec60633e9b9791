import json
import os
import pickle
import shutil

import numpy as np
import pytest
import simplejpeg
import torch
from tiny_freihand import SIDE, dotted, random_labels, write_freihand

from datamodules.freihand.data import FreiHAND, FreiHANDScenes, split_training
from datamodules.freihand.files import FreiHANDPart, find_evaluation
from datamodules.freihand.writer import FreiHANDWriter, Labels
from datamodules.photos import UnreadableFileError


@pytest.fixture
def broken(freihand, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(freihand, tmp_path / "copy")


def test_labels_are_read_as_they_are_in_the_files(freihand):
    labels = random_labels(6)
    scene = FreiHANDScenes(FreiHANDPart(freihand, "training")).read(2 + 6 * 3)
    np.testing.assert_allclose(scene.hands[1].joints, labels.joints[2], atol=1e-6)
    np.testing.assert_allclose(scene.hands[1].vertices, labels.vertices[2], atol=1e-6)
    np.testing.assert_allclose(scene.intrinsics, labels.intrinsics[2], atol=1e-4)


def test_an_image_is_the_version_its_number_says(freihand):
    scenes, labels = FreiHANDScenes(FreiHANDPart(freihand, "training")), random_labels(6)
    assert len(scenes) == 24
    for version in range(4):
        image = scenes.read(1 + 6 * version).image
        expected = dotted(labels.intrinsics[1], labels.joints[1], grey=60 + 10 * version)
        assert np.abs(image.astype(int) - expected).mean() < 3
        assert abs(int(image[0, 0, 0]) - 60 - 10 * version) < 3


def test_masks_belong_to_samples_and_not_to_images(freihand):
    scenes = FreiHANDScenes(FreiHANDPart(freihand, "training"))
    mask = scenes.read(2 + 6, image=False, mask=True).mask
    assert (mask == np.tri(SIDE, dtype=bool)).mean() > 0.98
    assert mask.dtype == bool


def test_mano_entries_are_taken_apart(freihand):
    part, labels = FreiHANDPart(freihand, "training"), random_labels(6)
    entry = part.mano(3)
    np.testing.assert_allclose(np.concatenate([entry.pose, entry.betas]), labels.mano[3, :58], atol=1e-5)
    pixel = labels.intrinsics[3] @ labels.joints[3, 9]
    np.testing.assert_allclose(entry.root_pixel, pixel[:2] / pixel[2], atol=1e-3)
    assert entry.scale == pytest.approx((480 + 475) / 2 / labels.joints[3, 9, 2], rel=1e-4)


def test_the_scale_file_holds_the_bone_of_the_middle_finger(freihand):
    part, joints = FreiHANDPart(freihand, "training"), random_labels(6).joints
    bones = np.linalg.norm(joints[:, 9] - joints[:, 10], axis=-1)
    np.testing.assert_allclose(part.arrays["scale"].array, bones, atol=1e-6)


def test_validation_is_the_evaluation_part_when_it_has_labels(freihand):
    data = FreiHAND(freihand, size=32)
    assert len(data.view("train")) == 24
    assert [len(data.view(split)) for split in ("val", "test", "predict")] == [3, 3, 3]
    batch = next(iter(data.val_dataloader()))
    assert batch["has_mesh"].all()
    assert batch["image"].shape == (3, 3, 32, 32)


def test_held_out_samples_are_held_out_in_every_version(freihand, tmp_path):
    shutil.copytree(freihand, tmp_path / "train", ignore=shutil.ignore_patterns("evaluation*"))
    data = FreiHAND(tmp_path / "train", val_fraction=0.34)
    train, val = data.scenes("train"), data.scenes("val")
    assert len(train) == 16
    assert val.numbers.tolist() == [4, 5 + 6]
    assert not set(train.numbers % 6) & set(val.numbers % 6)


def test_holding_out_everything_is_refused(freihand):
    with pytest.raises(ValueError, match=r"--data\.val_fraction"):
        split_training(FreiHANDPart(freihand, "training"), 6)


def test_evaluation_labels_are_found_beside_the_dataset(freihand, tmp_path):
    root, sibling = tmp_path / "FreiHAND_pub_v2", tmp_path / "FreiHAND_pub_v2_eval"
    write_freihand(root, "evaluation", random_labels(3, seed=1), with_labels=False, masks=False)
    assert not find_evaluation(root).labelled
    shutil.copytree(freihand, sibling, ignore=shutil.ignore_patterns("training*", "rgb"))
    assert find_evaluation(root).labelled
    assert FreiHANDScenes(find_evaluation(root)).read(0).image is not None
    elsewhere = shutil.move(sibling, tmp_path / "elsewhere")
    assert not find_evaluation(root).labelled
    assert find_evaluation(root, elsewhere).labelled


def test_predicting_needs_no_labels_and_sees_the_whole_image(tmp_path):
    labels = random_labels(2, seed=1)
    root = write_freihand(tmp_path, "evaluation", labels, with_labels=False, masks=False)
    data = FreiHAND(root, size=SIDE)
    batch = next(iter(data.predict_dataloader()))
    assert not batch["has_mesh"].any()
    assert not batch["joints_valid"].any()
    assert not batch["joints2d_valid"].any()
    np.testing.assert_array_equal(
        batch["image"][1].permute(1, 2, 0).numpy(), FreiHANDScenes(find_evaluation(root)).read(1).image
    )
    torch.testing.assert_close(batch["intrinsics"], torch.from_numpy(labels.intrinsics))
    with pytest.raises(FileNotFoundError, match=r"--data\.eval_root"):
        data.test_dataloader()


def test_one_version_is_enough(tmp_path):
    root = write_freihand(tmp_path, "training", random_labels(4))
    assert len(FreiHANDScenes(FreiHANDPart(root, "training"))) == 4


def test_poses_alone_need_no_photographs(broken):
    seen = FreiHAND(broken, size=32, augment=None).view("val").batch([0, 1, 2])
    (broken / "training_caption.json").write_text(json.dumps([f"hand {number}" for number in range(24)]))
    for part in ("training", "evaluation"):
        shutil.rmtree(broken / part)
    data = FreiHAND(broken, size=32, augment=None, images=False)
    data.prepare_data()
    assert len(data.view("train")) == 6
    assert FreiHANDScenes(data.training).read(5, image=False).caption == "hand 5"
    batch = data.view("val").batch([0, 1, 2])
    assert len(batch["image"]) == 0
    torch.testing.assert_close(batch["joints"], seen["joints"])


def test_left_hands_may_be_marked_in_a_file_of_ours(tmp_path):
    labels = random_labels(3)
    marked = Labels(labels.intrinsics, labels.joints, labels.vertices, labels.mano, np.array([0, 1, 0]))
    root = write_freihand(tmp_path, "training", marked)
    scenes = FreiHANDScenes(FreiHANDPart(root, "training"))
    assert scenes.sides().tolist() == [[True, False], [False, True], [True, False]]
    assert list(scenes.read(2).hands) == [0]


def test_the_reader_pickles_small_for_workers(freihand):
    scenes = FreiHANDScenes(FreiHANDPart(freihand, "training"))
    assert len(scenes.read(0).hands) == 1
    assert len(pickle.dumps(scenes)) < 5000


def test_missing_data_names_file_rule_and_flag(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"training_K\.json is not there.*--data\.root"):
        FreiHAND(tmp_path).prepare_data()
    with pytest.raises(FileNotFoundError, match=r"FreiHAND needs a folder.*--data\.root"):
        FreiHAND().prepare_data()


def test_the_folder_above_is_recognised(freihand):
    with pytest.raises(FileNotFoundError, match=rf"Pass --data\.root {freihand}"):
        FreiHAND(freihand.parent).prepare_data()


def test_version_one_is_refused(tmp_path):
    root = write_freihand(tmp_path / "FreiHAND_pub_v1", "training", random_labels(2))
    with pytest.raises(ValueError, match="FreiHAND v1"):
        FreiHAND(root).prepare_data()


@pytest.mark.parametrize("kind", ["xyz", "verts"])
def test_missing_labels_name_the_file(broken, kind):
    (broken / f"training_{kind}.json").unlink()
    with pytest.raises(FileNotFoundError, match=rf"training_{kind}\.json is not there"):
        FreiHAND(broken).prepare_data()


def test_label_files_of_different_lengths_are_refused(broken):
    path = broken / "training_xyz.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:-1]))
    with pytest.raises(ValueError, match=r"training_xyz\.json has 5 entries where training_K\.json has 6"):
        FreiHAND(broken).prepare_data()


def test_a_truncated_label_file_is_refused(broken):
    path = broken / "training_verts.json"
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(ValueError, match=r"training_verts\.json ends early"):
        FreiHAND(broken).prepare_data()


def test_a_missing_image_is_named_before_training_starts(broken):
    (broken / "training/rgb/00000013.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"23 images.*00000013\.jpg is the first that is missing"):
        FreiHAND(broken).train_dataloader()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_image_is_named_when_it_is_read(broken, workers):
    path = broken / "evaluation/rgb/00000001.jpg"
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(UnreadableFileError) as caught:
        next(iter(FreiHAND(broken, workers=workers).val_dataloader()))
    size = path.stat().st_size
    assert str(caught.value).startswith(f"{path} ({size} bytes) is not a whole JPEG image.")
    assert "\n" not in str(caught.value)


def test_an_image_that_vanishes_during_training_is_named(broken):
    loader = FreiHAND(broken, workers=1, batch_size=24).train_dataloader()
    (broken / "training/rgb/00000013.jpg").unlink()
    with pytest.raises(UnreadableFileError, match=r"^\S+00000013\.jpg is not there"):
        next(iter(loader))


def test_a_missing_image_folder_is_named(broken):
    shutil.rmtree(broken / "training/rgb")
    with pytest.raises(FileNotFoundError, match=r"rgb is not there.*--data\.root"):
        FreiHAND(broken).train_dataloader()


def test_an_interrupted_writer_goes_on_where_it_stopped(tmp_path):
    labels = random_labels(5)

    def shard(samples):
        rows = slice(samples.start, samples.stop)
        some = Labels(labels.intrinsics[rows], labels.joints[rows], labels.vertices[rows])
        return some, [[np.zeros((8, 8, 3), np.uint8)] * len(samples)]

    writer = FreiHANDWriter(tmp_path, "training", 5, shard=2)
    assert writer.missing() == [range(0, 2), range(2, 4), range(4, 5)]
    writer.write(range(2, 4), *shard(range(2, 4)))
    with pytest.raises(ValueError, match="2 shards"):
        writer.finish()
    again = FreiHANDWriter(tmp_path, "training", 5, shard=2)
    assert again.missing() == [range(0, 2), range(4, 5)]
    for samples in again.missing():
        again.write(samples, *shard(samples))
    again.finish()
    assert not again.missing()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "training",
        "training_K.json",
        "training_scale.json",
        "training_verts.json",
        "training_xyz.json",
    ]
    np.testing.assert_allclose(FreiHANDPart(tmp_path, "training").arrays["xyz"].array, labels.joints, atol=1e-6)


def test_tips_are_found_in_the_labels(tmp_path):
    labels, tips = random_labels(4), (744, 320, 443, 555, 672)
    labels.joints[:, 4::4] = labels.vertices[:, tips]
    assert FreiHAND(write_freihand(tmp_path / "a", "training", labels)).tips == tips
    assert FreiHAND(write_freihand(tmp_path / "b", "training", random_labels(4))).tips is None


def test_scoring_needs_no_training_part(freihand, tmp_path):
    root = write_freihand(tmp_path, "evaluation", random_labels(3, seed=1), masks=False)
    data = FreiHAND(root, size=32)
    data.prepare_data()
    assert len(data.view("test")) == 3
    with pytest.raises(FileNotFoundError, match=r"training_K\.json is not there"):
        data.train_dataloader()


def test_pictures_that_are_jpeg_already_are_written_as_they_are(tmp_path):
    content = simplejpeg.encode_jpeg(np.full((16, 16, 3), 90, np.uint8), 50)
    labels = Labels(np.ones((1, 3, 3), np.float32), np.ones((1, 21, 3), np.float32), np.ones((1, 778, 3), np.float32))
    writer = FreiHANDWriter(tmp_path, "training", 1)
    writer.write(range(1), labels, [[content]])
    writer.finish()
    assert (tmp_path / "training/rgb/00000000.jpg").read_bytes() == content
