"""Files of weights: read whole, refused when damaged, and never run."""

import os
import sys
import types
from collections import defaultdict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from zoo.bases.tensors import read_tensors

WEIGHTS = {"a": torch.arange(3.0), "b": torch.ones(2, 2, dtype=torch.float16)}


class Runs:
    """Would make a file when unpickled."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.fixture
def callbacks(monkeypatch):
    """Stands for pytorch_lightning as it was; gone again when the file is read."""
    module = types.ModuleType("lightning_of_old")
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": "lightning_of_old"})
    monkeypatch.setitem(sys.modules, "lightning_of_old", module)
    return module


def test_both_kinds_of_file_give_the_same_tensors(tmp_path):
    save_file(WEIGHTS, tmp_path / "a.safetensors", {"said": "so"})
    torch.save({"state_dict": WEIGHTS, "epoch": 1}, tmp_path / "a.ckpt")
    torch.save(WEIGHTS, tmp_path / "a.bin", _use_new_zipfile_serialization=False)
    for name in ("a.safetensors", "a.ckpt", "a.bin"):
        found = read_tensors(tmp_path / name)
        assert found.left == ()
        assert found.state.keys() == WEIGHTS.keys()
        assert all(torch.equal(found.state[key], value) for key, value in WEIGHTS.items())
    assert read_tensors(tmp_path / "a.safetensors").facts == {"said": "so"}


def test_lightnings_objects_are_left_and_named(tmp_path, callbacks):
    """Checkpoints of Stable Diffusion key the state of callbacks by their class, and hold numpy's scores."""
    cls = callbacks.ModelCheckpoint
    content = {"state_dict": WEIGHTS, "callbacks": {cls: {"best_model_score": np.float64(2)}}, "one": [cls(), cls()],
               "lists": defaultdict(list, a=[1])}  # fmt: skip
    torch.save(content, tmp_path / "a.ckpt")
    del sys.modules["lightning_of_old"]
    found = read_tensors(tmp_path / "a.ckpt")
    assert torch.equal(found.state["a"], WEIGHTS["a"])
    assert "lightning_of_old.ModelCheckpoint" in found.left


def test_nothing_that_a_file_names_is_run(tmp_path):
    mark = tmp_path / "run"
    torch.save({"state_dict": WEIGHTS, "x": Runs(eval, f"open({str(mark)!r}, 'w')")}, tmp_path / "a.ckpt")
    assert read_tensors(tmp_path / "a.ckpt").left == ("builtins.eval",)
    torch.save({"state_dict": WEIGHTS, "x": Runs(os.system, f"touch {mark}")}, tmp_path / "b.ckpt")
    with pytest.raises(ValueError, match=r"asks for posix\.system.*refused, nothing was run"):
        read_tensors(tmp_path / "b.ckpt")
    assert not mark.exists()


@pytest.mark.parametrize("name", ["a.safetensors", "a.ckpt"])
def test_a_file_that_is_cut_short_is_refused_with_the_fix(tmp_path, name):
    path = tmp_path / name
    save_file(WEIGHTS, path) if name.endswith("safetensors") else torch.save(WEIGHTS, path)
    whole = path.read_bytes()
    for length in (0, 7, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="Copy it again"):
            read_tensors(path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ValueError, match=r"ends in \.txt; weights are read from \.safetensors, \.ckpt"):
        read_tensors(tmp_path / "a.txt")
    torch.save({"epoch": 1}, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match="holds no tensors"):
        read_tensors(tmp_path / "a.ckpt")
