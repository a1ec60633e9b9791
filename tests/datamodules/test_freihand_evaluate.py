"""`evaluate freihand`: scores of whole files, and sentences for files that are written down wrongly."""

import json
import zipfile

import numpy as np
import pytest
from posed_hands import posed_hands
from tiny_freihand import write_freihand

from datamodules.freihand.evaluate import evaluate
from datamodules.freihand.writer import Labels
from datamodules.submissions import write_submission
from zoo.__main__ import main
from zoo.hands.skeleton import SNAP_TO_INTERHAND, SNAP_TO_MANO_TIPS

N = 12


@pytest.fixture(scope="session")
def labels():
    return tuple(part.numpy() for part in posed_hands(N))


@pytest.fixture(scope="session")
def root(labels, tmp_path_factory):
    camera = np.tile(np.array([[480, 0, 112], [0, 480, 112], [0, 0, 1]], np.float32), (N, 1, 1))
    root = tmp_path_factory.mktemp("data") / "FreiHAND é v2"
    return write_freihand(root, "evaluation", Labels(camera, *labels), masks=False)


@pytest.fixture
def score(root, tmp_path):
    def score(joints, vertices, **options):
        return evaluate(write_submission(tmp_path, joints, vertices)[0], root, **options).scores

    return score


def test_the_truth_as_json_and_as_zip_scores_perfectly(labels, root, tmp_path):
    for file in write_submission(tmp_path, *labels):
        found = evaluate(file, root)
        assert found.scores["xyz_mean3d"] == pytest.approx(0, abs=1e-4)
        assert found.scores["mesh_al_mean3d"] == pytest.approx(0, abs=1e-4)
        assert found.scores["f_score_5"] == 1
        assert len(found.official) == 12
        assert max(map(len, str(found).splitlines())) <= 80


def test_a_shift_and_a_scale_score_their_closed_form(labels, score):
    joints, vertices = labels
    found = score(joints + np.float32([0.01, 0, 0]), vertices + np.float32([0.01, 0, 0]))
    assert (found["xyz_mean3d"], found["mesh_mean3d"]) == pytest.approx((1, 1), abs=1e-4)
    assert (found["xyz_al_mean3d"], found["mesh_al_mean3d"]) == pytest.approx((0, 0), abs=1e-4)
    found = score(1.1 * joints, 1.1 * vertices)
    assert found["xyz_mean3d"] == pytest.approx(10 * np.linalg.norm(joints, axis=-1).mean(), abs=1e-3)
    assert (found["xyz_al_mean3d"], found["mesh_al_mean3d"]) == pytest.approx((0, 0), abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_predictions_that_are_only_bad_are_scored(labels, score, seed):
    rng = np.random.default_rng(seed)
    joints, vertices = labels
    mean = [np.tile(p.mean(0), (N, 1, 1)) for p in labels]
    first = [np.tile(p[seed], (N, 1, 1)) for p in labels]
    size = 10.0 ** (seed - 2)  # a centimetre to ten metres
    noisy = [(p + size * rng.normal(size=p.shape)).astype(np.float32) for p in labels]
    pure = [(size * rng.normal(size=p.shape)).astype(np.float32) for p in labels]
    rooted = [p - joints[:, :1] for p in labels]
    shuffled = [p[rng.permutation(N)] for p in labels]
    for bad in ([0 * joints, 0 * vertices], mean, first, noisy, pure, rooted, shuffled):
        found = score(*bad)
        assert len(found) >= 16
        assert np.isfinite(list(found.values())).all()


def test_zeros_have_documented_scores(labels, score):
    joints, vertices = labels
    found = score(0 * joints, 0 * vertices)
    assert found["xyz_mean3d"] == pytest.approx(100 * np.linalg.norm(joints, axis=-1).mean(), abs=1e-3)
    centred = joints - joints.mean(1, keepdims=True)
    assert found["xyz_al_mean3d"] == pytest.approx(100 * np.linalg.norm(centred, axis=-1).mean(), abs=1e-3)
    assert found["xyz_auc3d"] == found["f_score_5"] == found["f_score_15"] == 0


WRONG = {
    "millimetres": (lambda j, v: (1000 * j, 1000 * v), ["in millimetres", "takes metres", "multiply by 0.001"]),
    "centimetres": (lambda j, v: (100 * j, 100 * v), ["in centimetres", "multiply by 0.01"]),
    "too small": (lambda j, v: (j / 1000, v / 1000), ["1000 times too small", "multiply by 1000"]),
    "meshes alone": (lambda j, v: (j, 1000 * v), ["its meshes are in millimetres"]),
    "HO3D's order": (lambda j, v: (j[:, SNAP_TO_MANO_TIPS], v), ["in the order of HO3D", "MANO_TIPS_TO_SNAP"]),
    "InterHand's order": (lambda j, v: (j[:, SNAP_TO_INTERHAND], v), ["order of InterHand2.6M", "INTERHAND_TO_SNAP"]),
    "OpenGL": (
        lambda j, v: (j * np.float32([1, -1, -1]), v * np.float32([1, -1, -1])),
        ["in OpenGL's axes", "y down and z forward (OpenCV)", "multiply x, y, z by 1, -1, -1"],
    ),
    "mirrored": (
        lambda j, v: (j * np.float32([-1, 1, 1]), v * np.float32([-1, 1, 1])),
        ["mirrored (x the other way)", "multiply x, y, z by -1, 1, 1"],
    ),
    "three at once": (
        lambda j, v: (1000 * j[:, SNAP_TO_MANO_TIPS] * np.float32([1, -1, -1]), v),
        ["in millimetres and in the order of HO3D", "OpenGL", "--force"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("noise", [0, 0.01])
def test_a_prediction_written_down_wrongly_is_refused_with_its_mistake(labels, root, tmp_path, name, noise):
    rng = np.random.default_rng(0)
    change, words = WRONG[name]
    near = [(p - labels[0][:, :1] + noise * rng.normal(size=p.shape)).astype(np.float32) for p in labels]
    wrong = change(*near)
    file, _ = write_submission(tmp_path, *wrong)
    with pytest.raises(ValueError, match="--force scores the file as it is") as error:
        evaluate(file, root)
    for word in words:
        assert word in str(error.value)
    assert np.isfinite(list(evaluate(file, root, force=True).scores.values())).all()


def nested(labels):
    return [part.tolist() for part in labels]


BROKEN = {
    "too few": (lambda j, v: [j[:-1], v], "holds 11 joints, but FreiHAND's evaluation part has 12 samples"),
    "too many": (lambda j, v: [j, v + v[:2]], "holds 14 meshes, but"),
    "no meshes": (lambda j, v: [j], "holds 0 meshes"),
    "empty": (lambda j, v: [], "holds 0 joints"),
    "joints alone": (lambda j, v: j, "is a list of samples"),
    "names": (lambda j, v: {"xyz": j, "verts": v}, "holds names such as 'xyz'"),
    "swapped": (lambda j, v: [v, j], "number 0 of the joints is 778 x 3, not 21 x 3. .* Swap the two lists"),
    "flat": (lambda j, v: [[np.ravel(x).tolist() for x in j], v], "number 0 of the joints is 63, not 21 x 3"),
    "nested": (lambda j, v: [[[x] for x in j], v], "number 0 of the joints is 1 x 21 x 3"),
    "ragged": (lambda j, v: [j, [*v[:3], v[3][:-1], *v[4:]]], "number 3 of the meshes is 777 x 3"),
    "irregular": (lambda j, v: [[[*j[0][:-1], [1, 2]], *j[1:]], v], "number 0 of the joints is no regular list"),
    "words": (lambda j, v: [[[["a"] * 3] * 21, *j[1:]], v], "number 0 of the joints is no regular list"),
    "null": (lambda j, v: [[[[None] * 3] * 21, *j[1:]], v], "1 joints, the first is number 0, that are not finite"),
    "NaN": (lambda j, v: [[[[float("nan")] * 3] * 21, *j[1:]], v], "the word NaN: a number that is not finite"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_with_what_is_wrong(labels, root, tmp_path, name):
    change, words = BROKEN[name]
    file = tmp_path / "pred.json"
    file.write_text(json.dumps(change(*nested(labels))))
    with pytest.raises(ValueError, match=words):
        evaluate(file, root)


def test_a_truncated_file_is_refused_where_it_ends(labels, root, tmp_path):
    file = tmp_path / "pred.json"
    text = json.dumps(nested(labels))
    file.write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match=r"ends early, at or soon after 1/\d"):
        evaluate(file, root)


def test_an_archive_must_hold_exactly_one_json_at_its_top(labels, root, tmp_path):
    file, whole = write_submission(tmp_path, *labels)
    with zipfile.ZipFile(whole) as archive:
        assert archive.namelist() == ["pred.json"]
    for members in (["results/pred.json"], ["pred.json", "other.json"], ["pred.txt"], []):
        with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
            for member in members:
                archive.write(file, member)
        with pytest.raises(ValueError, match=r"exactly one JSON file, at its top.*zip -j"):
            evaluate(tmp_path / "bad.zip", root)
    (tmp_path / "cut.zip").write_bytes(whole.read_bytes()[:1000])
    with pytest.raises(ValueError, match="not a whole zip archive"):
        evaluate(tmp_path / "cut.zip", root)


def test_labels_that_are_not_there_are_asked_for(labels, tmp_path):
    camera = np.tile(np.eye(3, dtype=np.float32), (N, 1, 1))
    root = write_freihand(tmp_path / "a", "evaluation", Labels(camera, *labels), with_labels=False, masks=False)
    with pytest.raises(FileNotFoundError, match=r"FreiHAND_pub_v2_eval.*--eval_root"):
        evaluate(write_submission(tmp_path, *labels)[0], root)


def test_the_command_prints_a_table_and_writes_the_official_file(labels, root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_submission(tmp_path, labels[0] + np.float32([0, 0.02, 0]), labels[1])
    assert main(["evaluate", "freihand", "--pred", "pred.zip", "--root", str(root), "--out", "scores"]) == 0
    said = capsys.readouterr().out
    assert "FreiHAND's official evaluation: 12 samples" in said
    assert max(map(len, said.splitlines())) <= 80
    lines = (tmp_path / "scores/scores.txt").read_text().splitlines()
    assert lines[0] == "xyz_mean3d: 2.000000"
    assert [line.partition(":")[0] for line in lines] == [
        *("xyz_mean3d", "xyz_auc3d", "xyz_al_mean3d", "xyz_al_auc3d"),
        *("mesh_mean3d", "mesh_auc3d", "mesh_al_mean3d", "mesh_al_auc3d"),
        *("f_score_5", "f_al_score_5", "f_score_15", "f_al_score_15"),
    ]
    assert json.loads((tmp_path / "scores/metrics.json").read_text())["xyz_mean3d"] == pytest.approx(2, abs=1e-4)


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["evaluate", "frihand", "--pred", "a", "--root", "b"], 2, "Did you mean freihand?"),
        (["evaluate", "freihand", "--root", "."], 2, "--pred is needed"),
        (["evaluate", "freihand", "--pred", "nowhere.json", "--root", "."], 1, "nowhere.json is not there"),
        (["evaluate", "freihand", "--pred", ".", "--root", ".", "--protocol", "x"], 2, "does not take --protocol"),
    ],
)
def test_wrong_usage_is_one_sentence(argv, code, words, capsys):
    assert main(argv) == code
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_mistake_ends_with_code_one_and_a_sentence(labels, root, tmp_path, capsys):
    file, _ = write_submission(tmp_path, 1000 * labels[0], 1000 * labels[1])
    assert main(["evaluate", "freihand", "--pred", str(file), "--root", str(root)]) == 1
    said = capsys.readouterr().err
    assert "in millimetres" in said
    assert said.count("\n") == 1
