"""Folders of any pictures, and all scores of two of them."""

import json
import math

import open_clip
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import to_pil_image

from tests.metrics.noisy_pictures import Pooled, blobs
from tests.metrics.test_clip_score import SMALL
from zoo.commands.picture_names import picture_names
from zoo.metrics.clip_score import OpenClip
from zoo.metrics.detectors import NONE, Detections, GivenBoxes
from zoo.metrics.hand_crops import HandCrops
from zoo.metrics.image_scores import image_scores
from zoo.metrics.images import FID, FIDH
from zoo.metrics.picture_folder import PictureFolder


def written(root, images):
    root.mkdir(parents=True, exist_ok=True)
    for row, image in enumerate(images):
        to_pil_image((255 * image).byte()).save(root / f"{row:03d}.png")
    return root


def test_pictures_of_one_size_come_in_full_batches_and_the_rest_at_the_end(tmp_path):
    written(tmp_path / "a", torch.rand(5, 3, 8, 8))
    written(tmp_path / "b", torch.rand(2, 3, 8, 6))
    folder = PictureFolder(tmp_path, batch=3)
    assert len(folder) == 7
    assert [tuple(batch.images.shape) for batch in folder] == [(3, 3, 8, 8), (2, 3, 8, 8), (2, 3, 8, 6)]
    assert sorted(name for batch in folder for name in batch.names) == folder.names
    assert folder.names[-1] == "b/001.png"


def test_pixels_come_as_they_are_and_turned_as_the_camera_asks(tmp_path):
    pixels = torch.randint(256, (3, 4, 6), dtype=torch.uint8)
    to_pil_image(pixels).save(tmp_path / "a.png")
    picture = Image.open(tmp_path / "a.png")
    exif = picture.getexif()
    exif[0x0112] = 3  # upside down
    picture.save(tmp_path / "b.png", exif=exif)
    Image.open(tmp_path / "a.png").convert("L").save(tmp_path / "c.png")
    (batch,) = PictureFolder(tmp_path)
    torch.testing.assert_close(batch.images[0], pixels)
    torch.testing.assert_close(batch.images[1], pixels.flip(1, 2))
    assert (batch.images[2] == batch.images[2, :1]).all()


def test_files_that_cannot_be_read_are_told_and_do_not_stop_the_others(tmp_path):
    written(tmp_path, torch.rand(3, 3, 8, 8))
    (tmp_path / "x.jpg").write_bytes(b"<html>")
    whole = (tmp_path / "000.png").read_bytes()
    (tmp_path / "y.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "notes.txt").write_text("no picture")
    folder = PictureFolder(tmp_path, batch=2)
    assert sum(len(batch.names) for batch in folder) == 3
    assert sorted(folder.bad) == ["x.jpg", "y.png"]


def test_many_sizes_do_not_wait_for_ever(tmp_path):
    for side in range(4, 24):
        written(tmp_path / str(side), torch.rand(1, 3, side, side))
    folder = PictureFolder(tmp_path, batch=4)
    assert sum(len(batch.names) for batch in folder) == 20


def test_a_set_has_the_pictures_of_its_rows_and_no_meshes(tmp_path):
    for kind in ("rgb", "mesh", "mask"):
        written(tmp_path / "data" / kind, torch.rand(3, 3, 8, 8))
    written(tmp_path / "sheets", torch.rand(1, 3, 8, 8))
    rows = [
        {"mesh": f"data/mesh/{row:03d}.png", "rgb": f"data/rgb/{row:03d}.png", "text": "data/text/0.txt"}
        for row in range(2)
    ]
    del rows[1]["rgb"]
    lines = [*rows, {**rows[0], "rgb": "data/rgb/002.png"}, {**rows[0], "rgb": "data/rgb/gone.png"}]
    (tmp_path / "data" / "modalities.json").write_text("".join(json.dumps(row) + "\n" for row in lines))
    folder = PictureFolder(tmp_path, only=picture_names(tmp_path))
    assert folder.names == ["data/rgb/000.png", "data/rgb/002.png", "data/rgb/gone.png"]
    assert picture_names(tmp_path / "data")[:2] == ["rgb/000.png", "rgb/002.png"]
    assert sum(len(batch.names) for batch in folder) == 2
    assert list(folder.bad) == ["data/rgb/gone.png"]


def test_a_run_of_sample_has_the_pictures_of_its_manifest_and_no_sheets(tmp_path):
    for kind in ("pictures", "meshes"):
        written(tmp_path / kind, torch.rand(3, 3, 8, 8))
    written(tmp_path, torch.rand(1, 3, 8, 8))
    assert len(picture_names(tmp_path)) == 7
    (tmp_path / "manifest.json").write_text('{"results": []}')  # killed
    assert picture_names(tmp_path) == [f"pictures/{row:03d}.png" for row in range(3)]
    rows = [{"name": "b", "status": "failed"}, {"name": "a", "status": "ok", "file": "pictures/001.png"}]
    (tmp_path / "manifest.json").write_text(json.dumps({"results": rows}))
    assert picture_names(tmp_path) == ["pictures/001.png"]


def test_no_folder_and_no_pictures_are_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        PictureFolder(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="holds no picture"):
        PictureFolder(tmp_path)


def test_the_scores_of_two_folders_are_those_of_their_pictures(tmp_path):
    real, made = blobs(12), blobs(10, seed=1)
    folders = [PictureFolder(written(tmp_path / name, images), batch=4) for name, images in (("r", real), ("m", made))]
    box = Detections(torch.tensor([[10.0, 10.0, 40.0, 50.0]]), torch.ones(1), torch.ones(1, dtype=torch.long))
    hands = [GivenBoxes({name: NONE if name == "000.png" else box for name in folder.names}) for folder in folders]
    done = []
    found = image_scores(*folders, Pooled(), real_hands=hands[0], made_hands=hands[1], tell=done.append)
    assert sum(done) == 22
    whole, crops = FID(Pooled()), FIDH(Pooled(), HandCrops())
    for is_real, images in ((True, real), (False, made)):
        images = (255 * images).byte().float() / 255
        whole.update(images, is_real)
        crops.update(images, is_real, [torch.zeros(0, 4)] + [box.boxes] * (len(images) - 1))
    assert found.numbers["fid/pooled"] == pytest.approx(float(whole.compute()), rel=1e-5)
    assert found.numbers["fid_h/pooled/given"] == pytest.approx(float(crops.compute()), rel=1e-5)
    assert "12 real, 10 made" in found.rules["fid/pooled"]
    assert "11 real, 9 made" in found.rules["fid_h/pooled/given"]
    assert math.isfinite(found.numbers["kid_h_std/pooled/given"])
    assert found.numbers.keys() == found.rules.keys()


def test_no_score_depends_on_the_batch(tmp_path):
    folders = tmp_path / "r", tmp_path / "m"
    for number, root in enumerate(folders):
        written(root, blobs(8, seed=number))
        for row in (0, 3, 4):
            with Image.open(root / f"{row:03d}.png") as image:
                image.resize((48 + row, 64)).save(root / f"{row:03d}.png")
    box = Detections(torch.tensor([[10.0, 10.0, 40.0, 50.0]]), torch.ones(1), torch.ones(1, dtype=torch.long))
    hands = GivenBoxes({f"{row:03d}.png": NONE if row == 5 else box for row in range(8)})
    one, other = (
        image_scores(
            *(PictureFolder(root, batch) for root in folders), Pooled(), real_hands=hands, made_hands=hands
        ).numbers
        for batch in (2, 32)
    )
    assert one == pytest.approx(other, rel=1e-4)


def test_a_missing_text_is_told_before_a_picture_is_read(tmp_path):
    folder = PictureFolder(written(tmp_path, blobs(2)))
    done, clip = [], OpenClip(open_clip.CLIP(**SMALL), open_clip.tokenize, "small", "")
    with pytest.raises(ValueError, match=r"no text for 001\.png"):
        image_scores(folder, folder, Pooled(), clip=clip, texts={"000.png": "a hand"}, tell=done.append)
    assert not done


def test_hands_of_one_folder_alone_are_refused(tmp_path):
    folder = PictureFolder(written(tmp_path, blobs(2)))
    with pytest.raises(ValueError, match="for both"):
        image_scores(folder, folder, Pooled(), real_hands=GivenBoxes({}))
