import shutil

import numpy as np
import pytest
import simplejpeg

from datamodules.attentionhand.data import AttentionHandData
from datamodules.attentionhand.files import AttentionHandFolder
from datamodules.check import check
from datamodules.mesh_boxes import local_box


@pytest.fixture
def broken(attentionhand, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(attentionhand, tmp_path / "copy")


def test_a_whole_folder_is_ok_and_its_counts_are_shown(attentionhand):
    report = check("attentionhand", attentionhand)
    assert report.ok, str(report)
    assert [row.found for row in report.rows] == ["10 rows", "10", "10", "10", "2 rows", "2", "2"]
    assert any('samples/: no row has "rgb"' in note for note in report.notes)
    assert check("attentionhand", attentionhand / "samples").ok


def test_what_is_broken_is_counted_and_named(broken):
    (broken / "data/rgb/000000000003.jpg").unlink()
    path = broken / "data/rgb/000000000004.jpg"
    path.write_bytes(path.read_bytes()[:300])
    (broken / "data/text/000000000001.txt").write_text("\n")
    black = simplejpeg.encode_jpeg(np.zeros((60, 80, 3), np.uint8))
    (broken / "data/mesh/000000000002.jpg").write_bytes(black)
    report = check("attentionhand", broken)
    text = " ".join(row.problem for row in report.rows)
    assert "1 missing: data/rgb/000000000003.jpg" in text
    assert "1 that are not whole pictures: 000000000004.jpg" in text
    assert "1 without a sentence: 000000000001.txt" in text
    assert "1 without a bright hand: 000000000002.jpg" in text
    assert not report.ok


def test_a_folder_that_is_none_is_not_ok(tmp_path):
    assert not check("attentionhand", tmp_path).ok


def test_a_twin_has_the_quirks_of_the_real_files(tmp_path, monkeypatch):
    from datamodules.attentionhand import twin

    monkeypatch.setattr(twin, "SIZES", ((160, 120), (120, 160)))
    monkeypatch.setattr(twin, "FOCAL", 150.0)
    twin.synth(tmp_path / "twin", 3, 0, 0)
    assert check("attentionhand", tmp_path / "twin").ok
    data = AttentionHandData(tmp_path / "twin")
    scenes = [data.scenes("predict").read(0)]
    folder = AttentionHandFolder(tmp_path / "twin/data")
    assert not folder.facts.sides.any()
    scenes += [read for split in ("train", "val") for read in _all(data.scenes(split))]
    assert len({read.size for read in scenes}) == 2
    named = {read.name: read for read in scenes}
    assert "both hands" in named["000000000001"].caption
    assert not (tmp_path / "twin/data/text/000000000001.txt").read_bytes().endswith(b"\n")
    for read in scenes:
        assert local_box(read.mesh_image) is not None
        assert np.median(read.mesh_image) < 10
    specks = named["000000000002"]
    assert np.abs(local_box(specks.mesh_image, "official") - local_box(specks.mesh_image)).max() > 5


def _all(scenes):
    return [scenes.read(i) for i in range(len(scenes))]
