import contextlib
import io

import numpy as np
import pytest

from zoo.metrics.oks import SIGMAS, FoundHands, LabelledHands, hand_precision, similarity

AREA, SIDE = 100.0 * 200.0, 640


def hands(n, rng, spread=60.0):
    points = np.concatenate(
        (rng.uniform(0, SIDE, (n, 1, 2)) + rng.uniform(0, spread, (n, 21, 2)), np.ones((n, 21, 1))), -1
    )
    return points


def labelled(points, image=None, area=AREA, crowd=False):
    n = len(points)
    box = np.concatenate((points[..., :2].min(1), np.ptp(points[..., :2], axis=1)), -1)
    image = np.arange(n) if image is None else image
    return LabelledHands(image, points, np.full(n, area), box, np.full(n, crowd))


def found(points, image=None, score=None, area=np.nan):
    n = len(points)
    image = np.arange(n) if image is None else image
    return FoundHands(image, points, np.linspace(1, 0.1, n) if score is None else score, np.full(n, area))


def test_the_truth_scores_one():
    points = hands(5, np.random.default_rng(0))
    scores = hand_precision(labelled(points), found(points))
    assert {name: value for name, value in scores.items() if "medium" not in name} == pytest.approx(
        dict.fromkeys(("ap", "ap50", "ap75", "ap_large", "ar", "ar50", "ar75", "ar_large"), 1.0)
    )
    assert np.isnan(scores["ap_medium"])


def test_moved_joints_have_the_similarity_of_the_formula():
    points = hands(1, np.random.default_rng(1))
    moved = points[..., :2] + np.array([3.0, 4.0])
    expected = np.exp(-25 / (2 * (2 * SIGMAS) ** 2 * AREA)).mean()
    assert similarity(moved, points, np.array([AREA]), np.zeros((1, 4)))[0] == pytest.approx(expected)


def test_unlabelled_joints_do_not_count_and_fractions_are_labels():
    points = hands(1, np.random.default_rng(2))
    points[0, :, 2] = 0
    points[0, 7, 2] = 0.13
    moved = points[..., :2] + 1000
    moved[0, 7] = points[0, 7, :2] + [5.0, 0.0]
    expected = np.exp(-25 / (2 * (2 * SIGMAS[7]) ** 2 * AREA))
    assert similarity(moved, points, np.array([AREA]), np.zeros((1, 4)))[0] == pytest.approx(expected)


def test_thresholds_count_what_reaches_them():
    points = hands(1, np.random.default_rng(3))
    for wanted, passed in ((0.52, 1), (0.77, 6), (0.96, 10)):
        moved = points.copy()
        moved[..., 0] += 2 * SIGMAS * np.sqrt(-2 * AREA * np.log(wanted))
        scores = hand_precision(labelled(points), found(moved))
        assert [scores["ap"], scores["ar"]] == pytest.approx([passed / 10] * 2)


def test_a_second_hand_on_the_same_person_is_wrong_and_the_surer_one_counts():
    points = hands(1, np.random.default_rng(4))
    twice = np.concatenate((points, points))
    image = np.zeros(2, int)
    assert hand_precision(labelled(points), found(twice, image, np.array([0.9, 0.8])))["ap"] == pytest.approx(1)
    far = np.concatenate((points + np.array([500, 0, 0]), points))
    assert hand_precision(labelled(points), found(far, image, np.array([0.9, 0.8])))["ap"] == pytest.approx(0.5)


def test_a_missed_hand_costs_recall():
    points = hands(4, np.random.default_rng(5))
    scores = hand_precision(labelled(points), found(points[:3]))
    assert scores["ar"] == pytest.approx(0.75)
    assert scores["ap"] == pytest.approx(76 / 101)  # recalls 0 to 0.75


def test_hands_on_crowds_and_on_people_without_labels_are_excused():
    points = hands(2, np.random.default_rng(6))
    truth = labelled(points, np.zeros(2, int))
    inside = points[1:] * [1, 1, 0] + [0, 0, 1]
    blank = np.where([[[False]], [[True]]], points * [1, 1, 0], points)
    unlabelled = LabelledHands(truth.image, blank, truth.area, truth.box, truth.crowd)
    guess = found(np.concatenate((inside, points[:1])), np.zeros(2, int))
    assert hand_precision(unlabelled, guess)["ap"] == pytest.approx(1)
    crowd = LabelledHands(truth.image, truth.keypoints, truth.area, truth.box, np.array([False, True]))
    assert hand_precision(crowd, guess)["ap"] == pytest.approx(1)
    assert hand_precision(labelled(points[:1]), guess)["ap"] == pytest.approx(0.5)


def test_only_the_twenty_surest_of_an_image_count():
    points = hands(1, np.random.default_rng(7))
    many = np.concatenate((np.repeat(points + np.array([900, 0, 0]), 20, 0), points))
    assert hand_precision(labelled(points), found(many, np.zeros(21, int)))["ar"] == 0
    assert hand_precision(labelled(points), found(many[1:], np.zeros(20, int)))["ar"] == 1


def test_nothing_found_scores_zero_and_nothing_labelled_nothing():
    points = hands(2, np.random.default_rng(8))
    assert hand_precision(labelled(points), found(points * [1, 1, 0]))["ap"] == 0
    assert np.isnan(hand_precision(labelled(points * [1, 1, 0]), found(points))["ap"])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.filterwarnings("ignore")
def test_scores_are_those_of_pycocotools(seed):
    coco_module = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(seed)
    images, n, m = 15, 60, 90
    points = hands(n, rng)
    points[..., 2] = rng.choice([0, 0.3, 1, 2], (n, 21))
    points[rng.random(n) < 0.2, :, 2] = 0
    truth = LabelledHands(
        rng.integers(0, images, n),
        points,
        rng.choice([800.0, 3000.0, 20000.0], n) * rng.uniform(0.9, 1.1, n),
        np.concatenate((points[..., :2].min(1) - 50, rng.uniform(80, 300, (n, 2))), -1),
        rng.random(n) < 0.1,
    )
    source = rng.integers(0, n, m)
    guesses = points[source] + np.concatenate(
        (rng.normal(0, 1, (m, 21, 2)) * rng.choice([0.5, 3, 10, 100], (m, 1, 1)), np.zeros((m, 21, 1))), -1
    )
    guesses[..., 2] = 1
    guesses[rng.random(m) < 0.1, :, 2] = 0
    area = np.ptp(guesses[..., 0], axis=1) * np.ptp(guesses[..., 1], axis=1)
    guess = FoundHands(truth.image[source], guesses, np.round(rng.random(m), 1), area)
    boxes = truth.box.tolist()
    rows = [
        {
            "id": i + 1,
            "image_id": int(truth.image[i]),
            "category_id": 1,
            "area": float(truth.area[i]),
            "bbox": boxes[i],
            "iscrowd": int(truth.crowd[i]),
            "keypoints": points[i].ravel().tolist(),
            "num_keypoints": int((points[i, :, 2] > 0).sum()),
        }
        for i in range(n)
    ]
    results = [
        {
            "image_id": int(guess.image[i]),
            "category_id": 1,
            "keypoints": guesses[i].ravel().tolist(),
            "score": float(guess.score[i]),
        }
        for i in range(m)
        if (guesses[i, :, 2] > 0).any()
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        peer = coco_module.COCO()
        peer.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(images)],
            "annotations": rows,
            "categories": [{"id": 1, "name": "person"}],
        }
        peer.createIndex()
        oracle = COCOeval(peer, peer.loadRes(results), "keypoints")
        oracle.params.kpt_oks_sigmas = SIGMAS
        oracle.evaluate()
        oracle.accumulate()
        oracle.summarize()
    names = ["ap", "ap50", "ap75", "ap_medium", "ap_large", "ar", "ar50", "ar75", "ar_medium", "ar_large"]
    scores = hand_precision(truth, guess)
    assert [scores[name] for name in names] == pytest.approx(oracle.stats.tolist(), abs=1e-12)
    assert 0.05 < scores["ap"] < 0.95
