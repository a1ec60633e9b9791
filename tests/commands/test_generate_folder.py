"""Whose folder `generate` writes into: what may be emptied, taken over or gone on with."""

import pytest

from zoo.__main__ import main
from zoo.commands.factory.claim import claim_set
from zoo.commands.factory.finish import alone
from zoo.commands.factory.shard import PARTS
from zoo.registry import UsageError

COMMON = ("-n", "3", "--shard", "2", "--batch", "2", "--steps", "1", "--tas", "off", "--device", "cpu")


def words(weights, out, *more):
    return ["generate", "--ckpt", str(weights), "--out", str(out), *COMMON, *map(str, more)]


@pytest.fixture
def earlier(tmp_path):
    """The folder of an earlier set, which may be emptied."""
    out = tmp_path / "o"
    out.mkdir()
    (out / "manifest.json").write_text("{}")
    return out


def test_overwrite_does_not_delete_what_the_run_reads(painter_weights, earlier, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(earlier.parent))
    (earlier / "prompts.txt").write_text("a {hand}")
    (earlier / "weights").symlink_to(painter_weights)
    for given in (("--prompts", earlier / "prompts.txt"), ("--mano", "~/o"), ("--ckpt", earlier / "weights")):
        assert main(words(painter_weights, earlier, *given, "--overwrite")) == 2
        assert "--overwrite would delete" in capsys.readouterr().err
    assert (earlier / "prompts.txt").is_file()
    assert main(words(painter_weights, earlier, "--prompts", "a {hand}", "--overwrite")) == 0
    assert not (earlier / "prompts.txt").exists()


def asked(seed):
    return {"options": {"seed": seed}}


def test_a_folder_without_a_picture_is_nobody_s(tmp_path):
    claim_set(tmp_path, asked(0))
    with alone(tmp_path / PARTS / ".lock-1-of-1", ""), pytest.raises(OSError, match="another process makes pictures"):
        claim_set(tmp_path, asked(1))
    assert claim_set(tmp_path, asked(1))["options"] == {"seed": 1}
    (tmp_path / PARTS / "000000000.npz").touch()
    with pytest.raises(UsageError, match="made with --seed 1, not 2"):
        claim_set(tmp_path, asked(2))


def test_a_larger_set_is_another_one(tmp_path):
    claim_set(tmp_path, {"options": {"n": 8}})
    (tmp_path / PARTS).mkdir()
    (tmp_path / PARTS / "000000000.npz").touch()
    with pytest.raises(UsageError, match=r"has 8 pictures, not 9\. Make more in another folder, with --seed"):
        claim_set(tmp_path, {"options": {"n": 9}})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--prompts", " "), "--prompts is an empty text"),
        (("--seed", "-1"), "--seed -1 is no seed"),
        (("--steps", "5000"), "--steps 5000 is more than the 1000 of the model's noise schedule"),
    ],
)
def test_what_cannot_be_made_is_told_before_the_folder_is_taken(painter_weights, tmp_path, more, said, capsys):
    assert main(words(painter_weights, tmp_path / "o", *more)) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_folder_that_a_process_writes_into_is_not_emptied(painter_weights, earlier, capsys):
    assert main(words(painter_weights, earlier, "--overwrite", "--part", "1/2")) == 2
    assert "--overwrite is for one process, and there are 2" in capsys.readouterr().err
    with alone(earlier / PARTS / ".lock-1-of-1", ""), pytest.raises(OSError, match="another process makes pictures"):
        claim_set(earlier, asked(0), overwrite=True)
    assert (earlier / PARTS).is_dir()
    claim_set(earlier, asked(0), overwrite=True)
    assert not (earlier / PARTS).exists()
