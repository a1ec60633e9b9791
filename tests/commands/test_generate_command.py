import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.attentionhand.data import AttentionHandData
from datamodules.freihand.data import FreiHAND
from datamodules.hand_models import pose_hands
from datamodules.mesh_boxes import BRIGHT
from zoo.__main__ import main
from zoo.hands.camera import project
from zoo.hands.meshfile import write_atomically
from zoo.metrics.segmenter import HandSegmenter

COUNT = 7
COMMON = ("-n", str(COUNT), "--shard", "3", "--batch", "2", "--steps", "1", "--tas", "off", "--device", "cpu")


def words(weights, out, *more):
    return ["generate", "--ckpt", str(weights), "--out", str(out), *COMMON, *more]


@pytest.fixture(scope="session")
def whole(painter_weights, tmp_path_factory):
    """A set made without a break, in both layouts."""
    out = tmp_path_factory.mktemp("whole") / "set"
    assert main(words(painter_weights, out, "--layout", "both")) == 0
    return out


def files(root):
    """Everything but the manifest, which tells times."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def rows(root):
    return [json.loads(line) for line in (root / "rows.jsonl").read_text().splitlines()]


def test_a_set_passes_the_checks_of_both_layouts(whole, capsys):
    for name in ("attentionhand", "freihand"):
        assert main(["data", "check", name, "--root", str(whole)]) == 0
        assert "usable" in capsys.readouterr().out
    said = json.loads((whole / "manifest.json").read_text())
    assert (said["status"], said["asked"], said["made"], said["rejected"]) == ("done", COUNT, COUNT, 0)
    assert len(said["checkpoint"]["sha256"]) == len(said["base"]["hash"]) == 64
    assert not list(whole.rglob(".*"))  # nothing that only an unfinished set needs


def test_a_set_does_not_say_where_it_was_made_and_knows_its_files_by_content(
    painter_weights, tmp_path, monkeypatch, capsys
):
    for folder, text in (("a", "a {hand}"), ("b", "a {hand}"), ("c", "the {hand}")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "prompts.txt").write_text(text)
    argv = {
        name: words(painter_weights, tmp_path / "o", f"--prompts={tmp_path / name / 'prompts.txt'}") for name in "abc"
    }
    monkeypatch.setattr(sys, "argv", ["zoo", *argv["a"]])
    assert main(argv["a"]) == 0
    text = (tmp_path / "o" / "manifest.json").read_text()
    assert str(tmp_path) not in text
    assert str(painter_weights.parents[1]) not in text
    said = json.loads(text)
    assert said["checkpoint"]["name"] == said["base"]["name"] == "weights"
    assert (said["options"]["prompts"], len(said["files"]["prompts"])) == ("prompts.txt", 64)
    assert said["command"][3:8] == ["generate", "--ckpt", "weights", "--out", "o"]
    assert said["command"][-1] == "--prompts=prompts.txt"
    capsys.readouterr()
    assert main(argv["b"]) == 0
    assert "whole already" in capsys.readouterr().out
    assert main(argv["c"]) == 2
    assert "are made with a --prompts of other content. Give the same" in capsys.readouterr().err


def test_labels_mask_and_mesh_picture_speak_of_one_hand(whole):
    data = FreiHAND(whole, rows="scenes", val_fraction=0.2)
    scenes = data.scenes("train")
    folder = AttentionHandData(whole, val_fraction=0.2)
    read = folder.scenes("predict")
    named = {scene.name: scene for scene in map(read.read, range(len(read)))}
    assert len(named) == COUNT
    for i in range(len(scenes)):
        read = scenes.read(i, mask=True)
        [hand] = read.hands.values()
        pixels = project(torch.from_numpy(hand.vertices), torch.from_numpy(read.intrinsics)).numpy()
        inside = pixels[((pixels > 1) & (pixels < 30)).all(1)].round().astype(int)
        near = cv2.dilate(read.mask.astype(np.uint8), np.ones((3, 3), np.uint8))  # vertices on the outline round off
        assert near[inside[:, 1], inside[:, 0]].mean() > 0.97
        other = named[f"{i:09d}"]
        [labelled] = other.hands.values()
        assert labelled.side == hand.side
        assert other.caption == read.caption
        np.testing.assert_allclose(labelled.joints, hand.joints, atol=1e-6)
        made = pose_hands(folder.models, [labelled.side], [labelled.pose])[0][0].numpy()
        np.testing.assert_allclose(made, hand.vertices, atol=2e-6)
        np.testing.assert_array_equal(other.image, read.image)
        silhouette = other.mesh_image.max(-1) > BRIGHT
        assert (silhouette == read.mask).mean() > 0.97  # both are JPEG
        with Image.open(whole / "data" / "mask" / f"{i:09d}.png") as mask:
            assert (np.array(mask) == read.mask).mean() > 0.98


def test_every_row_says_what_it_was_made_of(whole):
    found = rows(whole)
    assert [row["index"] for row in found] == list(range(COUNT))
    assert len({row["seed"] for row in found}) == COUNT
    for row in found:
        assert (whole / "data" / "text" / f"{row['name']}.txt").read_text() == row["prompt"]
        left, top, right, bottom = row["box"]
        assert 0 <= left < right <= 32
        assert 0 <= top < bottom <= 32
        assert row["sides"][0] in row["prompt"]


def test_parts_make_the_set_that_one_process_makes(painter_weights, whole, tmp_path, capsys):
    out = tmp_path / "parts"
    assert main(words(painter_weights, out, "--layout", "both", "--part", "2/2")) == 0
    assert "Part 2 of 2 is whole" in capsys.readouterr().out
    assert not (out / "rows.jsonl").exists()
    assert main(words(painter_weights, out, "--layout", "both", "--part", "1/2")) == 0
    assert files(out) == files(whole)
    assert main(words(painter_weights, out, "--layout", "both")) == 0
    assert "whole already" in capsys.readouterr().out


KILLED = """
import os, signal, sys
from zoo.commands.painting.painter import Painter
from zoo.__main__ import main
calls, paint = [], Painter.__call__
def mortal(self, *rest):
    calls.append(1)
    if len(calls) == 4:  # in the middle of the second shard
        os.kill(os.getpid(), signal.SIGKILL)
    return paint(self, *rest)
Painter.__call__ = mortal
main(sys.argv[1:])
"""


def test_a_killed_run_goes_on_to_the_set_of_an_uninterrupted_one(painter_weights, whole, tmp_path):
    out = tmp_path / "killed"
    argv = words(painter_weights, out, "--layout", "both")
    done = subprocess.run([sys.executable, "-c", KILLED, *argv], cwd=Path(__file__).parents[2], check=False, env=path())
    assert done.returncode == -signal.SIGKILL
    assert [file.name for file in (out / ".shards").glob("*.npz")] == ["000000000.npz"]
    (out / "data" / "rgb" / ".000000003.jpg.1.tmp").touch()  # half a file
    assert main(argv) == 0
    assert files(out) == files(whole)


def path():
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def test_a_stop_says_how_to_go_on(painter_weights, whole, tmp_path, monkeypatch, capsys):
    from zoo.commands.painting.painter import Painter
    from zoo.commands.tasks.stream import Stopped

    def stop(self, *rest):
        raise Stopped(2)

    argv = words(painter_weights, tmp_path / "o", "--layout", "both")
    with monkeypatch.context() as patch:
        patch.setattr(Painter, "__call__", stop)
        assert main(argv) == 130
    assert "the same command goes on from there" in capsys.readouterr().err
    assert main(argv) == 0
    assert files(tmp_path / "o") == files(whole)


def test_a_full_disk_is_told_and_the_set_goes_on(painter_weights, whole, tmp_path, monkeypatch, capsys):
    import errno

    from zoo.commands.factory import shard

    def full(path, content):
        if path.name == "000000004.png":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write_atomically(path, content)

    argv = words(painter_weights, tmp_path / "o", "--layout", "both")
    with monkeypatch.context() as patch:
        patch.setattr(shard, "write_atomically", full)
        assert main(argv) == 1
    assert "No space is left for" in (said := capsys.readouterr().err)
    assert "the same command goes on" in said
    assert main(argv) == 0
    assert files(tmp_path / "o") == files(whole)


def test_refused_pictures_leave_their_index_out_and_nothing_else(painter_weights, whole, tmp_path, capsys):
    torch.manual_seed(0)
    HandSegmenter((4, 4), side=32).save(tmp_path / "segmenter.safetensors")
    gated = ("--segmenter", str(tmp_path / "segmenter.safetensors"), "--layout", "both")
    assert main(words(painter_weights, tmp_path / "all", *gated)) == 0
    scores = {row["name"]: row["mask_iou"] for row in rows(tmp_path / "all")}
    least = sorted(scores.values())[COUNT // 2]
    assert main(words(painter_weights, tmp_path / "some", *gated, "--least_iou", str(least))) == 0
    kept = [name for name, score in scores.items() if score >= least]
    assert 0 < len(kept) < COUNT
    said = json.loads((tmp_path / "some" / "manifest.json").read_text())
    assert (said["made"], said["rejected"]) == (len(kept), COUNT - len(kept))
    assert said["rejection_rate"] == round(1 - len(kept) / COUNT, 4)
    assert [row["name"] for row in rows(tmp_path / "some") if row["status"] == "made"] == kept
    some, every = files(tmp_path / "some"), files(whole)
    assert sorted(name for name in some if "data/rgb/" in name) == [f"data/rgb/{name}.jpg" for name in kept]
    for number, name in enumerate(kept):
        assert some[f"data/rgb/{name}.jpg"] == every[f"data/rgb/{name}.jpg"]
        assert some[f"training/rgb/{number:08d}.jpg"] == every[f"data/rgb/{name}.jpg"]
    for name in ("attentionhand", "freihand"):
        assert main(["data", "check", name, "--root", str(tmp_path / "some")]) == 0
    assert main(words(painter_weights, tmp_path / "none", *gated, "--least_iou", "1")) == 1
    said = capsys.readouterr().out
    assert f"0 pictures in {tmp_path / 'none'}, 0 of them in FreiHAND's layout, {COUNT} refused (100.0 %)" in said


@pytest.mark.parametrize("name", ["attentionhand", "freihand"])
def test_poses_may_be_those_of_a_dataset(painter_weights, whole, tmp_path, name):
    out = tmp_path / "o"
    more = ("--poses", name, "--root", str(whole), "--prompts", "{hand} in a garden", "--layout", "freihand")
    assert main(words(painter_weights, out, *more)) == 0
    assert not (out / "data").exists()
    scenes = FreiHAND(out, val_fraction=0.2).scenes("train")
    known = {tuple(row["sides"]) for row in rows(whole)}
    for i in range(len(scenes)):
        assert scenes.read(i).caption.endswith(" in a garden")
    assert {tuple(row["sides"]) for row in rows(out)} <= known
    assert len({tuple(row["box"]) for row in rows(out)}) > 2


def test_one_layout_is_written_where_one_is_asked_for(painter_weights, tmp_path):
    assert main(words(painter_weights, tmp_path / "o", "--left", "0")) == 0
    assert not (tmp_path / "o" / "training").exists()
    assert {row["sides"][0] for row in rows(tmp_path / "o")} == {"right"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--seed", "1", "--layout", "both"), "are made with --seed 0, not 1"),
        (("--layout", "both", "--scale", "2"), "are made with scale 9.0, not 2.0"),
        (("--part", "3/2"), "--part 3/2 is no part. Give I/K"),
        (("--poses", "coco"), "For a dataset give its folder with --root"),
        (("--most_percent", "5"), "--most_percent needs --estimator"),
        (("--left", "2"), "--left 2.0 is no share"),
        (("--prompts", "a {thing}"), "has {thing}; what can be filled in is {hand}"),
        (("--eta", "1", "--sampler", "ddpm"), "--eta is DDIM's"),
    ],
)
def test_wrong_words_are_answered_in_a_sentence(painter_weights, whole, more, said, capsys):
    assert main(words(painter_weights, whole, *more)) in (1, 2)
    assert said in capsys.readouterr().err


def test_a_folder_of_something_else_is_not_touched(painter_weights, tmp_path, capsys):
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "mine.txt").write_text("mine")
    assert main(words(painter_weights, tmp_path / "o")) == 1
    assert "is not empty" in capsys.readouterr().err
    assert (tmp_path / "o" / "mine.txt").read_text() == "mine"


def test_the_base_alone_has_no_labels_to_give(base_weights, tmp_path, capsys):
    assert main(["generate", "--ckpt", str(base_weights), "--out", str(tmp_path / "o"), "--device", "cpu"]) == 2
    assert "looks at no meshes" in capsys.readouterr().err
