import json
import os

import numpy as np
import pytest

from datamodules.coco.evaluate import evaluate, write_predictions
from zoo.metrics.oks import SIGMAS

AREA, EPS = 90.0 * 200.0, np.spacing(1)
ZEROS = [0.0] * 63


def person(number, image, left, right, **facts):
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "num_keypoints": 17,
        "area": AREA,
        "bbox": [10.0, 20.0, 90.0, 200.0],
        "segmentation": [[1.0, 2.0, 3.0]],
        "lefthand_valid": left is not ZEROS,
        "righthand_valid": right is not ZEROS,
        "lefthand_kpts": left,
        "righthand_kpts": right,
        **facts,
    }


def hand(x, y, visibility=1.0):
    rng = np.random.default_rng((x, y))
    return (
        np.concatenate((np.array([x, y]) + rng.uniform(0, 40, (21, 2)), np.full((21, 1), visibility)), 1)
        .ravel()
        .tolist()
    )


PEOPLE = [
    person(7, 100, hand(50, 60), hand(200, 70, 0.21)),
    person(8, 100, ZEROS, hand(400, 90)),
    person(9, 200, hand(90, 300, 2.0), ZEROS),
    person(10, 200, ZEROS, ZEROS, iscrowd=1, num_keypoints=0),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two pictures with four people, in a folder whose name has a space and an umlaut; only read it."""
    folder = tmp_path_factory.mktemp("data") / "MS COCO ä"
    (folder / "annotations").mkdir(parents=True)
    content = {"images": [{"id": i, "height": 480, "width": 640} for i in (100, 200, 300)], "annotations": PEOPLE}
    (folder / "annotations/coco_wholebody_val_v1.0.json").write_text(json.dumps(content))
    return folder


def row(truth, move=0.0, **changes):
    made = {"image_id": truth["image_id"], "bbox": truth["bbox"]}
    for part in ("lefthand", "righthand"):
        points = np.reshape(truth[f"{part}_kpts"], (21, 3)) + np.array([1.0, 0, 0]) * np.reshape(move, (-1, 1))
        if truth[f"{part}_valid"]:
            made |= {f"{part}_kpts": points, f"{part}_score": 0.9}
    return {**made, **changes}


def test_the_truth_scores_one(root, tmp_path):
    scores = evaluate(root, write_predictions(tmp_path / "all of it.json", [row(truth) for truth in PEOPLE]))
    assert scores == pytest.approx(dict.fromkeys(scores, 1.0))
    assert {f"{side}hand_{name}" for side in ("left", "right") for name in ("ap", "ar", "ap50", "ap_large")} <= set(
        scores
    )
    assert "lefthand_ap_medium" not in scores  # nobody is that small


def test_a_known_error_has_the_score_of_the_formula(root, tmp_path):
    """Every joint off so far that its hand has a similarity of 0.72: five of ten thresholds are reached."""
    move = 2 * SIGMAS * np.sqrt(-2 * AREA * np.log(0.72))
    scores = evaluate(root, write_predictions(tmp_path / "p.json", [row(truth, move) for truth in PEOPLE]))
    assert scores["lefthand_ap"] == pytest.approx(0.5)
    assert scores["righthand_ap50"] == pytest.approx(1)
    assert scores["righthand_ap75"] == pytest.approx(0)


def test_sides_are_scored_by_themselves(root, tmp_path):
    rows = [row(truth) for truth in PEOPLE]
    for made in rows:
        made.pop("lefthand_kpts", None), made.pop("lefthand_score", None)
    scores = evaluate(root, write_predictions(tmp_path / "p.json", rows))
    assert (scores["lefthand_ap"], scores["righthand_ap"]) == pytest.approx((0, 1))


def test_each_hand_is_ranked_by_its_own_score(root, tmp_path):
    """The surest row has a wrong left hand with a low score of its own, so that it does not hurt."""
    wrong = row(PEOPLE[0], 300.0, score=1.0, lefthand_score=0.1, righthand_score=0.1)
    rows = [wrong, *(row(truth, score=0.5) for truth in PEOPLE)]
    scores = evaluate(root, write_predictions(tmp_path / "p.json", rows))
    assert (scores["lefthand_ap"], scores["righthand_ap"]) == pytest.approx((1, 1))


def test_written_predictions_have_every_part_that_official_tools_read(root, tmp_path):
    made = json.loads(write_predictions(tmp_path / "p.json", [row(PEOPLE[1])]).read_text())[0]
    sizes = {name: len(value) for name, value in made.items() if isinstance(value, list) and name != "bbox"}
    assert sizes == {"keypoints": 51, "foot_kpts": 18, "face_kpts": 204, "lefthand_kpts": 63, "righthand_kpts": 63}
    assert made["lefthand_kpts"] == [0] * 63
    assert {name for name in made if name.endswith("score")} == {
        *("score", "foot_score", "face_score", "lefthand_score", "righthand_score", "wholebody_score")
    }


def normalised(made):
    for name in ("lefthand_kpts", "righthand_kpts"):
        made[name] = (np.reshape(made[name], (21, 3)) / [640, 480, 1]).ravel().tolist()


MISTAKES = {
    r"largest x or y of all hands is 0\.\d+, so they look normalised.*multiply x by its width": normalised,
    r"lefthand_kpts of row 0 has 42 numbers.*63: 21 triples": lambda made: made.update(lefthand_kpts=[1.0] * 42),
    r"lefthand_kpts of row 0 has 21 numbers.*not nested": lambda made: made.update(lefthand_kpts=[[1, 2, 1]] * 21),
    r"righthand_kpts of row 0 is missing.*zeros where nothing": lambda made: made.pop("righthand_kpts"),
    r"righthand_score of row 0 is missing.*its own score": lambda made: made.pop("righthand_score"),
    r"lefthand_score of row 0 is 'high'": lambda made: made.update(lefthand_score="high"),
    r"image_id 5 of row 0 is not in coco_wholebody_val": lambda made: made.update(image_id=5),
    r"image_id of row 0 is '000000000100'.*785 for 000000000785": lambda made: made.update(image_id="000000000100"),
    r"image_id of row 0 is missing": lambda made: made.pop("image_id"),
    r"category_id of row 0 is 0.*must be 1, person": lambda made: made.update(category_id=0),
    r"no hand has a joint with a third number above 0": lambda made: made.update(
        {name: [5.0, 9.0, 0.0] * 21 for name in ("lefthand_kpts", "righthand_kpts")}
    ),
    r"holds something that is not a finite number": lambda made: made.update(lefthand_kpts=[None] * 63),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_named(root, tmp_path, message):
    path = write_predictions(tmp_path / "p.json", [row(PEOPLE[0])])
    rows = json.loads(path.read_text())
    MISTAKES[message](rows[0])
    path.write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=message):
        evaluate(root, path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "has no rows"),
        ('{"annotations": [1]}', "is not a list but has the key 'annotations'"),
        ("[5]", "row 0 is not an object"),
        ('[{"image_id": 1', "ends early"),
        ("", "ends early"),
    ],
)
def test_files_that_are_no_result_lists_are_refused(root, tmp_path, content, message):
    path = tmp_path / "p.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        evaluate(root, path)


def test_missing_files_are_named(root, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"p\.json is not there"):
        evaluate(root, tmp_path / "p.json")
    path = write_predictions(tmp_path / "p.json", [row(PEOPLE[0])])
    with pytest.raises(FileNotFoundError, match=r"coco_wholebody_train_v1\.0\.json is not there.*--data\.root"):
        evaluate(root, path, "train")
    with pytest.raises(FileNotFoundError, match=rf"Pass --data\.root {root}"):
        evaluate(root.parent, path)


def test_a_file_without_hands_is_refused(root, tmp_path):
    (tmp_path / "annotations").mkdir()
    path = write_predictions(tmp_path / "p.json", [row(PEOPLE[0])])
    body = {key: value for key, value in PEOPLE[0].items() if not key.startswith(("left", "right"))}
    plain = tmp_path / "annotations/person_keypoints_val2017.json"
    plain.write_text(json.dumps({"images": [{"id": 100}], "annotations": [body]}))
    with pytest.raises(FileNotFoundError, match=r"person_keypoints_val2017\.json is, but it has no hands"):
        evaluate(tmp_path, path)
    with pytest.raises(ValueError, match=r"annotation 7 has no lefthand_kpts.*get COCO-WholeBody"):
        evaluate(tmp_path, path, annotations=plain)


def test_a_broken_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="lefthand_kpts of row 0 has 62 numbers"):
        write_predictions(tmp_path / "p.json", [{"image_id": 1, "lefthand_kpts": [0.0] * 62, "lefthand_score": 1.0}])
    with pytest.raises(ValueError, match="only one of righthand_kpts and righthand_score"):
        write_predictions(tmp_path / "p.json", [{"image_id": 1, "righthand_score": 1.0}])
    assert os.listdir(tmp_path) == []
