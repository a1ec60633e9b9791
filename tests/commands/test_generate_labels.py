"""Made pictures show the hands that their labels name, and no others."""

import json

import numpy as np

from datamodules.attentionhand.writer import AttentionHandWriter
from datamodules.scene import Scene
from zoo.__main__ import main

COMMON = ("-n", "3", "--shard", "2", "--batch", "2", "--steps", "1", "--tas", "off", "--device", "cpu")


def words(weights, out, *more):
    return ["generate", "--ckpt", str(weights), "--out", str(out), *COMMON, *map(str, more)]


def rows(root):
    return [json.loads(line) for line in (root / "rows.jsonl").read_text().splitlines()]


def unlabelled(root):
    """A dataset whose pictures of meshes come without labels."""
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[8:24, 8:24] = 255
    writer = AttentionHandWriter(root / "data", 4)
    scene = Scene(0, (32, 32), np.eye(3, dtype=np.float32), image=picture, mesh_image=picture, caption="A hand.")
    for part in writer.missing():
        writer.write(part, [scene] * len(part))
    writer.finish()
    return root


def test_freihand_s_layout_takes_no_time_for_what_it_cannot_hold(painter_weights, tmp_path, capsys):
    more = ("--poses", "attentionhand", "--root", unlabelled(tmp_path / "data"))
    out = tmp_path / "freihand"
    assert main(words(painter_weights, out, *more, "--layout", "freihand")) == 1
    assert f"0 pictures in {out}, 3 skipped" in capsys.readouterr().out
    assert {row["reason"] for row in rows(out)} == {"it is not one hand with a mesh"}
    assert (out / "data").is_dir()
    assert main(words(painter_weights, tmp_path / "both", *more, "--layout", "both")) == 0
    assert "3 pictures in" in (said := capsys.readouterr().out)
    assert "0 of them in FreiHAND's layout" in said
