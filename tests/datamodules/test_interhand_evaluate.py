"""`evaluate interhand`: the three protocols on a twin, and sentences for files that are written down wrongly."""

import json

import numpy as np
import pytest
import torch
import two_hand_loops as loops
from hands.legacy_mano import openhand_arrays

from datamodules.interhand.data import models_of
from datamodules.interhand.evaluate import PROTOCOLS, _intaghand_joints, evaluate
from datamodules.interhand.truth import truth
from zoo.__main__ import main
from zoo.hands.skeleton import INTERHAND_TO_SNAP

LEFT_FIRST = [1, 0]


@pytest.fixture(scope="session")
def labels(interhand):
    return truth(interhand, "train")


@pytest.fixture(scope="session")
def perfect(labels):
    """The truth in the format of predictions; joints that no label knows are those of the mesh."""
    everything = slice(None)
    joints = np.where(labels.frame_valid(everything, whole_hands=False)[..., None], labels.joints(everything), 7)
    kind = labels.hand_type
    return {
        "annotation_id": labels.annotation_ids,
        "joints": joints.astype(np.float32),
        "vertices": labels.vertices(everything)[:, LEFT_FIRST],
        "handedness": np.stack([kind != "left", kind != "right"], 1).astype(np.float32),
        "rel_trans": (joints[:, 41] - joints[:, 20]).astype(np.float32),
    }


@pytest.fixture
def score(interhand, tmp_path):
    def score(arrays, **options):
        np.savez(tmp_path / "pred.npz", **arrays)
        return dict(evaluate(tmp_path / "pred.npz", interhand, split="train", **options).scores)

    return score


def changed(perfect, **arrays):
    return {**perfect, **arrays}


EXPECTED = {
    "internet": {"mpjpe_single_mm", "mpjpe_interacting_mm", "mpjpe_all_mm", "mrrpe_mm", "handedness_accuracy"},
    "interwild": {
        *(f"{name}_{kind}_mm" for name in ("mpjpe", "mpvpe") for kind in ("single", "interacting", "all")),
        *("mrrpe_mm", "rrve_mm"),
    },
    "intaghand": {f"{name}_{side}_mm" for name in ("mpjpe", "mpvpe") for side in ("left", "right", "mean")},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_truth_scores_perfectly(score, perfect, protocol):
    found = score(perfect, protocol=protocol)
    assert set(found) == EXPECTED[protocol]
    assert found.pop("handedness_accuracy", 1) == 1
    assert max(found.values()) < 0.01


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_shift_of_all_hands_does_not_matter(score, perfect, protocol):
    moved = changed(perfect, joints=perfect["joints"] + np.float32([10, 20, 30]), vertices=perfect["vertices"] + 9)
    found = score(moved, protocol=protocol)
    found.pop("handedness_accuracy", 1)
    assert max(found.values()) < 0.01


def test_a_displaced_left_hand_is_an_error_of_the_way_between_the_wrists_alone(score, perfect):
    joints = perfect["joints"].copy()
    joints[:, 21:, 0] += 12
    found = score(changed(perfect, joints=joints, rel_trans=perfect["rel_trans"] + np.float32([12, 0, 0])))
    assert found["mrrpe_mm"] == pytest.approx(12, abs=0.01)
    assert found["mpjpe_all_mm"] < 0.01
    found = score(changed(perfect, rel_trans=perfect["rel_trans"] + np.float32([12, 0, 0])), protocol="interwild")
    assert found["mrrpe_mm"] == pytest.approx(12, abs=0.01)
    assert found["rrve_mm"] == pytest.approx(6, abs=0.01)  # half of the vertices
    without = {name: value for name, value in changed(perfect, joints=joints).items() if name != "rel_trans"}
    assert score(without, protocol="interwild")["mrrpe_mm"] == pytest.approx(12, abs=0.01)


@pytest.mark.parametrize("protocol", ["internet", "interwild"])
def test_a_predicted_way_between_the_wrists_counts_before_that_of_the_joints(score, perfect, protocol):
    joints = perfect["joints"].copy()
    joints[:, 21:, 2] += 30  # as of a network that finds the left hand's depth on its own
    assert score(changed(perfect, joints=joints), protocol=protocol)["mrrpe_mm"] < 0.01
    other = changed(perfect, rel_trans=perfect["rel_trans"] + np.float32([0, 0, 7]))
    assert score(other, protocol=protocol)["mrrpe_mm"] == pytest.approx(7, abs=0.01)


def test_size_matters_in_the_first_two_protocols_and_not_in_intaghands(score, perfect):
    larger = changed(perfect, joints=1.1 * perfect["joints"], vertices=1.1 * perfect["vertices"])
    assert score(larger)["mpjpe_all_mm"] > 3
    assert score(larger, protocol="interwild")["mpvpe_all_mm"] > 3
    assert max(score(larger, protocol="intaghand").values()) < 0.01


def test_scores_are_those_of_plain_loops(score, perfect, labels):
    rng = np.random.default_rng(0)
    noisy = {k: v + rng.normal(size=v.shape).astype(np.float32) * 8 for k, v in perfect.items() if k != "annotation_id"}
    noisy |= {"annotation_id": perfect["annotation_id"], "handedness": rng.random((len(labels), 2)).astype(np.float32)}
    order = list(INTERHAND_TO_SNAP)

    def by_side(values):
        return np.stack([values[:, 21:][:, order], values[:, :21][:, order]], 1)

    everything, kind = slice(None), labels.hand_type == "interacting"
    joints, target = by_side(noisy["joints"]) / 1000, by_side(labels.joints(everything)) / 1000
    view, frame = by_side(labels.view_valid(everything)), by_side(labels.frame_valid(everything))
    found = score(noisy)
    expected = loops.mpjpe(joints, target, view, kind, pooled=True)
    assert {k: found[f"mpjpe_{k}_mm"] for k in expected} == pytest.approx(expected, rel=1e-4)
    hands = np.stack([labels.hand_type != "left", labels.hand_type != "right"], 1)
    right = ((noisy["handedness"] > 0.5) == hands).all(1)[labels.hand_type_valid]
    assert found["handedness_accuracy"] == pytest.approx(right.mean())

    found = score(noisy, protocol="interwild")
    expected = loops.mpjpe(joints, target, frame, kind, pooled=False)
    assert {k: found[f"mpjpe_{k}_mm"] for k in expected} == pytest.approx(expected, rel=1e-4)
    has = labels.has_mesh(everything)
    mesh, true_mesh = noisy["vertices"][:, LEFT_FIRST] / 1000, labels.vertices(everything) / 1000
    roots = [
        np.stack([labels.models[side].regress(torch.from_numpy(m[:, side])).numpy() for side in (0, 1)], 1)
        for m in (mesh, true_mesh)
    ]
    wrists = [root[:, :, 0] for root in roots]
    expected = loops.mpvpe(mesh, true_mesh, *wrists, has, kind)
    assert {k: found[f"mpvpe_{k}_mm"] for k in expected} == pytest.approx(expected, rel=1e-4)
    both = frame[:, :, 0].all(1) & kind
    way, true_way = noisy["rel_trans"] / 1000, target[:, 0, 0] - target[:, 1, 0]
    expected = 1000 * np.linalg.norm(way - true_way, axis=1)[both].mean()
    assert found["mrrpe_mm"] == pytest.approx(expected, rel=1e-4)
    expected = loops.rrve(mesh, true_mesh, *wrists, way, true_way, both & has.all(1))
    assert found["rrve_mm"] == pytest.approx(expected, rel=1e-4)

    found = score(noisy, protocol="intaghand")
    kept = kind & labels.hand_type_valid & has.all(1)
    for name, pair in (("mpjpe", roots), ("mpvpe", (mesh, true_mesh))):
        expected = loops.middle_bone(*(part[kept] for part in (*pair, *roots)), has[kept])
        assert {k: found[f"{name}_{k}_mm"] for k in expected} == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_predictions_that_are_only_bad_are_scored(score, perfect, protocol):
    rng = np.random.default_rng(0)
    for size in (0, 30, 3000):
        bad = {k: (size * rng.normal(size=v.shape)).astype(np.float32) for k, v in perfect.items()}
        found = score(bad | {"annotation_id": perfect["annotation_id"]}, protocol=protocol)
        assert set(found) == EXPECTED[protocol]
        assert np.isfinite(list(found.values())).all()


def test_what_no_label_knows_is_left_out(score, perfect, labels, tmp_path):
    ids = tmp_path / "ids.txt"
    right = labels.annotation_ids[labels.hand_type == "right"]
    ids.write_text("\n".join(map(str, right)))
    found = score(perfect, protocol="interwild", ids=ids)
    assert set(found) == {"mpjpe_single_mm", "mpjpe_all_mm", "mpvpe_single_mm", "mpvpe_all_mm"}
    with pytest.raises(ValueError, match="interacting hands that both have a mesh"):
        score(perfect, protocol="intaghand", ids=ids)
    joints = {name: perfect[name] for name in ("annotation_id", "joints")}
    assert "mpvpe_all_mm" not in score(joints, protocol="interwild")
    assert set(score(joints, protocol="intaghand")) == {"mpjpe_left_mm", "mpjpe_right_mm", "mpjpe_mean_mm"}
    assert "handedness_accuracy" not in score(joints)


WRONG = {
    "metres": (lambda a: {"joints": a["joints"] / 1000}, "joints are in metres.*takes millimetres.*multiply by 1000"),
    "meshes in metres": (lambda a: {"vertices": a["vertices"] / 1000}, "meshes are in metres"),
    "SNAP": (
        lambda a: {"joints": a["joints"][:, [*INTERHAND_TO_SNAP, *(i + 21 for i in INTERHAND_TO_SNAP)]]},
        "in the order of SNAP-21.*SNAP_TO_INTERHAND",
    ),
    "left first": (lambda a: {"joints": np.roll(a["joints"], 21, 1)}, "left hands first.*swap the two hands"),
    "meshes left first": (lambda a: {"vertices": a["vertices"][:, ::-1]}, "meshes are written left hands first"),
    "OpenGL": (lambda a: {"joints": a["joints"] * np.float32([1, -1, -1])}, "OpenGL's axes"),
    "NaN": (lambda a: {"joints": a["joints"] * np.float32("nan")}, "row 0 of joints is not finite"),
    "one short": (lambda a: {k: v[1:] for k, v in a.items()}, "1 of the 24 annotations of the train part have none"),
    "shape": (lambda a: {"joints": a["joints"][:, :21]}, r"joints is 24 x 21 x 3 .* must be 24 x 42 x 3"),
    "twice": (lambda a: {"annotation_id": 0 * a["annotation_id"]}, "annotation 0 was predicted twice"),
    "ids": (lambda a: {"annotation_id": a["annotation_id"] / 2}, "must be a list of whole numbers"),
    "names": (lambda a: {"verts": a["vertices"]}, "may hold vertices, handedness and rel_trans, but no verts"),
}


@pytest.mark.parametrize("name", WRONG)
def test_predictions_written_down_wrongly_are_refused(score, perfect, name):
    change, words = WRONG[name]
    with pytest.raises(ValueError, match=words):
        score(changed(perfect, **change(perfect)))


def test_json_and_a_folder_of_arrays_say_the_same(score, perfect, interhand, tmp_path):
    noisy = changed(perfect, joints=perfect["joints"] + np.random.default_rng(0).normal(size=perfect["joints"].shape))
    noisy = {name: value[::-1] if name != "vertices" else value[::-1].copy() for name, value in noisy.items()}
    expected = score(noisy, protocol="interwild")
    (tmp_path / "folder").mkdir()
    for name, value in noisy.items():
        np.save(tmp_path / "folder" / f"{name}.npy", value)
    ids = noisy["annotation_id"].tolist()
    rows = {str(i): {k: v[n].tolist() for k, v in noisy.items() if k != "annotation_id"} for n, i in enumerate(ids)}
    (tmp_path / "pred.json").write_text(json.dumps(rows))
    for path in (tmp_path / "folder", tmp_path / "pred.json"):
        found = evaluate(path, interhand, split="train", protocol="interwild").scores
        assert dict(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "holds annotation_id. It must"),
        ('{"a": {}}', "'a' is no annotation id"),
        ('{"1": {"joints": [[1]', "ends early"),
    ],
)
def test_broken_json_is_refused(interhand, tmp_path, text, words):
    (tmp_path / "pred.json").write_text(text)
    with pytest.raises(ValueError, match=words):
        evaluate(tmp_path / "pred.json", interhand, split="train")


@pytest.mark.filterwarnings("ignore:MANO_LEFT")
def test_intaghands_tips_of_mano_are_its_own(tmp_path):
    for side in ("right", "left"):
        np.savez(tmp_path / f"MANO_{side.upper()}.npz", **openhand_arrays(side))
    hands = models_of(tmp_path, tmp_path)
    vertices = torch.rand(2, 2, 778, 3)
    joints = _intaghand_joints(vertices, hands)
    torch.testing.assert_close(joints[:, :, 4::4], vertices[:, :, [745, 317, 444, 556, 673]])
    torch.testing.assert_close(hands[0].regress(vertices[:, 0])[:, 4::4], vertices[:, 0, [745, 317, 445, 556, 673]])


def test_black_pictures_are_left_out_by_intaghand(interhand, labels, perfect, monkeypatch, tmp_path):
    np.savez(tmp_path / "pred.npz", **perfect)
    counted = evaluate(tmp_path / "pred.npz", interhand, split="train", protocol="intaghand").title
    first = labels.path(
        int(np.flatnonzero((labels.hand_type == "interacting") & labels.has_mesh(slice(None)).all(1))[0])
    )
    from datamodules.interhand import evaluate as module

    read = module.read_photo
    monkeypatch.setattr(module, "read_photo", lambda path: np.zeros((4, 4, 3)) if path == first else read(path))
    again = evaluate(tmp_path / "pred.npz", interhand, split="train", protocol="intaghand").title
    assert int(again.split()[-2]) == int(counted.split()[-2]) - 1


def test_the_command_names_protocol_and_split(interhand, perfect, tmp_path, capsys):
    np.savez(tmp_path / "pred.npz", **perfect)
    folder = ["--root", str(interhand), "--split", "train"]
    words = ["evaluate", "interhand", "--pred", str(tmp_path / "pred.npz"), *folder]
    assert main([*words, "--protocol", "interwild", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "InterHand2.6M train by the protocol of interwild: 24 annotations" in said
    assert max(map(len, said.splitlines()[:-1])) <= 100
    assert set(json.loads((tmp_path / "out/metrics.json").read_text())) == EXPECTED["interwild"]
    assert not (tmp_path / "out/scores.txt").exists()
    assert main([*words, "--protocol", "interwold"]) == 1
    assert "--protocol interwold is not known" in capsys.readouterr().err
