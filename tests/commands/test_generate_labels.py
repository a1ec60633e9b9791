"""Made pictures show the hands that their labels name, and no others."""

import json
from dataclasses import replace

import numpy as np
import pytest

from datamodules.attentionhand.writer import AttentionHandWriter
from datamodules.scene import Scene, SceneHand
from zoo.__main__ import main
from zoo.commands.factory.gate import Gate
from zoo.commands.factory.poses import DatasetPoses, OpenHandPoses, Poses
from zoo.commands.factory.prompts import Lines
from zoo.commands.factory.shard import ShardMaker
from zoo.commands.painting.painter import Settings, load_painter
from zoo.commands.painting.scenes import Posed
from zoo.hands.skeleton import LEFT, RIGHT

COMMON = ("-n", "3", "--shard", "2", "--batch", "2", "--steps", "1", "--tas", "off", "--device", "cpu")


def words(weights, out, *more):
    return ["generate", "--ckpt", str(weights), "--out", str(out), *COMMON, *map(str, more)]


def rows(root):
    return [json.loads(line) for line in (root / "rows.jsonl").read_text().splitlines()]


def unlabelled(root, text="A hand."):
    """A dataset whose pictures of meshes come without labels."""
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[8:24, 8:24] = 255
    writer = AttentionHandWriter(root / "data", 4)
    scene = Scene(0, (32, 32), np.eye(3, dtype=np.float32), image=picture, mesh_image=picture, caption=text)
    for part in writer.missing():
        writer.write(part, [scene] * len(part))
    writer.finish()
    return root


def test_freihand_s_layout_takes_no_time_for_what_it_cannot_hold(painter_weights, tmp_path, capsys):
    more = ("--poses", "attentionhand", "--root", unlabelled(tmp_path / "data"))
    out = tmp_path / "freihand"
    for said in ("", "is whole already"):  # once more says and judges the same
        assert main(words(painter_weights, out, *more, "--layout", "freihand")) == 1
        told = capsys.readouterr()
        assert said in told.out
        assert f"0 pictures in {out}, 3 skipped" in told.out
        assert "3: it is not one hand with a mesh" in told.err
    assert {row["reason"] for row in rows(out)} == {"it is not one hand with a mesh"}
    assert (out / "data").is_dir()
    assert main(words(painter_weights, tmp_path / "both", *more, "--layout", "both")) == 0
    assert "3 pictures in" in (said := capsys.readouterr().out)
    assert "0 of them in FreiHAND's layout" in said


def test_a_set_goes_on_with_its_dataset_wherever_it_lies_and_with_no_other(painter_weights, tmp_path, capsys):
    def again(name, text="A hand."):
        more = ("--poses", "attentionhand", "--root", unlabelled(tmp_path / name, text))
        return main(words(painter_weights, tmp_path / "o", *more))

    assert again("data") == 0
    assert again("moved") == 0
    assert "is whole already" in capsys.readouterr().out
    assert again("other", "A fist.") == 2
    assert "are made with a --root of other content" in capsys.readouterr().err


def test_prompts_that_are_not_read_to_their_end_are_counted(painter_weights, tmp_path, capsys):
    (tmp_path / "prompts.txt").write_text("a hand" + " on a table" * 40)
    assert main(words(painter_weights, tmp_path / "o", "--prompts", tmp_path / "prompts.txt")) == 0
    assert "  3 prompts are longer than CLIP reads; rows.jsonl has the ends" in capsys.readouterr().err
    assert all(row["cut"].endswith("table") for row in rows(tmp_path / "o"))


class Given(Poses):
    """The same scene for every index."""

    def __init__(self, posed):
        self.posed, self.models = posed, posed.models

    def draw(self, index):
        return self.posed


@pytest.fixture(scope="module")
def draft(painter_weights, tmp_path_factory):
    """What is asked for where hands are these."""
    painter = load_painter(str(painter_weights), Settings(steps=1), device="cpu")
    root = tmp_path_factory.mktemp("drafts")

    def of(posed):
        writer = AttentionHandWriter(root / "data", 1)
        maker = ShardMaker(root, painter, Given(posed), Lines(0, ["{hand}"]), Gate(), writer, seed=0, batch=1)
        return maker._draft(0)

    return of


def test_a_hand_that_is_not_drawn_is_neither_labelled_nor_spoken_of(draft):
    posed = OpenHandPoses(seed=2, size=32, left=0.0).draw(0)
    right = posed.scene.hands[RIGHT]
    left = SceneHand(LEFT, joints=right.joints, joints2d=np.zeros((21, 2), np.float32))
    made = draft(posed._replace(scene=replace(posed.scene, hands={LEFT: left, RIGHT: right})))
    assert list(made.scene.hands) == [RIGHT]
    assert made.record["sides"] == ["right"]
    assert "left" not in made.record["prompt"]


def test_joints_that_are_not_all_known_make_no_gesture(draft):
    joints = OpenHandPoses(seed=2, size=32, left=0.0).draw(0).scene.hands[RIGHT].joints
    joints = np.where(np.arange(21)[:, None] % 2, joints, 0).astype(np.float32)
    picture = np.full((32, 32, 3), 255, np.uint8)
    for valid, said in ((joints[:, 2] > 0, True), (np.ones(21, bool), False)):
        hand = SceneHand(RIGHT, joints=joints, joints_valid=valid)
        made = draft(Posed(Scene(0, (32, 32), np.eye(3, dtype=np.float32), {RIGHT: hand}, mesh_image=picture)))
        assert (made.record["prompt"] == "a right hand") == said


def test_a_scene_that_cannot_be_read_is_skipped_and_its_reason_names_no_file(tmp_path):
    poses = DatasetPoses("attentionhand", unlabelled(tmp_path), None, seed=0)
    assert isinstance(poses.draw(0), Posed)
    for path in (tmp_path / "data" / "mesh").iterdir():
        path.write_bytes(b"")
    assert {poses.draw(index) for index in range(3)} == {"its scene cannot be read (UnreadableFileError)"}
