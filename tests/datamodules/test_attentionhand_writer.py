import json

import numpy as np
import pytest
from tiny_attentionhand import rewrite, scene, write

from datamodules.attentionhand.data import AttentionHandData
from datamodules.attentionhand.writer import AttentionHandWriter
from datamodules.check import check
from datamodules.scene import ManoPose, Scene, SceneHand


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


def test_a_row_that_is_left_out_leaves_nothing_behind(tmp_path):
    writer = AttentionHandWriter(tmp_path / "data", 3, shard=3)
    writer.write(range(3), [scene(0), None, scene(2)])
    writer.finish()
    scenes = AttentionHandData(tmp_path).scenes("predict")
    assert [scenes.read(i).name for i in range(len(scenes))] == [f"{0:012d}", f"{2:012d}"]
    assert len(list((tmp_path / "data").glob("*/*1.*"))) == 0
