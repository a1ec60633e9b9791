"""`score`: two folders in, numbers with their rules out."""

import json

import open_clip
import pytest
from safetensors.torch import save_file

from tests.metrics.noisy_pictures import blobs
from tests.metrics.test_clip_score import SMALL
from tests.metrics.test_picture_folder import written
from zoo.__main__ import main
from zoo.commands.score import _prompts


@pytest.fixture
def words(tmp_path):
    written(tmp_path / "real", blobs(6))
    written(tmp_path / "made", blobs(5, seed=1))
    (tmp_path / "boxes.csv").write_text("file,x,y,w,h\n000.png,5,5,40,30\n001.png,5,5,40,30\n001.png,30,30,20,20\n")
    folders = ["--real", str(tmp_path / "real"), "--made", str(tmp_path / "made")]
    return ["score", *folders, "--out", str(tmp_path / "out"), "--device", "cpu"]


def test_numbers_come_with_their_rules_and_bad_files_are_told(words, tmp_path, capsys):
    (tmp_path / "made" / "x.png").write_bytes(b"")
    boxes = str(tmp_path / "boxes.csv")
    assert main([*words, "--boxes", boxes, "--real_boxes", boxes]) == 0, capsys.readouterr()
    said = capsys.readouterr().out
    numbers = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert set(numbers) == {
        *("fid/zoo-small", "kid/zoo-small", "kid_std/zoo-small"),
        *("fid_h/zoo-small/given", "kid_h/zoo-small/given", "kid_h_std/zoo-small/given"),
    }
    assert "Not comparable with published numbers" in said
    assert "3 real, 3 made" in said
    assert "1 made files could not be read and are left out, the first: x.png" in said
    assert (tmp_path / "out" / "scores.txt").read_text().strip() in said


def test_texts_and_a_clip_of_ones_own_give_the_clip_score(words, tmp_path, capsys):
    model = open_clip.CLIP(**SMALL)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, tmp_path / "small.safetensors")
    (tmp_path / "small.json").write_text(json.dumps(SMALL))
    (tmp_path / "texts.json").write_text(json.dumps({f"{row:03d}.png": "a hand" for row in range(5)}))
    clip = ["--clip", str(tmp_path / "small.json"), "--clip_weights", str(tmp_path / "small.safetensors")]
    assert main([*words, *clip, "--prompts", str(tmp_path / "texts.json")]) == 0, capsys.readouterr()
    assert 0 <= json.loads((tmp_path / "out" / "metrics.json").read_text())["clip_score/small"] <= 100
    assert "mean over 5 pictures with their texts" in capsys.readouterr().out
    (tmp_path / "texts.json").write_text(json.dumps({"000.png": "a hand"}))
    assert main([*words, *clip, "--prompts", str(tmp_path / "texts.json")]) == 1
    assert "There is no text for 001.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--batch", "0"], "--batch 0 holds no picture"),
        (["--boxes", "b.csv"], "--boxes without --real_boxes"),
        (["--clip", "ViT-B-32"], "Give all three"),
        (["--boxes", "b.csv", "--real_boxes", "b.csv", "--detector", "d.task"], "Give one of them"),
    ],
)
def test_options_that_do_not_go_together_are_refused_at_once(words, extra, said, capsys):
    assert main([*words, *extra]) == 2
    assert said in capsys.readouterr().err


def test_a_single_picture_is_a_problem_and_its_numbers_are_null(words, tmp_path, capsys):
    for file in sorted((tmp_path / "made").iterdir())[1:]:
        file.unlink()
    assert main(words) == 1
    assert "has 1 readable picture, but FID and KID need two of each kind" in capsys.readouterr().err
    text = (tmp_path / "out" / "metrics.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["fid/zoo-small"] is None


def test_files_that_are_not_there_and_boxes_of_others_are_sentences(words, tmp_path, capsys):
    assert main([*words, "--extractor", str(tmp_path / "pt_inception.pth"), "--extractor_kind", "imagenet"]) == 1
    assert "Nothing is downloaded" in capsys.readouterr().err
    (tmp_path / "other.csv").write_text("file,x,y,w,h\n009.png,5,5,40,30\n")
    boxes = str(tmp_path / "boxes.csv")
    assert main([*words, "--boxes", str(tmp_path / "other.csv"), "--real_boxes", boxes]) == 1
    assert "does not hold" in capsys.readouterr().err


def test_prompts_are_an_object_or_attentionhands_lines(tmp_path):
    file = tmp_path / "prompt.json"
    file.write_text('{"a.png": "an open hand"}')
    assert _prompts(file) == {"a.png": "an open hand"}
    file.write_text('{\n"a.png": "an open hand"\n}')
    assert _prompts(file) == {"a.png": "an open hand"}
    file.write_text('{"source": "s/a.png", "target": "t/a.png", "prompt": "a fist"}\n' * 2)
    assert _prompts(file) == {"a.png": "a fist"}
