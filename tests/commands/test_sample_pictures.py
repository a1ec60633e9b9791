import json

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tiny_painter import SIZE
from zoo.__main__ import main
from zoo.commands.painting.names import Names
from zoo.commands.painting.painter import Painter, Settings
from zoo.commands.painting.prompts import paired, read_prompts
from zoo.commands.painting.store import read_record
from zoo.commands.painting.words import gathered, paints
from zoo.registry import UsageError
from zoo.samplers.ddim import DDIM
from zoo.samplers.ddpm import DDPM

QUICK = ("--steps", "1", "--tas", "off", "--device", "cpu")


@pytest.fixture
def folder(drawn, tmp_path):
    """Two pictures of meshes: one in colour, one grey and of another size."""
    path = tmp_path / "meshes"
    path.mkdir()
    first, second = (Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in drawn[:2])
    first.save(path / "a.png")
    second.convert("L").resize((48, 48)).save(path / "b.jpg")
    return path


def sample(weights, out, *words):
    return main(["sample", "--ckpt", str(weights), "--out", str(out), *QUICK, *map(str, words)])


def manifest(out):
    return json.loads((out / "manifest.json").read_text())


def picture(path):
    with Image.open(path) as image:
        return np.array(image).astype(int)


def test_pictures_come_with_a_sheet_and_a_manifest(painter_weights, folder, tmp_path, capsys):
    out = tmp_path / "o"
    words = ("--mesh", folder, "--prompt", "A right hand.", "--seeds", "5", "6")
    assert sample(painter_weights, out, *words) == 0, capsys.readouterr()
    said = manifest(out)
    assert (said["status"], len(said["checkpoint"]["sha256"]), len(said["base"]["hash"])) == ("done", 64, 64)
    assert [row["name"] for row in said["results"]] == ["a-5", "a-6", "b-5", "b-6"]
    assert said["sampler"]["steps"] == 1
    assert said["pictures"] == ["pictures.png"]
    for row in said["results"]:
        assert picture(out / row["file"]).shape == picture(out / row["mesh"]).shape == (SIZE, SIZE, 3)
        assert (row["prompt"], row["seed"], row["status"]) == ("A right hand.", int(row["name"][2:]), "ok")
    assert (picture(out / "pictures" / "a-5.png") != picture(out / "pictures" / "a-6.png")).any()
    assert (out / "pictures.png").is_file()
    assert sample(painter_weights, out, *words) == 1
    assert "is not empty" in capsys.readouterr().err


def test_a_picture_does_not_depend_on_its_batch(painter_weights, hands, drawn):
    import checkpoints

    method = checkpoints.load(painter_weights)
    painter = Painter(method, Settings(sampler="ddim", steps=2, eta=1.0), painter_weights)
    texts, seeds = ["a hand", "a fist", "two"], [4, 9, 4]
    seen = []
    inner = method.sample
    method.sample = lambda *rest, **more: seen.append(inner(*rest, **more)) or seen[-1]
    painter(texts, drawn, seeds)
    for row in range(3):
        painter(texts[row : row + 1], drawn[row : row + 1], seeds[row : row + 1])
    torch.testing.assert_close(torch.cat(seen[1:]), seen[0], atol=1e-4, rtol=0)


def test_a_prompt_for_each_mesh_is_as_good_as_one_at_a_time(painter_weights, folder, tmp_path):
    (tmp_path / "prompts.txt").write_text("An open hand.\n\n  A   fist.\n")
    words = ("--mesh", folder / "a.png", folder / "b.jpg", "--prompt", tmp_path / "prompts.txt", "--batch", "3")
    assert sample(painter_weights, tmp_path / "o", *words) == 0
    rows = manifest(tmp_path / "o")["results"]
    assert [row["prompt"] for row in rows] == ["An open hand.", "A fist."]
    alone = ("--mesh", folder / "b.jpg", "--prompt", "A fist.", "--batch", "1")
    assert sample(painter_weights, tmp_path / "p", *alone) == 0
    off = picture(tmp_path / "o" / "pictures" / "b.png") - picture(tmp_path / "p" / "pictures" / "b.png")
    assert abs(off).max() <= 1


def test_overwrite_does_not_delete_what_is_read(painter_weights, folder, tmp_path, capsys):
    (folder / "manifest.json").write_text("{}")  # the folder of an earlier run
    assert sample(painter_weights, folder, "--mesh", folder / "a.png", "--prompt", "A hand.", "--overwrite") == 2
    assert "--overwrite would delete" in capsys.readouterr().err
    assert (folder / "a.png").is_file()
    out = tmp_path / "o"
    (out / "mano").mkdir(parents=True)
    (out / "manifest.json").write_text("{}")
    words = ("--mesh", folder / "a.png", "--prompt", "A hand.", "--mano", out / "mano", "--overwrite")
    assert sample(painter_weights, out, *words) == 2
    assert f"would delete {out / 'mano'}" in capsys.readouterr().err
    assert (out / "mano").is_dir()


def test_a_bad_file_is_told_at_the_end_and_the_others_are_made(painter_weights, folder, tmp_path, capsys):
    (folder / "broken.png").write_bytes(b"no picture")
    Image.new("RGB", (40, 40)).save(folder / "empty.png")
    Image.new("RGB", (40, 40), "white").save(folder / "white.png")
    (folder / "c.npz").write_bytes(b"PK")
    assert sample(painter_weights, tmp_path / "o", "--mesh", folder, "--prompt", "A hand.") == 1
    said = capsys.readouterr()
    assert "2 pictures in" in said.out
    for name in ("broken: ", "empty: ", "white: ", "c: "):
        assert f"left out {name}" in said.err
    status = {row["name"]: row["status"] for row in manifest(tmp_path / "o")["results"]}
    assert status == {"a": "ok", "b": "ok", "broken": "failed", "empty": "failed", "white": "failed", "c": "failed"}


def test_a_stopped_run_goes_on_and_keeps_what_is_there(painter_weights, folder, tmp_path, monkeypatch, capsys):
    words = ("--mesh", folder, "--prompt", "A hand.", "-n", "2", "--batch", "1")
    assert sample(painter_weights, tmp_path / "whole", *words) == 0
    from zoo.commands.tasks.stream import Stopped

    paint, calls = Painter.__call__, []

    def stops(self, *rest):
        calls.append(1)
        if len(calls) == 3:
            raise Stopped(2)
        return paint(self, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Painter, "__call__", stops)
        assert sample(painter_weights, tmp_path / "o", *words) == 130
    assert "Stopped after 2 of 4 pictures" in capsys.readouterr().err
    (tmp_path / "o" / "pictures" / "a-1.png").write_bytes(b"half")  # damaged: made again
    calls.clear()
    monkeypatch.setattr(Painter, "__call__", lambda self, *rest: calls.append(1) or paint(self, *rest))
    assert sample(painter_weights, tmp_path / "o", *words, "--resume") == 0
    assert len(calls) == 3
    for name in ("a-0", "a-1", "b-0", "b-1"):
        parts = [(tmp_path / out / "pictures" / f"{name}.png").read_bytes() for out in ("o", "whole")]
        assert parts[0] == parts[1]
    assert sample(painter_weights, tmp_path / "o", *words, "--resume", "--scale", "2") == 2
    assert "were made with scale None, not 2.0" in capsys.readouterr().err


def test_a_resumed_run_makes_the_pictures_of_a_changed_mesh_again(painter_weights, folder, tmp_path, monkeypatch):
    words = ("--mesh", folder, "--prompt", "A hand.", "--batch", "1")
    assert sample(painter_weights, tmp_path / "o", *words) == 0
    with Image.open(folder / "a.png") as image:
        turned = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turned.save(folder / "a.png")
    paint, texts = Painter.__call__, []
    monkeypatch.setattr(Painter, "__call__", lambda self, *rest: texts.append(rest[0]) or paint(self, *rest))
    assert sample(painter_weights, tmp_path / "o", *words, "--resume") == 0
    assert len(texts) == 1
    assert (picture(tmp_path / "o" / "meshes" / "a.png") == np.array(turned.convert("RGB"))).all()
    assert len({row["mesh_sha256"] for row in manifest(tmp_path / "o")["results"]}) == 2


def test_the_local_branch_makes_the_part_around_the_hand(painter_weights, folder, tmp_path):
    words = ("--mesh", folder / "a.png", "--prompt", "A hand.", "--branch", "both")
    assert sample(painter_weights, tmp_path / "o", *words) == 0
    said = manifest(tmp_path / "o")
    assert [(row["name"], row["branch"]) for row in said["results"]] == [("a", "global"), ("a-local", "local")]
    assert said["pictures"] == ["pictures.png", "pictures-local.png"]
    whole, part = (picture(tmp_path / "o" / "meshes" / f"{name}.png").max(-1) > 127 for name in ("a", "a-local"))
    assert part.mean() >= whole.mean()


def test_no_picture_takes_the_place_of_another(painter_weights, folder, tmp_path):
    for name in ("a-local", "b-local"):
        (folder / f"{name}.png").write_bytes((folder / "a.png").read_bytes())
    words = ("--mesh", folder, "--prompt", "A hand.", "--branch", "both")
    assert sample(painter_weights, tmp_path / "o", *words) == 0
    rows = manifest(tmp_path / "o")["results"]
    for kind in ("file", "mesh"):
        assert len({row[kind] for row in rows}) == len(rows) == 8
    for row in rows:
        assert read_record(tmp_path / "o" / row["file"])["branch"] == row["branch"]


def test_names_are_numbered_only_where_a_file_has_a_namesake():
    one, both = Names([1], ["global"]), Names([5, 6], ["global", "local"])
    assert [one.take(name) for name in ("a", "a-local", "A", "a")] == ["a", "a-local", "A_2", "a_3"]
    assert [both.take(name) for name in ("a-5", "a", "a-local", "x/y")] == ["a-5", "a", "a-local_2", "x_y"]


def test_the_base_needs_a_prompt_and_no_mesh(base_weights, folder, tmp_path, capsys):
    words = ["sample", "--ckpt", str(base_weights), "--steps", "1", "--device", "cpu"]
    assert main([*words, "--out", str(tmp_path / "o"), "--prompt", "A hand.", "-n", "2"]) == 0
    assert [row["name"] for row in manifest(tmp_path / "o")["results"]] == ["picture_0000-0", "picture_0000-1"]
    for more, said in (
        (("--mesh", str(folder)), "looks at no meshes"),
        (("--tas", "on"), "--tas is AttentionHand's"),
        (("--base", "x"), "brings all its weights"),
        (("--branch", "both"), "has one"),
    ):
        assert main([*words, "--out", str(tmp_path / "p"), "--prompt", "A hand.", *more]) == 2
        assert said in capsys.readouterr().err


def test_what_is_cut_from_a_prompt_is_said(painter_weights, folder, tmp_path, capsys):
    text = "word " * 90 + "and a hand"
    assert sample(painter_weights, tmp_path / "o", "--mesh", folder / "a.png", "--prompt", text) == 0
    [row] = manifest(tmp_path / "o")["results"]
    assert row["cut"].endswith("and a hand")
    assert "'hand'. Move them forward" in row["notice"]
    assert "Move them forward" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "needs --prompt"),
        (("--prompt", "a", "--seeds", "1", "x"), "--seeds x is no whole number"),
        (("--prompt", "a", "--seeds", "1", "-n", "2"), "Give one of them"),
        (("--prompt", "a", "--mesh", "nowhere.png"), "nowhere.png is not there"),
        (("--prompt", "prompts.txt"), "looks like a file"),
        (("--prompt", "a", "--eta", "3"), "--eta 3.0 is no share"),
        (("--prompt", "a", "--resume"), "--resume needs --out"),
        (("--prompt", "a", "--promt", "b"), "Did you mean --prompt?"),
    ],
)
def test_wrong_words_are_answered_in_a_sentence(painter_weights, folder, words, said, capsys):
    mesh = () if "--mesh" in words else ("--mesh", str(folder / "a.png"))
    assert main(["sample", "--model", "attentionhand", "--ckpt", str(painter_weights), *QUICK, *mesh, *words]) in (1, 2)
    assert said in capsys.readouterr().err


def test_words_of_a_shell_become_one_list():
    assert gathered(["--mesh", "a b.png", "c.png", "--prompt", "x"]) == ["--prompt", "x", '--mesh=["a b.png", "c.png"]']
    assert gathered(["--seeds=[1, 2]", "-n", "3"]) == ["-n", "3", "--seeds=[1, 2]"]
    assert gathered(["--mesh", "a", "-n", "3"]) == ["-n", "3", '--mesh=["a"]']
    with pytest.raises(UsageError, match="--mesh needs a value"):
        gathered(["--mesh", "--prompt", "x"])


def test_a_model_or_a_prompt_decides_what_sample_does():
    assert paints(["--model", "attentionhand"])
    assert paints(["--model=tiny-sd", "--help"])
    assert paints(["--ckpt", "x", "--prompt", "a"])
    assert not paints(["--model", "hhmr"])
    assert not paints(["--task", "fit"])


def test_prompts_and_meshes_combine_one_to_all_or_one_to_one():
    assert list(paired([1, 2], ["a"])) == [(1, "a"), (2, "a")]
    assert list(paired([1], ["a", "b"])) == [(1, "a"), (1, "b")]
    assert list(paired([1, 2], ["a", "b"])) == [(1, "a"), (2, "b")]
    with pytest.raises(UsageError, match="2 prompts and --mesh has 3"):
        paired([1, 2, 3], ["a", "b"])
    assert read_prompts("A hand, tan skin.") == ["A hand, tan skin."]
    assert read_prompts("x" * 5000) == ["x" * 5000]


@pytest.mark.parametrize("given", ["prompts.TXT", "my prompts.csv", "old/all.lst", "my texts/all.lst", "x.jsonl"])
def test_a_prompt_that_looks_like_a_file_must_be_one(given):
    with pytest.raises(FileNotFoundError, match="looks like a file, and is not there"):
        read_prompts(given)


@pytest.mark.parametrize(
    "text", ["a hand with a 1/2 cup", "open/closed, no. 5", "A right/left hand.", "f/2.8 photo", ""]
)
def test_a_prompt_with_a_slash_or_a_stop_is_a_text(text):
    assert read_prompts(text) == [text]


def test_a_folder_is_no_prompt(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        read_prompts(str(tmp_path))


def test_a_folder_of_rows_brings_its_sentences(painter_weights, tmp_path):
    words = ["generate", "--ckpt", str(painter_weights), "-n", "2", *QUICK, "--out", str(tmp_path / "set")]
    assert main(words) == 0
    assert sample(painter_weights, tmp_path / "o", "--mesh", tmp_path / "set") == 2  # it is hands without a prompt
    words = ["sample", "--model", "attentionhand", "--ckpt", str(painter_weights), *QUICK]
    assert main([*words, "--mesh", str(tmp_path / "set"), "--out", str(tmp_path / "o")]) == 0
    texts = [path.read_text() for path in sorted((tmp_path / "set" / "data" / "text").iterdir())]
    assert [row["prompt"] for row in manifest(tmp_path / "o")["results"]] == texts


def test_settings_change_the_own_sampler_and_nothing_else():
    own = DDIM(steps=20, eta=0.3, spacing="leading", offset=1)
    assert Settings().sampler_of(own) == own
    assert Settings(steps=5).sampler_of(own) == DDIM(5, 0.3, "leading", 1)
    assert Settings(eta=0.0).sampler_of(own) == DDIM(20, 0.0, "leading", 1)
    assert Settings(sampler="ddpm").sampler_of(own) == DDPM(20)
    assert Settings(steps=7).sampler_of(DDPM(variance="beta")) == DDPM(7, "beta")
    assert Settings(sampler="ddim", steps=7).sampler_of(DDPM()) == DDIM(7)
