"""What `test` and `predict` hand in of both hands: InterHand2.6M's predictions and COCO-WholeBody's results."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from oracle import Oracle, hand_in

from datamodules.coco import evaluate as coco_evaluate
from datamodules.coco.data import COCO
from datamodules.interhand.data import InterHand
from datamodules.interhand.evaluate import PROTOCOLS, evaluate
from datamodules.interhand.prediction_writer import PredictionWriter, header
from datamodules.interhand.predictions import read_predictions
from datamodules.interhand.truth import truth
from zoo.hands.camera import denormalize_pixels
from zoo.hands.skeleton import LEFT, RIGHT

sys.path.insert(0, str(Path(__file__).parents[1] / "datamodules"))
import tiny_coco
import tiny_interhand

N = 24  # images: three of each kind of frame
GIVEN = ("image", "skeleton2d", "skeleton3d")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """An InterHand2.6M whose test part is its twin's training part, which has every kind of frame."""
    return tiny_interhand.as_test(
        tiny_interhand.twin(tmp_path_factory.mktemp("data") / "InterHand2.6M"), tmp_path_factory.mktemp("test")
    )


@pytest.fixture(scope="module")
def labels(root):
    return truth(root, "test")


def run(root, out, model, verb="test", options=None, **limits):
    data = InterHand(root, size=64, batch_size=5, cache=root.parent / "cache", **(options or {}))
    hand_in(data, out, model, verb, **limits)
    return out / "official" / "predictions"


@pytest.fixture(scope="module")
def perfect(root, tmp_path_factory):
    return run(root, tmp_path_factory.mktemp("run"), Oracle())


def scores(out):
    return {
        name.removeprefix("official/"): value for name, value in json.loads((out / "metrics.json").read_text()).items()
    }


def test_both_hands_of_an_annotation_are_together_and_where_they_were(perfect, labels):
    found = read_predictions(perfect)
    at = found.rows(labels.annotation_ids, "it")
    there = np.asarray(found.vertices).any((2, 3))[at]
    assert {tuple(row) for row in there.tolist()} == {(True, True), (True, False), (False, True)}
    meshes, has = labels.vertices(slice(None))[:, ::-1], labels.has_mesh(slice(None))[:, ::-1]
    both = there & has
    assert both.sum(0).min() > 3
    np.testing.assert_allclose(np.asarray(found.vertices)[at][both], meshes[both], atol=0.05)  # a twentieth of a mm


def test_right_hands_come_first_and_tips_first(perfect, labels):
    found = read_predictions(perfect)
    at = found.rows(labels.annotation_ids, "it")
    for side, start in ((RIGHT, 0), (LEFT, 21)):
        own = slice(start, start + 21)
        known = labels.frame_valid(slice(None))[:, own] & np.asarray(found.joints).any(2)[at][:, own]
        off = np.linalg.norm(np.asarray(found.joints)[at][:, own] - labels.joints(slice(None))[:, own], axis=-1)
        assert known.sum() > 100, side
        assert off[known].max() < 0.1, side


def test_true_hands_score_nothing_by_all_protocols(root, tmp_path, capsys):
    run(root, tmp_path, Oracle(), options={"min_joints": 1})
    found = scores(tmp_path)
    assert {name.partition("/")[0] for name in found} >= set(PROTOCOLS)
    assert found["internet/mpjpe_all_mm"] < 0.1
    assert found["internet/mrrpe_mm"] < 0.1
    assert found["intaghand/mpvpe_mean_mm"] < 0.1
    said = capsys.readouterr().out
    assert "InterHand2.6M test, hands from skeleton2d: 24 annotations" in said
    assert max(map(len, said.splitlines())) < 400


def test_evaluate_gives_the_same_scores_to_the_file(root, perfect):
    found = scores(perfect.parents[1])
    for protocol in PROTOCOLS:
        own = evaluate(perfect, root, protocol=protocol, cache=root.parent / "cache", force=True).scores
        assert own == pytest.approx(
            {name.partition("/")[2]: value for name, value in found.items() if name.startswith(f"{protocol}/")}
        )


def test_a_wrong_hand_scores_what_it_is_off(root, tmp_path):
    run(root, tmp_path / "small", Oracle(size=0.9))
    run(root, tmp_path / "tiny", Oracle(size=0.5))
    small, tiny = scores(tmp_path / "small"), scores(tmp_path / "tiny")
    for name in ("internet/mpjpe_single_mm", "interwild/mpvpe_single_mm"):
        assert 2 < small[name] < tiny[name]


def test_from_the_image_alone_the_box_says_where_the_hand_is(root, labels, perfect, tmp_path):
    near, exact = read_predictions(run(root, tmp_path, Oracle(GIVEN))), read_predictions(perfect)
    there = np.asarray(exact.vertices).any((2, 3))
    off = np.linalg.norm((near.vertices - exact.vertices)[there], axis=-1).mean(-1)
    assert np.median(off) < 5  # millimetres; a crop goes around what is seen of a hand
    np.testing.assert_allclose(*(hands.joints[:, :21] - hands.joints[:, 20:21] for hands in (near, exact)), atol=0.1)


def test_a_part_is_written_scored_and_called_so(root, tmp_path, capsys):
    place = run(root, tmp_path, Oracle(), limit_test_batches=1)
    found = read_predictions(place)
    assert 0 < len(found.ids) < 5 + 1
    said = capsys.readouterr().out
    assert f"a part, {len(found.ids)} of 24 annotations" in said
    assert f"a part of the annotations: {len(found.ids)} annotations" in said
    assert not list(place.parent.glob(".*"))


def test_options_leave_annotations_out_and_say_so(root, labels, tmp_path, capsys):
    place = run(root, tmp_path, Oracle(), options={"hands": "single"})
    single = labels.annotation_ids[labels.hand_type != "interacting"]
    assert sorted(read_predictions(place).ids) == sorted(single)
    said = capsys.readouterr().out
    assert f"leave {24 - len(single)} of the part's 24 annotations out" in said
    assert "no scores by intaghand" in said


def test_an_annotation_that_a_subset_names_twice_is_written_once(root, labels, tmp_path):
    some = labels.annotation_ids[:4].tolist()
    (tmp_path / "ids.txt").write_text("\n".join(map(str, [*some, *some])))
    place = run(root, tmp_path, Oracle(), options={"subsets": {"test": str(tmp_path / "ids.txt")}})
    assert sorted(read_predictions(place).ids) == some


def test_predict_writes_it_too(root, perfect, tmp_path):
    found = read_predictions(run(root, tmp_path, Oracle(), verb="predict"))
    np.testing.assert_allclose(found.joints, read_predictions(perfect).joints, atol=0.05)


def test_a_run_that_fails_leaves_no_half_written_predictions(root, tmp_path):
    model = Oracle()
    whole = model.test_step
    model.test_step = lambda batch, batch_idx: whole(batch, batch_idx) if batch_idx < 2 else 1 / 0
    with pytest.raises(ZeroDivisionError):
        run(root, tmp_path, model)
    assert list((tmp_path / "official").iterdir()) == []


def test_hands_that_too_little_is_seen_of_are_counted(root, tmp_path, capsys):
    run(root, tmp_path, Oracle(), options={"min_joints": 21})
    assert "joints in view (--data.min_joints)" in capsys.readouterr().out


def test_without_pictures_intaghands_protocol_cannot_leave_black_ones_out(root, tmp_path, capsys):
    run(root, tmp_path, Oracle(), options={"images": False})
    assert "no scores by intaghand: no pictures were read" in capsys.readouterr().out
    assert "internet/mpjpe_all_mm" in scores(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk")
def test_a_full_disk_says_how_much_is_needed(tmp_path):
    writer = PredictionWriter(tmp_path)
    one = np.zeros((9, 42, 3), np.float32), np.zeros((9, 2, 778, 3), np.float32)
    writer.add(np.arange(9), *one)
    writer.files["vertices"].close()
    with open("/dev/full", "wb", buffering=0) as writer.files["vertices"], pytest.raises(OSError, match="17 GB"):
        writer.add(np.arange(9, 18), *one)
    writer.drop()
    assert not list(tmp_path.iterdir())


class Flat(Oracle):
    """Knows where the joints are in the crop and puts them all one metre away; unlabelled ones amid the others."""

    def hands(self, batch):
        valid, size = batch["joints2d_valid"], 64
        pixels = denormalize_pixels(batch["joints2d"], (size, size))
        pixels = torch.where(valid[..., None], pixels, self.middle(pixels, valid))
        rays = torch.cat((pixels, torch.ones_like(pixels[..., :1])), -1) @ batch["intrinsics"].inverse().mT
        joints = (rays - rays[:, :1]) * self.size
        return {"joints": joints[:, None], "vertices": joints.mean(1)[:, None, None].expand(-1, 1, 778, -1)}

    def middle(self, pixels, valid):
        low = torch.where(valid[..., None], pixels, torch.inf).amin(1, keepdim=True)
        return (low + torch.where(valid[..., None], pixels, -torch.inf).amax(1, keepdim=True)) / 2


def hand(x, y, seed):
    """63 numbers of a hand like no other."""
    rng = np.random.default_rng(seed)
    at = np.array([x, y]) + rng.uniform(0, 60, (21, 2))
    return np.column_stack((at, rng.random(21) < 0.8)).round(2).ravel().tolist()


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    people = [
        tiny_coco.person(1, 5, hand(100, 200, 0), hand(300, 120, 1), bbox=[90.0, 80.0, 300.0, 350.0]),
        tiny_coco.person(2, 5, hand(500, 20, 2), None),
        tiny_coco.person(3, 8, None, hand(20, 300, 3)),
        tiny_coco.person(4, 9, hand(200, 200, 4), hand(400, 300, 5)),
        tiny_coco.person(5, 9, None, None),
    ]
    return tiny_coco.write_coco(tmp_path_factory.mktemp("data"), people, part="val"), people


def run_coco(root, out, model, verb="test", **limits):
    hand_in(COCO(root, size=64, batch_size=2, cache=out / "cache"), out, model, verb, **limits)
    return json.loads((out / "official" / "results.json").read_text())


@pytest.mark.parametrize("verb", ["test", "predict"])
def test_hands_of_a_person_are_one_row_in_pixels_of_the_picture(coco, tmp_path, verb):
    root, people = coco
    rows = run_coco(root, tmp_path, Flat(), verb)
    assert [row["image_id"] for row in rows] == [5, 5, 8, 9]
    for row, person in zip(rows, people, strict=False):
        assert row["bbox"] == pytest.approx(person["bbox"])
        for name in ("lefthand", "righthand"):
            labelled, found = (np.reshape(one[f"{name}_kpts"], (21, 3)) for one in (person, row))
            there = labelled[:, 2] > 0
            np.testing.assert_allclose(found[there, :2], labelled[there, :2], atol=0.05)
            assert row[f"{name}_score"] == found[:, 2].all() == there.any()


@pytest.mark.parametrize("names", [GIVEN[1:], GIVEN])
def test_true_pixels_have_full_precision(coco, tmp_path, capsys, names):
    run_coco(coco[0], tmp_path, Flat(names))
    found = scores(tmp_path)
    for side in ("lefthand", "righthand"):
        assert found[f"{side}_ap"] == pytest.approx(1, abs=1e-6), side
        assert found[f"{side}_ar"] == 1, side
    said = capsys.readouterr().out
    assert f"COCO-WholeBody val, hands from {names[0]}: 6 hands in 3 images" in said


def test_worse_pixels_have_less(coco, tmp_path):
    wrong = Flat()
    known = wrong.hands
    wrong.hands = lambda batch: {name: part.flip(2) for name, part in known(batch).items()}  # other joints
    run_coco(coco[0], tmp_path, wrong)
    assert scores(tmp_path)["lefthand_ap"] < 0.5


def test_images_of_which_a_hand_is_missing_are_neither_written_nor_scored(coco, tmp_path, capsys):
    rows = run_coco(coco[0], tmp_path, Flat(), limit_test_batches=2)
    assert [row["image_id"] for row in rows] == [5, 5, 8]
    said = capsys.readouterr().out
    assert "is a part, 2 of 3 images with hands" in said
    assert "a part of the images: 4 hands in 2 images" in said
    assert scores(tmp_path)["righthand_ar"] == 1  # the third image is no miss


def test_evaluate_reads_the_results(coco, tmp_path):
    run_coco(coco[0], tmp_path, Flat())
    found = coco_evaluate.evaluate(coco[0], tmp_path / "official" / "results.json")
    assert found == pytest.approx(scores(tmp_path))


def test_hands_are_left_and_right_as_they_were(perfect, labels):
    """Were a left hand not mirrored back, its thumb would be on the other side."""
    found = read_predictions(perfect)
    at = found.rows(labels.annotation_ids, "it")
    has = labels.has_mesh(slice(None)) & np.asarray(found.vertices).any((2, 3))[at][:, ::-1]
    true = labels.vertices(slice(None))
    for side in (LEFT, RIGHT):
        rows = np.flatnonzero(has[:, side])
        given, wanted = np.asarray(found.vertices)[at[rows], 1 - side], true[rows, side]
        mirrored = given * (-1, 1, 1)
        off, other = (
            np.linalg.norm((a - a.mean(1, keepdims=True)) - (wanted - wanted.mean(1, keepdims=True)), axis=-1).max()
            for a in (given, mirrored)
        )
        assert off < 0.1 < 10 < other


def test_an_array_can_grow_on_disk():
    assert len({len(header("joints", count)) for count in (0, 9, 849_160, 10**12)}) == 1


def test_tips_are_the_datasets(root, tmp_path, monkeypatch):
    tips = [10, 20, 30, 40, 50]
    monkeypatch.setattr(InterHand, "tips", tuple(tips))
    found = read_predictions(run(root, tmp_path, Oracle()))
    np.testing.assert_array_equal(found.joints[:, 0:20:4], found.vertices[:, 0, tips])
    np.testing.assert_array_equal(found.joints[:, 21:41:4], found.vertices[:, 1, tips])
