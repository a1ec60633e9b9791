import numpy as np
import torch
from PIL import Image

from tests.tiny_painter import SIZE
from zoo.commands.painting.hand_files import HandReader
from zoo.commands.painting.meshes import MeshReader, read_mesh_picture
from zoo.commands.painting.scenes import squared
from zoo.commands.painting.stand import Stand
from zoo.hands.camera import project
from zoo.hands.meshfile import save_mesh
from zoo.hands.openhand import OpenHand
from zoo.hands.skeleton import LEFT, RIGHT


def test_hands_with_a_camera_are_drawn_as_training_draws_them(hands, drawn, tmp_path):
    np.savez(
        tmp_path / "h.npz", vertices=hands.vertices, side=np.array(RIGHT), intrinsics=hands.intrinsics,
        image_size=np.array([SIZE, SIZE]),
    )  # fmt: skip
    np.savez(
        tmp_path / "p.npz", rotations=hands.rotations, betas=hands.betas, transl=hands.transl,
        intrinsics=hands.intrinsics, image_size=np.array([SIZE, SIZE]),
    )  # fmt: skip
    for name in ("h", "p"):
        read = list(HandReader(Stand(SIZE)).read(tmp_path / f"{name}.npz"))
        assert [item.scene.name for item in read] == [f"{name}_{number:04d}" for number in range(3)]
        made = torch.cat([squared(item, SIZE)["mesh"] for item in read])
        assert (made.int() - drawn.int()).abs().float().mean() < 0.2


def test_a_mesh_file_without_a_camera_stands_in_the_middle(hands, tmp_path):
    stand = Stand(64, fill=0.5)
    points = hands.vertices[0] - hands.vertices[0].mean(0)
    shift, camera = stand.before(points)
    pixels = project(points + shift, camera)
    low, high = pixels.amin(0), pixels.amax(0)
    torch.testing.assert_close((low + high) / 2, torch.tensor([31.5, 31.5]), atol=0.01, rtol=0)
    assert abs(float((high - low).max()) - 32) < 0.1
    assert float(camera[0, 0]) == 128
    save_mesh(tmp_path / "h.obj", 1000 * points, OpenHand().faces)
    [item] = MeshReader(stand, unit="mm").read([str(tmp_path / "h.obj")])
    seen = item.scene.mesh_image.max(-1) > 127
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    assert abs(max(len(rows), len(columns)) - 32) <= 2
    assert seen[26:38, 26:38].any()
    [bad] = MeshReader(stand).read([str(tmp_path / "h.obj")])
    assert "say its unit with --unit" in bad.reason


def test_a_left_hand_in_a_file_is_a_left_hand(hands, tmp_path):
    mirrored = hands.vertices[0] * torch.tensor([-1.0, 1.0, 1.0])
    np.savez(tmp_path / "l.npz", vertices=mirrored, side=np.array("left"))
    [item] = HandReader(Stand(SIZE)).read(tmp_path / "l.npz")
    assert list(item.scene.hands) == [LEFT]
    other = HandReader(Stand(SIZE), side=LEFT).read(tmp_path / "l.npz")
    assert list(next(iter(other)).scene.hands) == [LEFT]


def test_grey_transparent_and_deep_pictures_become_rgb(tmp_path):
    grey = np.zeros((20, 30), np.uint8)
    grey[5:15, 5:15] = 200
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    clear = np.full((20, 30, 4), 255, np.uint8)
    clear[..., :3] = np.where(grey[..., None] > 0, 200, 255)
    clear[..., 3] = np.where(grey > 0, 255, 0)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    for name in ("grey", "deep", "clear"):
        np.testing.assert_array_equal(read_mesh_picture(tmp_path / f"{name}.png"), np.stack([grey] * 3, -1))


def test_a_bad_row_of_a_file_is_told_by_its_number_and_the_others_are_read(hands, tmp_path):
    points = hands.vertices.clone()
    points[1] = torch.nan
    np.savez(tmp_path / "h.npz", vertices=points)
    found = MeshReader(Stand(SIZE)).read([str(tmp_path / "h.npz")])
    first, bad, last = found
    assert (len(found), first.scene.name, last.scene.name) == (3, "h_0000", "h_0002")
    assert (bad.name, "h.npz, row 1: it holds numbers that are not finite" in bad.reason) == ("h_0001", True)
    np.savez(tmp_path / "h.npz", vertices=points, intrinsics=hands.intrinsics[:2])
    found = MeshReader(Stand(SIZE)).read([str(tmp_path / "h.npz")])
    [bad] = found
    assert len(found) == 1
    assert "it has 2 intrinsics for 3 hands" in bad.reason
