"""`convert`: what it prints, what it writes, and what it refuses."""

import sys
from pathlib import Path

import pytest
import torch
import yaml

sys.path.insert(0, str(Path(__file__).parent.parent / "bases"))  # for reduced.py and layout.py
import layout
import reduced

import checkpoints
from tests.tiny_painter import STEERED
from zoo.__main__ import main
from zoo.bases import load_base, read_guide
from zoo.registry import build


@pytest.fixture(scope="module")
def parts():
    base = reduced.base()
    return base, reduced.dual(base).guide


@pytest.fixture
def checkpoint(tmp_path, parts):
    torch.save({"state_dict": layout.attentionhand_state(*parts)}, tmp_path / "attentionhand.ckpt")
    return tmp_path / "attentionhand.ckpt"


def test_attentionhands_checkpoint_becomes_a_base_and_a_controlnet(checkpoint, tmp_path, capsys, parts):
    base, guide = parts
    assert main(["convert", "show", str(checkpoint)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["read", "missing", "wrong", "unexpected"]
    assert [line.split("  ")[0] for line in shown[1:]] == [
        "U-Net", "autoencoder", "text encoder", "guidance copy", "second U-Net (TAS)", "noise schedule",
    ]  # fmt: skip
    assert main(["convert", "base", str(checkpoint), "--to", str(tmp_path / "sd")]) == 0
    assert main(["convert", "guide", str(checkpoint), "--to", str(tmp_path / "net")]) == 0
    said = capsys.readouterr().out
    assert f"--model.base {tmp_path / 'sd'}" in said
    assert said.count("second U-Net (TAS)") == 2
    found = load_base(str(tmp_path / "sd"))
    assert found.hash == base.hash
    assert reduced.same(read_guide(str(tmp_path / "net"), found.unet, 8), guide)
    for name in ("sd", "net"):
        assert main(["convert", "show", str(tmp_path / name)]) == 0


def test_folders_become_one_file_that_the_authors_code_reads(checkpoint, tmp_path, parts):
    for word in ("base", "guide"):
        assert main(["convert", word, str(checkpoint), "--to", str(tmp_path / word)]) == 0
    back = tmp_path / "back.safetensors"
    words = ["convert", "original", str(tmp_path / "base"), "--guide", str(tmp_path / "guide"), "--to", str(back)]
    assert main([*words, "--prefix", "VAS"]) == 0
    from safetensors.torch import load_file

    theirs = torch.load(checkpoint, weights_only=True)["state_dict"]
    ours = load_file(back)
    needed = {key for key in theirs if not key.startswith("TAS.") and key not in layout.SCHEDULE and "_ids" not in key}
    assert ours.keys() - {"betas"} == needed
    assert all(torch.equal(ours[key], theirs[key]) for key in needed)
    assert back.stat().st_mode & 0o777 == 0o644


def test_what_does_not_fit_is_listed_whole_and_nothing_is_written(checkpoint, tmp_path, capsys):
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    gone = [key for key in state if key.startswith("model.diffusion_model.output_blocks.0.")]
    torch.save({key: value for key, value in state.items() if key not in gone}, checkpoint)
    for word in (["show"], ["base", "--to", str(tmp_path / "sd")]):
        assert main(["convert", word[0], str(checkpoint), *word[1:]]) == 1
        out, said = capsys.readouterr()
        assert out.count("  U-Net: missing output_blocks.0.") == len(gone)
        assert f"U-Net: {len(gone)} missing (output_blocks.0." in said
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.name]


def test_a_base_that_ships_or_was_released_is_shown(base_weights, capsys):
    for name in (str(base_weights), "tiny-sd"):
        assert main(["convert", "show", name]) == 0, capsys.readouterr()
        assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()[1:]] == [
            "U-Net", "autoencoder", "text encoder",
        ]  # fmt: skip


@pytest.mark.parametrize("strength", [1.0, 1.3])
def test_a_copy_that_is_not_used_as_it_is_comes_with_its_strength(base_weights, tmp_path, capsys, strength):
    config = yaml.safe_load(STEERED.replace("BASE", str(base_weights)))
    config["init_args"]["strength"] = strength
    checkpoints.save(tmp_path / "w", config, build(config).state_dict(), "A painter.")
    assert main(["convert", "guide", str(tmp_path / "w"), "--to", str(tmp_path / "net")]) == 0
    said = capsys.readouterr().out
    if strength == 1:
        assert "controlnet_conditioning_scale" not in said
        assert not (tmp_path / "net" / "README.md").exists()
    else:
        for text in (said, (tmp_path / "net" / "README.md").read_text()):
            assert "controlnet_conditioning_scale=1.3," in text
    assert read_guide(str(tmp_path / "net")) is not None


def test_mistakes_are_one_sentence(checkpoint, tmp_path, capsys):
    cases = [
        (["guide", "hhmr", "--to", str(tmp_path / "a")], 1, "hhmr is a HHMR, which has no guidance copy"),
        (["original", str(checkpoint), "--to", str(tmp_path / "a.ckpt")], 2, "does not end in .safetensors"),
        (["base", str(checkpoint), "--to", str(tmp_path)], 1, "exists. Give another --to, or --overwrite"),
        (["bse"], 2, "Did you mean base?"),
    ]
    for words, code, said in cases:
        assert main(["convert", *words]) == code
        assert said in capsys.readouterr().err
