"""Pairs of hands in IntagHand's pickles."""

import os
import pickle

import cv2
import numpy as np
import pytest
import simplejpeg
from pairs import MODELS, mark, meshes, numbers, read_meshes, rotation, write_shards

from datamodules.check import check
from datamodules.twohand500k.data import TwoHand500K

TURN, SHIFT = rotation(0.3, -2.0, 0.9).astype(np.float32), np.array([0.1, -0.2, 0.9], np.float32)
CAMERA = np.array([[300, 0, 120], [0, 310, 130], [0, 0, 1]], np.float32)


def annotation(hands, number=0):
    """IntagHand's record of a pair given by fingers relative to the mean pose."""
    params = {}
    for side, name in enumerate(("left", "right")):
        components = MODELS[side].hands_components.numpy().astype(np.float64)
        params[name] = {
            "R": cv2.Rodrigues(hands[side, :3].astype(np.float64))[0][None].astype(np.float32),
            "pose": (hands[side, None, 3:48] @ np.linalg.inv(components)).astype(np.float32),
            "shape": hands[side, None, 48:58],
            "trans": hands[side, None, 58:],
        }
    return {
        "inter_idx": number,
        "image": {"id": 7, "file_name": "Capture0/a/cam400026/image7.jpg"},
        "annotation": {"bbox": [1.0, 2.0, 3.0, 4.0], "joint_valid": [[1], [0]]},
        "mano_params": params,
        "camera": {"R": TURN, "t": SHIFT, "camera": CAMERA},
    }


def write(root, trees, pictures=True):
    (root / "anno").mkdir(parents=True)
    for i, tree in enumerate(trees):
        (root / f"anno/{i}.pkl").write_bytes(pickle.dumps(tree))
        if pictures:
            (root / "img").mkdir(exist_ok=True)
            picture = np.full((256, 256, 3), 10 * i, np.uint8)
            (root / f"img/{i}.jpg").write_bytes(simplejpeg.encode_jpeg(picture))
    return mark(root)


@pytest.fixture
def anno(tmp_path):
    """Twelve pairs, so that 10 comes after 9 and not after 1."""
    return write(tmp_path / "inter hand", [annotation(hands, i) for i, hands in enumerate(numbers(12))])


def test_world_hands_with_pca_fingers_come_in_the_cameras_frame(anno):
    scene = TwoHand500K(anno).scenes("train").read(3)
    for side, expected in meshes(numbers(12)[3]).items():
        np.testing.assert_allclose(read_meshes(scene)[side], expected @ TURN.T + SHIFT, atol=5e-5)
    np.testing.assert_array_equal(scene.intrinsics, CAMERA)


def test_pictures_belong_to_their_number(anno):
    scenes = TwoHand500K(anno, val_fraction=0.1).scenes("train")
    assert len(scenes) == 11
    for i in range(11):
        read = scenes.read(i)
        assert read.name == str(i)
        assert abs(int(read.image[0, 0, 0]) - 10 * i) < 3
        assert read.size == (256, 256)
    assert scenes.read(3, image=False).image is None


def test_pictures_may_be_left_out(tmp_path):
    root = write(tmp_path, [annotation(hands) for hands in numbers(3)], pictures=False)
    scene = TwoHand500K(root).scenes("train").read(0)
    assert scene.image is None
    assert scene.size == (256, 256)
    assert check("twohand500k", root).ok


def test_a_hand_that_is_none_is_not_there(tmp_path):
    trees = [annotation(hands) for hands in numbers(3)]
    trees[1]["mano_params"]["left"] = None
    scenes = TwoHand500K(write(tmp_path, trees)).scenes("train")
    assert scenes.sides().tolist() == [[True, True], [False, True]]
    assert list(scenes.read(1).hands) == [1]


def broken(change, tmp_path):
    trees = [annotation(hands) for hands in numbers(2)]
    change(trees[1])
    root = write(tmp_path, trees)
    assert not check("twohand500k", root).ok
    return TwoHand500K(root).prepare_data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda tree: tree.pop("mano_params"),
            r"1\.pkl has no dictionary 'mano_params'\. Keys found: inter_idx, image",
        ),
        (lambda tree: tree["mano_params"].pop("left"), "mano_params has right, but no left"),
        (lambda tree: tree["mano_params"]["left"].pop("pose"), "left lacks pose; it has R, shape, trans"),
        (lambda tree: tree["camera"].update(t=np.zeros(4)), "camera/t has 4 numbers; it must have 3"),
        (lambda tree: tree["camera"].update(R=np.diag([1, 1, -1])), "camera/R: matrix 0 is no rotation"),
        (lambda tree: tree["mano_params"]["left"].update(R=np.zeros((1, 3))), "left/R has 3 numbers"),
        (lambda tree: tree["mano_params"]["left"].update(shape="ten"), "left/shape cannot be read as an array"),
        (lambda tree: tree["mano_params"]["left"].update(trans=np.full(3, np.inf)), "all finite"),
    ],
)
def test_wrong_records_are_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        broken(change, tmp_path)()


class Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def test_a_pickle_that_asks_for_code_is_refused_and_nothing_runs(tmp_path):
    target = tmp_path / "touched"
    with pytest.raises(ValueError, match=r"1\.pkl asks for (posix|nt)\.system"):
        broken(lambda tree: tree.update(image=Bomb(target)), tmp_path / "data")()
    assert not target.exists()


def test_a_missing_picture_is_counted(anno):
    (anno / "img/4.jpg").unlink()
    (anno / "img/5.jpg").write_bytes(b"\xff\xd8")
    text = str(check("twohand500k", anno))
    assert "1 missing: 4.jpg; 1 that are not whole JPEG images: 5.jpg" in text


def test_shards_and_pickles_in_one_folder_are_refused(anno):
    write_shards(anno, numbers(2))
    with pytest.raises(ValueError, match="both shards and IntagHand's anno"):
        TwoHand500K(anno).prepare_data()


def test_a_twin_whose_name_says_so_has_this_layout(tmp_path):
    from datamodules.twohand500k import twin

    twin.synth(tmp_path / "IntagHand twin", 2, 0, 0)
    data = TwoHand500K(tmp_path / "IntagHand twin")
    assert check("twohand500k", tmp_path / "IntagHand twin").ok
    read = data.scenes("train").read(1)
    assert read.image.shape == (256, 256, 3)
    hands = twin.Stage(0, (256, 256), twin.FOCAL, fill=(0.35, 0.6)).hands(1, (0, 1))
    for side, made in read_meshes(read).items():
        np.testing.assert_allclose(made, hands[side].vertices, atol=1e-4)
