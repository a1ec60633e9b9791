import os
import pickle
import sys

import numpy as np
import pytest
import scipy.sparse
import torch
from legacy_mano import legacy_class, openhand_arrays, stateful, write_legacy

from zoo.hands import Mano, OpenHand
from zoo.hands.template import KEYS
from zoo.hands.unpickle import read_pickle

RIGHT, LEFT = openhand_arrays("right"), openhand_arrays("left")


def same(a: torch.nn.Module, b: torch.nn.Module) -> None:
    for name in ("bias", "basis", "weights", "rest", "faces", "hands_mean", "hands_components", "parts"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=0, atol=0)


def test_a_legacy_pickle_reads_back_equal_without_chumpy(tmp_path, monkeypatch):
    path = write_legacy(monkeypatch, tmp_path / "MANO_RIGHT.pkl", RIGHT)
    for name in (b"chumpy.ch\nCh", b"chumpy.reordering\nSelect", b"scipy.sparse.csc\ncsc_matrix", b"__builtin__\nset"):
        assert name in path.read_bytes()
    arrays = read_pickle(path, KEYS)
    assert set(arrays) == set(KEYS)
    for key, value in arrays.items():
        np.testing.assert_array_equal(value, RIGHT[key])
    same(Mano(path), OpenHand())
    assert "chumpy" not in sys.modules


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", [scipy.sparse.csc_matrix, scipy.sparse.csr_matrix, scipy.sparse.csc_array, np.asarray])
def test_pickles_of_today_read_back_equal(tmp_path, protocol, kind):
    path = tmp_path / "MANO_RIGHT.pkl"
    tree = {**RIGHT, "J_regressor": kind(RIGHT["J_regressor"]), "weights": np.asfortranarray(RIGHT["weights"])}
    path.write_bytes(pickle.dumps(tree, protocol=protocol))
    same(Mano(path), OpenHand())


def test_npz_files_read_back_equal(tmp_path):
    np.savez(tmp_path / "MANO_RIGHT.npz", **RIGHT)
    same(Mano(tmp_path / "MANO_RIGHT.npz"), OpenHand())


@pytest.mark.parametrize("folder", ["", "mano", "models"])
def test_a_folder_is_searched(tmp_path, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    np.savez(tmp_path / folder / "MANO_RIGHT.npz", **RIGHT)
    same(Mano(tmp_path), OpenHand())


def test_big_endian_scalars_and_selected_selections_are_understood(tmp_path, monkeypatch):
    ch = legacy_class(monkeypatch, "chumpy.ch", "Ch")
    select = legacy_class(monkeypatch, "chumpy.reordering", "Select")
    inner = stateful(
        select, a=stateful(ch, x=np.arange(12.0).reshape(3, 4)), idxs=np.arange(4, 12), preferred_shape=(2, 4)
    )
    outer = stateful(select, a=inner, idxs=np.array([7, 0]), preferred_shape=np.array([2, 1]))
    tree = {"a": outer, "b": np.arange(3, dtype=">i4"), "c": np.float32(0.5), "d": [1, 2]}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(tree, protocol=2))
    arrays = read_pickle(tmp_path / "x.pkl", "abcd")
    np.testing.assert_array_equal(arrays["a"], [[11.0], [4.0]])
    np.testing.assert_array_equal(arrays["b"], [0, 1, 2])
    assert arrays["c"] == 0.5
    np.testing.assert_array_equal(arrays["d"], [1, 2])


class Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_tries_to_run_code_is_refused_and_runs_nothing(tmp_path, protocol):
    path, target = tmp_path / "MANO_RIGHT.pkl", tmp_path / "ran"
    path.write_bytes(pickle.dumps({**RIGHT, "trans": Bomb(target)}, protocol=protocol))
    with pytest.raises(ValueError, match=r"asks for posix\.system.*refused"):
        Mano(path)
    assert not target.exists()


@pytest.mark.parametrize(
    "name",
    ["builtins eval", "builtins getattr", "__builtin__ apply", "numpy load", "chumpy.ch depends_on", "os system"],
)
def test_names_that_are_not_on_the_list_are_refused_by_name(tmp_path, name):
    module, attribute = name.split()
    path = tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(f"c{module}\n{attribute}\n(S'1'\ntR.".encode())
    with pytest.raises(ValueError, match=rf"asks for {module}\.{attribute}"):
        Mano(path)


def test_an_allowed_name_makes_nothing_but_a_record(tmp_path):
    path = tmp_path / "x.pkl"
    # numpy.ndarray((10**12,)) would allocate terabytes
    path.write_bytes(b"\x80\x02}U\x01acnumpy\nndarray\nI1000000000000\n\x85\x85Rs.")
    with pytest.raises(ValueError, match="key 'a' cannot be read as an array: it is a ndarray"):
        read_pickle(path, "a")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x02", b"\x80\x02}q\x00.", b"Hello, this is a text file.\n", b"PK\x03\x04 cut", b"\x93NUMPY\x01\x00"],
    ids=["empty", "cut", "no keys", "text", "cut zip", "npy"],
)
def test_a_wrong_file_is_one_clear_sentence_and_where_to_get_the_right_one(tmp_path, content):
    path = tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"MANO_RIGHT\.pkl.*mano\.is\.tue\.mpg\.de"):
        Mano(path)


@pytest.mark.parametrize("name", ["MANO_RIGHT.pkl", "MANO_RIGHT.npz"])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.999])
def test_a_truncated_file_is_refused(tmp_path, monkeypatch, name, share):
    path = tmp_path / name
    if name.endswith("npz"):
        np.savez(path, **RIGHT)
    else:
        write_legacy(monkeypatch, path, RIGHT)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=r"mano\.is\.tue\.mpg\.de"):
        Mano(path)


def test_an_archive_of_objects_is_refused(tmp_path):
    np.savez(tmp_path / "MANO_RIGHT.npz", **{**RIGHT, "weights": np.array([{}], dtype=object)})
    with pytest.raises(ValueError, match=r"not a readable \.npz"):
        Mano(tmp_path)


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_key_is_named(tmp_path, key):
    np.savez(tmp_path / "MANO_RIGHT.npz", **{k: v for k, v in RIGHT.items() if k != key})
    with pytest.raises(ValueError, match=rf"no key '{key}' \(expected: numbers of shape .*mano\.is\.tue\.mpg\.de"):
        Mano(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("v_template", np.zeros((6890, 3)), r"'v_template' holds float64 of shape \(6890, 3\).*\(778, 3\)"),
        ("posedirs", np.zeros((778, 3, 207)), r"'posedirs' .*\(778, 3, 135\)"),
        ("f", np.zeros((1538, 3)), "'f' holds float64 .* integer"),
        ("f", np.full((1538, 3), 778), r"outside 0\.\.777"),
        ("weights", np.zeros((778, 16)), "do not sum to 1"),
        ("weights", np.full((778, 16), np.nan), "not finite"),
        ("kintree_table", np.zeros((2, 16), int), "has parents"),
        ("hands_mean", np.array(["a"] * 45), "'hands_mean' holds <U1"),
    ],
)
def test_a_wrong_key_is_named_with_what_is_expected(tmp_path, key, value, message):
    np.savez(tmp_path / "MANO_RIGHT.npz", **{**RIGHT, key: value})
    with pytest.raises(ValueError, match=message):
        Mano(tmp_path)


def test_a_missing_file_says_where_it_was_looked_for_and_where_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"MANO_LEFT\.pkl.*models.*mano\.is\.tue\.mpg\.de"):
        Mano(tmp_path, "left")
    with pytest.raises(FileNotFoundError, match=r"does not exist.*mano\.is\.tue\.mpg\.de"):
        Mano(tmp_path / "nowhere")


def test_the_other_hands_file_is_refused(tmp_path):
    np.savez(tmp_path / "MANO_RIGHT.npz", **RIGHT)
    with pytest.raises(ValueError, match="is the right hand by its name"):
        Mano(tmp_path / "MANO_RIGHT.npz", "left")


def test_the_left_hands_right_signed_shapes_are_mirrored_and_it_says_so(tmp_path, monkeypatch):
    wrong = LEFT["shapedirs"] * np.array([-1.0, 1, 1])[:, None]
    np.testing.assert_allclose(wrong, RIGHT["shapedirs"], atol=1e-12)
    write_legacy(monkeypatch, tmp_path / "MANO_RIGHT.pkl", RIGHT)
    write_legacy(monkeypatch, tmp_path / "MANO_LEFT.pkl", {**LEFT, "shapedirs": wrong})
    with pytest.warns(UserWarning, match=r"MANO_LEFT\.pkl: mirrored the x"):
        fixed = Mano(tmp_path, "left")
    torch.testing.assert_close(fixed.basis, OpenHand("left").basis, rtol=0, atol=1e-9)
    as_it_is = Mano(tmp_path, "left", fix_left=False)
    assert not torch.allclose(as_it_is.basis, fixed.basis)


def test_a_left_hand_that_is_right_is_left_alone(tmp_path):
    np.savez(tmp_path / "MANO_RIGHT.npz", **RIGHT)
    np.savez(tmp_path / "MANO_LEFT.npz", **LEFT)
    same(Mano(tmp_path, "left"), OpenHand("left"))  # a warning would be an error


def test_a_left_hand_alone_cannot_be_judged_and_says_so(tmp_path):
    np.savez(tmp_path / "MANO_LEFT.npz", **LEFT)
    with pytest.warns(UserWarning, match="without MANO_RIGHT beside it"):
        same(Mano(tmp_path, "left"), OpenHand("left"))


def test_tips_can_be_a_datasets_own(tmp_path):
    np.savez(tmp_path / "MANO_RIGHT.npz", **RIGHT)
    still = (torch.eye(3).expand(16, 3, 3), torch.zeros(10), torch.zeros(3))
    for tips in ((744, 320, 443, 554, 671), (744, 320, 443, 555, 672)):
        hand = Mano(tmp_path, tips=tips)
        mesh = hand(*still)
        torch.testing.assert_close(mesh.joints[4::4], mesh.vertices[list(tips)], rtol=0, atol=0)
        torch.testing.assert_close(hand.regress(mesh.vertices)[4::4], mesh.vertices[list(tips)])
    assert Mano(tmp_path).tips == (744, 320, 443, 554, 671)
    with pytest.raises(ValueError, match="five different vertices"):
        Mano(tmp_path, tips=(1, 2, 3, 4, 778))
