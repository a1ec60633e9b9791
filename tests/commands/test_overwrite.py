import numpy as np
import pytest
from sample_files import keypoints, photo
from toys import BlindToy, SeeingToy

import checkpoints
from zoo.__main__ import main

FAST = ("--device=cpu", "--no-params", "--no-pictures", "--mesh=none", "--out=o", "--overwrite")


@pytest.fixture
def earlier(tmp_path, monkeypatch):
    """The folder of an earlier run, which may be emptied."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "manifest.json").write_text("{}")
    return tmp_path / "o"


def weights(folder, toy):
    checkpoints.save(folder, {"class_path": f"toys.{toy.__name__}"}, toy().state_dict(), "# Toy")
    return str(folder)


def refused(words, path, capsys):
    assert main(["sample", *map(str, words), *FAST]) == 2
    assert "--overwrite would delete" in capsys.readouterr().err
    assert path.exists()


def test_overwrite_does_not_delete_keypoints(earlier, tmp_path, capsys):
    ckpt = weights(tmp_path / "weights", BlindToy)
    np.save(earlier / "a.npy", np.array(keypoints()).reshape(21, 3))
    words = ("--ckpt", ckpt, "--task=fit", "--side=left")
    for given in ("o/a.npy", "o", str(earlier / "a.npy")):
        refused((*words, f"--input={given}"), earlier / "a.npy", capsys)
    (tmp_path / "link").symlink_to(earlier)
    refused((*words, "--input=link/a.npy"), earlier / "a.npy", capsys)
    (earlier / "a.npy").rename(tmp_path / "a.npy")
    assert main(["sample", *words, "--input=a.npy", *FAST]) == 0
    assert (earlier / "hands" / "a.npz").is_file()


def test_overwrite_does_not_delete_photographs_that_a_list_names(earlier, tmp_path, capsys):
    ckpt = weights(tmp_path / "weights", SeeingToy)
    image = photo(earlier / "photos" / "a.jpg")
    (tmp_path / "list.csv").write_text("o/photos/a.jpg,10,10,40,40,right\n")
    refused(("--ckpt", ckpt, "--task=reconstruct", "--input=list.csv"), image, capsys)


def test_overwrite_does_not_delete_the_weights(earlier, capsys):
    ckpt = weights(earlier / "weights", BlindToy)
    refused(("--ckpt", ckpt, "-n", "1"), earlier / "weights" / "model.safetensors", capsys)
