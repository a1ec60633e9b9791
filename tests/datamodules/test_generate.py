import errno
import json
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.freihand.data import FreiHANDScenes
from datamodules.freihand.files import FreiHANDPart
from datamodules.hand_view import HandView
from datamodules.openhand import generate as module
from datamodules.openhand import maker
from datamodules.openhand.generate import RECORD, damaged, generate, sizes
from datamodules.openhand.maker import Maker, Recipe, Shard
from datamodules.synth import synth
from datamodules.twins import whole_folder
from zoo.hands.openhand import OpenHand
from zoo.hands.render import render
from zoo.hands.rotations import axis_angle_to_matrix
from zoo.hands.skeleton import LEFT

RECIPE = Recipe(samples=4, eval_samples=2, size=64, left=0.5)


def make(root: Path, recipe: Recipe = RECIPE) -> Path:
    return generate(recipe, root, backend="torch", progress=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset; only read it."""
    return make(tmp_path_factory.mktemp("openhand") / "whole")


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


@pytest.fixture
def shards_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maker, "SHARD", 1)


def contents(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in sizes(root)}


def test_it_has_freihands_files(whole):
    names = sizes(whole)
    assert sum(name.startswith("training/rgb/") for name in names) == 4 * 4
    assert sum(name.startswith("training/mask/") for name in names) == 4
    assert sum(name.startswith("evaluation/rgb/") for name in names) == 2
    labels = {
        f"{part}_{kind}.json"
        for part in ("training", "evaluation")
        for kind in ("K", "scale", "xyz", "verts", "mano", "side")
    }
    assert labels == {name for name in names if name.endswith(".json")}
    assert np.array(json.loads((whole / "training_mano.json").read_text())).shape == (4, 1, 61)


def test_the_same_recipe_gives_the_same_bytes(whole, tmp_path):
    assert contents(make(tmp_path / "again")) == contents(whole)


def test_another_seed_gives_other_hands(whole, tmp_path):
    other = make(tmp_path / "other", Recipe(samples=1, eval_samples=1, size=64, seed=1))
    ours, theirs = (FreiHANDScenes(FreiHANDPart(root, "training")).read(0) for root in (whole, other))
    assert not np.array_equal(ours.image, theirs.image)


def test_training_and_evaluation_share_no_hand(whole):
    training, evaluation = (
        np.array(json.loads((whole / f"{part}_mano.json").read_text()))[:, 0, 3:48]
        for part in ("training", "evaluation")
    )
    assert np.abs(training[:, None] - evaluation[None]).max(-1).min() > 1e-3


def test_a_finished_dataset_is_left_alone(copy, monkeypatch):
    monkeypatch.setattr(Maker, "__init__", None)
    assert make(copy) == copy


@pytest.mark.usefixtures("shards_of_one")
def test_an_interrupted_dataset_is_finished_not_begun_again(tmp_path, monkeypatch):
    made, really = [], Maker.make

    def interrupted(self: Maker, shard: Shard) -> None:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(shard)
        really(self, shard)

    with monkeypatch.context() as patched:
        patched.setattr(Maker, "make", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "a")
    assert not damaged(tmp_path / "a", {})
    monkeypatch.setattr(Maker, "make", lambda self, shard: (made.append(shard), really(self, shard))[1])
    make(tmp_path / "a")
    assert len(made) == len(set(made)) == 4 + 2
    assert contents(tmp_path / "a") == contents(make(tmp_path / "b"))


@pytest.mark.parametrize(
    "name", ["training/rgb/00000005.jpg", "evaluation/rgb/00000001.jpg", "training/mask/00000002.jpg"]
)
def test_a_cut_or_missing_picture_is_drawn_again(copy, whole, name, caplog):
    (copy / name).write_bytes((copy / name).read_bytes()[:40])
    make(copy)
    assert "1 files are missing or damaged" in caplog.text
    (copy / name).unlink()
    make(copy)
    assert contents(copy) == contents(whole)


def test_damaged_labels_are_written_again_without_drawing(copy, whole, monkeypatch):
    monkeypatch.setattr(maker, "sitting", None)
    (copy / "training_verts.json").write_text("[[")
    make(copy)
    assert contents(copy) == contents(whole)


def test_a_damaged_record_is_no_reason_to_stop(copy, whole):
    (copy / RECORD).write_text("{")
    make(copy)
    assert contents(copy) == contents(whole)
    assert json.loads((copy / RECORD).read_text())["files"] == sizes(whole)


def test_another_recipe_in_the_same_folder_is_refused_untouched(copy, whole):
    with pytest.raises(FileExistsError, match=r"other options \(seed\).*--data\.root"):
        make(copy, Recipe(samples=4, eval_samples=2, size=64, left=0.5, seed=9))
    assert contents(copy) == contents(whole)


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds thesis\.txt"):
        make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(FileExistsError, match=r"thesis\.txt is a file"):
        make(tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_the_twin_of_another_dataset_is_not_mixed_with(tmp_path):
    with whole_folder(tmp_path, "coco"):
        pass
    with pytest.raises(FileExistsError, match="holds a synthetic coco"):
        make(tmp_path)
    assert not (tmp_path / "training").exists()


def test_too_little_space_is_said_before_anything_is_drawn(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage(9, 9, 1000))
    with pytest.raises(OSError, match=r"MB are needed and 0 MB are free.*--data\.samples") as caught:
        make(tmp_path / "a")
    assert caught.value.errno == errno.ENOSPC
    assert not (tmp_path / "a" / "training").exists()


@pytest.mark.usefixtures("shards_of_one")
def test_a_disk_that_fills_up_keeps_what_is_made(tmp_path, monkeypatch):
    made, really = [], Maker.make

    def fill_up(self: Maker, shard: Shard) -> None:
        if len(made) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        made.append(shard)
        really(self, shard)

    monkeypatch.setattr(Maker, "make", fill_up)
    with pytest.raises(OSError, match="What is made is kept") as caught:
        make(tmp_path / "a")
    assert caught.value.errno == errno.ENOSPC
    assert len(list((tmp_path / "a" / "training" / "rgb").glob("*.jpg"))) == 2 * 4


def test_a_recipe_without_hands_is_refused():
    with pytest.raises(ValueError, match="samples=0"):
        Recipe(samples=0, eval_samples=1)


def test_places_in_the_cache_differ_by_recipe():
    assert Recipe(4, 2).default_root() != Recipe(4, 2, seed=1).default_root()
    assert Recipe(4, 2).default_root() == Recipe(4, 2).default_root()


def test_the_mesh_lands_on_the_mask(whole):
    scenes = FreiHANDScenes(FreiHANDPart(whole, "training"))
    inside = []
    for i in range(4):
        scene = scenes.read(i, mask=True)
        (side, hand), model = next(iter(scene.hands.items())), OpenHand
        mesh = torch.from_numpy(hand.vertices)[None]
        faces = model(side="left" if side == LEFT else "right").faces
        drawn = (
            render(mesh, faces, torch.from_numpy(scene.intrinsics)[None], scene.size, backend="torch").mask[0].numpy()
        )
        inside.append((scene.mask & drawn).sum() / scene.mask.sum())
        assert (scene.mask & drawn).sum() / drawn.sum() > 0.3  # a thing and the arm hide some of it
    assert min(inside) > 0.93  # JPEG moves the outline of a 64-pixel mask


def test_joints_of_left_hands_are_on_left_hands(whole):
    sides = json.loads((whole / "training_side.json").read_text())
    assert set(sides) == {0, 1}
    verts = np.array(json.loads((whole / "training_verts.json").read_text()), np.float32)
    xyz = np.array(json.loads((whole / "training_xyz.json").read_text()), np.float32)
    mano = torch.tensor(json.loads((whole / "training_mano.json").read_text()))[:, 0]
    for i, side in enumerate(sides):
        hand = OpenHand(side="left" if side == LEFT else "right")
        pose = mano[i : i + 1, :48].clone()
        pose[:, 3:] += hand.hands_mean
        made = hand(axis_angle_to_matrix(pose.view(1, 16, 3)), mano[i : i + 1, 48:58], torch.zeros(1, 3)).vertices[0]
        offset = torch.from_numpy(verts[i]) - made
        torch.testing.assert_close(offset, offset[:1].expand(778, 3), atol=2e-5, rtol=0)
        torch.testing.assert_close(
            hand.regress(torch.from_numpy(verts[i])), torch.from_numpy(xyz[i]), atol=1e-6, rtol=0
        )


def test_the_hand_view_makes_right_hands_of_all(whole):
    batch = HandView(FreiHANDScenes(FreiHANDPart(whole, "training")), 48, 1.5).batch(range(4))
    right = OpenHand()
    torch.testing.assert_close(right.regress(batch["vertices"]), batch["joints"], atol=2e-6, rtol=0)
    flat = right(torch.eye(3).expand(1, 16, 3, 3), torch.zeros(1, 10), torch.zeros(1, 3)).vertices
    palm = (right.parts == 0).nonzero()[:60, 0]
    for vertices in batch["vertices"]:
        a, b = (x[palm] - x[palm].mean(0) for x in (flat[0], vertices))
        assert torch.linalg.det(a.T @ b) > 0  # a turn, not a mirror, joins the palms
    assert len(batch["image"]) == 4


def test_synth_names_the_layouts_it_knows(tmp_path):
    with pytest.raises(ValueError, match=r"data synth freehand.* Known: .*freihand"):
        synth("freehand", tmp_path, 2)


def test_synth_writes_right_hands_that_the_reader_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "Recipe", lambda n, m, seed: Recipe(n, m, seed, size=64))
    root = synth("freihand", tmp_path / "out", 2)
    part = FreiHANDPart(root, "training")
    assert (part.samples, part.versions) == (2, 4)
    assert FreiHANDPart(root, "evaluation").samples == 1
    assert not (root / "training_side.json").exists()
