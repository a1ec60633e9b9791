"""Pairs of hands in any npz or pickle, through a mapping."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from pairs import MODELS, mark, mesh, meshes, numbers, read_meshes, rotation, same_but_for_place

from datamodules.check import check
from datamodules.twohand500k.data import TwoHand500K
from datamodules.twohand500k.mapping import KeyMapping

RULES = {
    "files": "*.npz",
    "unit": "mm",
    "frame": "opengl",
    "flat_hand_mean": False,
    "left_shapedirs_fix": True,
    "left": {"global_orient": "lp[0:3]", "hand_pose": "lp[3:48]", "betas": "ls", "transl": "lt", "valid": "has"},
    "right": {"global_orient": "rp[0:3]", "hand_pose": "rp[3:48]", "betas": "rs", "transl": "rt"},
}


def arrays(hands):
    made = {"has": np.ones((len(hands), 1), np.uint8), "names": np.array(["a"] * len(hands))}
    for side, letter in enumerate("lr"):
        made |= {
            f"{letter}p": hands[:, side, :48].reshape(-1, 16, 3),
            f"{letter}s": hands[:, side, 48:58],
            f"{letter}t": 1000 * hands[:, side, 58:],
        }
    return made


def mapped(root, rules=None, content=None, **changes):
    """A folder with a mapping beside its files."""
    mark(root)
    if content is None:
        np.savez(root / "a.npz", **arrays(numbers(4)))
    rules = {**RULES, **(rules or {}), **changes}
    (root / "mapping.yaml").write_text(yaml.safe_dump({key: value for key, value in rules.items() if value != "-"}))
    return root


def test_a_mapping_says_unit_frame_and_mean_of_other_files(tmp_path):
    made = read_meshes(TwoHand500K(mapped(tmp_path)).scenes("train").read(1))
    same_but_for_place(made, meshes(numbers(4)[1]), np.diag([1, -1, -1]))


def test_a_mapping_may_lie_anywhere(tmp_path):
    path = (mapped(tmp_path / "data") / "mapping.yaml").rename(tmp_path / "other.yaml")
    assert len(TwoHand500K(tmp_path / "data", mapping=path).scenes("train")) == 3
    with pytest.raises(FileNotFoundError, match=r"--data\.mapping"):
        TwoHand500K(tmp_path / "data", mapping=tmp_path / "none.yaml").prepare_data()


def test_any_rotation_may_be_the_frame(tmp_path):
    turn = rotation(1.0, 0.5, -0.3)
    root = mapped(tmp_path, frame=turn.tolist(), flat_hand_mean=True)
    made = read_meshes(TwoHand500K(root).scenes("train").read(2))
    same_but_for_place(made, meshes(numbers(4)[2], mean=False), turn)


def test_another_mapping_is_another_dataset(tmp_path):
    first = TwoHand500K(mapped(tmp_path)).table("train").hands[0, 0, 58:].copy()
    second = TwoHand500K(mapped(tmp_path, unit="cm")).table("train").hands[0, 0, 58:]
    np.testing.assert_allclose(second, 10 * first, rtol=1e-5)


def test_nested_pickles_with_matrices_are_mapped_too(tmp_path):
    rules = {
        "files": {"train": "train/*.pkl", "val": "val/*.pickle"},
        "rows": "one",
        "rotation": "matrix",
        "unit": "m",
        "frame": "opencv",
        "right": {"global_orient": "r/turns[0:9]", "hand_pose": "r/turns[9:144]", "betas": "r/shape", "transl": "r/at"},
        "left": "-",
    }
    rules = {key: value for key, value in {**RULES, **rules}.items() if value != "-"}
    for place, i in (("train/0.pkl", 0), ("train/1.pkl", 1), ("val/2.pickle", 2)):
        right = numbers(3)[i, 1]
        turns = np.stack([cv2.Rodrigues(x.astype(np.float64))[0] for x in right[:48].reshape(16, 3)])
        (tmp_path / place).parent.mkdir(exist_ok=True)
        tree = {"r": {"turns": turns, "shape": right[48:58].tolist(), "at": right[58:]}, "who": "someone"}
        (tmp_path / place).write_bytes(pickle.dumps(tree))
    (mark(tmp_path) / "mapping.yaml").write_text(yaml.safe_dump(rules))
    data = TwoHand500K(tmp_path)
    assert [len(data.scenes(split)) for split in ("train", "val")] == [2, 1]
    assert list(data.scenes("val").read(0).hands) == [1]
    found = read_meshes(data.scenes("val").read(0))
    expected = {1: meshes(numbers(3)[2])[1]}
    same_but_for_place(found, expected)
    assert check("twohand500k", tmp_path).ok


def test_pca_fingers_may_be_mapped(tmp_path):
    hands = numbers(2)
    content = arrays(hands.copy())
    for side, letter in enumerate("lr"):
        components = MODELS[side].hands_components.numpy().astype(np.float64)
        content[f"{letter}p"][:, 1:] = (hands[:, side, 3:48] @ np.linalg.inv(components)).reshape(-1, 15, 3)
    np.savez(mark(tmp_path) / "a.npz", **content)
    root = mapped(tmp_path, content=content, pca=True, frame="opencv")
    same_but_for_place(read_meshes(TwoHand500K(root).scenes("train").read(0)), meshes(hands[0]))


def test_flags_say_which_hands_are_there(tmp_path):
    content = arrays(numbers(4))
    content["has"][1] = 0
    content["lp"][1] = np.nan
    np.savez(mark(tmp_path) / "a.npz", **content)
    scenes = TwoHand500K(mapped(tmp_path, content=content)).scenes("train")
    assert scenes.sides().tolist() == [[True, True], [False, True], [True, True]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": "-"}, r"mapping\.yaml lacks unit\. They cannot be guessed.*--data\.mapping"),
        ({"frame": "-", "flat_hand_mean": "-"}, "lacks frame, flat_hand_mean"),
        ({"left": "-", "right": "-"}, "maps neither left nor right"),
        ({"unit": "km"}, "unit: 'km'; it must be one of m, cm, mm"),
        ({"flat_hand_mean": "no way"}, "flat_hand_mean: 'no way'; it must be one of True, False"),
        ({"flat_hand_mean": 0}, "flat_hand_mean: 0; it must be one of"),
        ({"frame": "blender"}, "frame: 'blender'"),
        ({"frame": [[1, 0], [0, 1]]}, "neither opencv, opengl nor a 3 x 3 rotation"),
        ({"frame": [[1, 0, 0], [0, 1, 0], [0, 0, -1]]}, "a frame that mirrors"),
        ({"flat_hand": True}, "flat_hand, which is not known. Did you mean flat_hand_mean"),
        ({"left": {"betas": "ls"}}, "lacks left/global_orient, left/hand_pose, left/transl"),
        ({"left": {**RULES["left"], "shape": "ls"}}, "left/shape, which is not known"),
        ({"left": {**RULES["left"], "betas": "ls[0-10]"}}, "no key like `a`, `a/b` or"),
        ({"left": 3}, "no keys under left"),
        ({"files": ["a.npz"]}, "`files` that are no pattern"),
        ({"files": {"training": "a.npz"}}, "files/training, which is not known. Did you mean train"),
    ],
)
def test_a_wrong_mapping_is_refused(tmp_path, changes, message):
    root = mapped(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        KeyMapping(root / "mapping.yaml")
    assert not check("twohand500k", root).ok


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"betas": "shape"}, r"a\.npz has no shape.* Keys found: has \(4, 1\), names \(4,\), lp \(4, 16, 3\)"),
        ({"hand_pose": "lp[3:40]"}, r"lp for left/hand_pose has shape \(4, 37\).*must be \(4, 45\)"),
        ({"hand_pose": "lp[30:60]"}, "lp has 48 columns, of which"),
        ({"valid": "lt"}, r"lt is \(4, 3\).*no flags"),
        ({"betas": "names"}, "names cannot be read as an array"),
    ],
)
def test_a_mapping_that_does_not_fit_lists_the_keys_found(tmp_path, place, message):
    root = mapped(tmp_path, left={**RULES["left"], **place})
    with pytest.raises(ValueError, match=message):
        TwoHand500K(root).prepare_data()


def test_patterns_that_match_nothing_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"matches '\*\.pkl'"):
        TwoHand500K(mapped(tmp_path, files="*.pkl")).prepare_data()
    (tmp_path / "a.txt").touch()
    with pytest.raises(ValueError, match="neither npz nor pickle"):
        TwoHand500K(mapped(tmp_path, files="*.txt")).prepare_data()


def test_rotations_are_never_mirrors(tmp_path):
    content = arrays(numbers(2)) | {"m": np.tile(np.diag([1.0, 1, -1]), (2, 16, 1, 1))}
    np.savez(mark(tmp_path) / "a.npz", **content)
    places = {"global_orient": "m[0:9]", "hand_pose": "m[9:144]", "betas": "ls", "transl": "lt"}
    root = mapped(tmp_path, content=content, rotation="matrix", left=places, right="-")
    with pytest.raises(ValueError, match="m: matrix 0 is no rotation"):
        TwoHand500K(root).prepare_data()


def test_the_example_of_the_readme_is_a_mapping(tmp_path):
    from datamodules import twohand500k

    text = (Path(twohand500k.__path__[0]) / "README.md").read_text().split("```")[1].removeprefix("yaml\n")
    (tmp_path / "mapping.yaml").write_text(text)
    assert KeyMapping(tmp_path / "mapping.yaml").hands[0]["transl"].key == "params/left/trans"


def test_mesh_is_what_the_model_says():
    still = np.zeros((16, 3))
    np.testing.assert_allclose(mesh(1, still, np.zeros(10), np.zeros(3)), MODELS[1].template.numpy(), atol=1e-6)
