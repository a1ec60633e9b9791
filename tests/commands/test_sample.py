import json

import numpy as np
import pytest
import torch
from toys import Toy

from zoo.__main__ import main
from zoo.commands.fitting import crop, put_back
from zoo.commands.skeletons import Skeleton, Unreadable, read_skeletons
from zoo.hands.camera import crop_intrinsics, project
from zoo.hands.meshfile import load_mesh
from zoo.hands.openhand import OpenHand
from zoo.hands.rotations import random_rotations
from zoo.hands.skeleton import LEFT, MIDDLE_MCP, RIGHT, WRIST

CAMERA = torch.tensor([[500.0, 0, 310], [0, 500, 250], [0, 0, 1]])


@pytest.fixture(scope="module")
def hand():
    return OpenHand()


def posed(hand, side, seed=0):
    """A hand somewhere in front of the camera: vertices and joints."""
    generator = torch.Generator().manual_seed(seed)
    turn = random_rotations(1, generator)
    pose = torch.cat([turn[:, None], torch.eye(3).expand(1, 15, 3, 3)], 1)
    vertices = hand(pose, torch.randn(1, 10, generator=generator), torch.zeros(1, 3)).vertices[0]
    if side == LEFT:
        vertices = vertices * torch.tensor([-1.0, 1, 1])
    vertices = vertices + torch.tensor([0.1, -0.05, 0.7])
    return vertices, hand.regress(vertices)


def skeleton(seen, side, **labels):
    pixels = project(seen[None], CAMERA[None])[0]
    return Skeleton(
        "hand", side, pixels.numpy(), np.ones(21, np.bool_), size=(480, 640), intrinsics=CAMERA.numpy(), **labels
    )


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_a_perfect_answer_in_the_crop_is_the_hand_in_the_image(hand, side, upright):
    vertices, joints = posed(hand, side)
    crops = crop([skeleton(joints, side)], [(480, 640)], upright=upright)
    ideal, ideal_joints = ((x - joints[0]) @ crops.frame[0].T for x in (vertices, joints))
    placed = put_back(ideal[None, None], ideal_joints[None, None], crops)
    torch.testing.assert_close(placed.vertices[0, 0], vertices, atol=2e-4, rtol=0)
    assert float(placed.pixel_error) < 0.01


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_what_is_given_is_the_hand_in_its_crop_as_in_training(hand, side):
    _, joints = posed(hand, side, seed=1)
    labels = {"joints": joints.numpy(), "labelled": np.ones(21, np.bool_)}
    crops = crop([skeleton(joints, side, **labels)], [(480, 640)], upright=True)
    torch.testing.assert_close(crops.given["joints"][0], joints @ crops.frame[0].T)
    given = crops.given["joints2d"][0]
    assert float(given.abs().max()) <= 1 / 1.5 + 1e-2  # the box of the joints fills two thirds of the crop
    up = given[MIDDLE_MCP] - given[WRIST]
    torch.testing.assert_close(up[0], torch.tensor(0.0), atol=1e-5, rtol=0)
    assert up[1] < 0
    assert torch.det(crops.frame[0]).sign() == (1 if side == RIGHT else -1)  # left hands are mirrored


def test_upright_turns_the_camera_and_nothing_else(hand):
    _, joints = posed(hand, RIGHT, seed=2)
    crops = crop([skeleton(joints, RIGHT)], [(480, 640)], upright=True)
    affine = torch.eye(2, 3)[None]
    affine[:, :2, :2] = crops.frame[:, :2, :2]
    turned = project((joints @ crops.frame[0].T)[None], crop_intrinsics(affine, CAMERA[None], crops.frame))
    torch.testing.assert_close(turned[0], crops.pixels[0] @ affine[0, :, :2].T, atol=1e-3, rtol=0)


def test_the_best_hypothesis_comes_first(hand):
    vertices, joints = posed(hand, RIGHT)
    crops = crop([skeleton(joints, RIGHT)], [(480, 640)])
    both = torch.stack([hand.regress(0.8 * vertices.flip(0)), joints - joints[0]])[None]
    placed = put_back(torch.stack([vertices, vertices - joints[0]])[None], both, crops)
    assert placed.pixel_error[0, 0] < placed.pixel_error[0, 1]


def test_3d_labels_place_a_hand_where_they_are_and_2d_given_alone_ignores_them(hand):
    vertices, joints = posed(hand, RIGHT)
    far = {"joints": (joints + torch.tensor([0, 0, 0.5])).numpy(), "labelled": np.ones(21, np.bool_)}
    for what, offset in (("auto", 0.5), ("2d", 0.0)):
        crops = crop([skeleton(joints, RIGHT, **far)], [(480, 640)], what=what, upright=False)
        placed = put_back((vertices - joints[0])[None, None], (joints - joints[0])[None, None], crops)
        shift = float((placed.vertices[0, 0] - vertices)[:, 2].mean())
        assert shift == pytest.approx(offset, abs=1e-3)
        assert ("joints" in crops.given) == (what == "auto")


def test_a_badly_fitting_hand_is_placed_by_its_size(hand):
    _, joints = posed(hand, RIGHT)
    crops = crop([skeleton(joints, RIGHT)], [(480, 640)], upright=False)
    inverted = joints[0] - joints  # least squares alone puts this one behind the camera
    placed = put_back(inverted[None, None, :1].expand(1, 1, 778, 3), inverted[None, None], crops)
    assert float(placed.joints[0, 0, :, 2].mean()) == pytest.approx(float(joints[:, 2].mean()), rel=0.2)


def coco(path, *hands, **picture):
    """A COCO-WholeBody file with one annotation for each dictionary."""
    images = [{"id": 7, "file_name": "photo.jpg", "height": 480, "width": 640, **picture}]
    path.write_text(
        json.dumps({"images": images, "annotations": [{"id": i, "image_id": 7, **h} for i, h in enumerate(hands)]})
    )
    return path


def keypoints(visibility=1.0):
    grid = [(300 + 4 * (i % 5), 200 + 5 * (i // 5)) for i in range(21)]
    return [number for x, y in grid for number in (float(x), float(y), visibility)]


HIDDEN = {"lefthand_valid": False, "lefthand_kpts": [0.0] * 63, "righthand_valid": False, "righthand_kpts": [0.0] * 63}


def test_coco_hands_are_read_with_float_visibilities_and_both_sides(tmp_path):
    partly = keypoints(0.3)
    partly[2::9] = [0.0] * 7
    file = coco(
        tmp_path / "a.json",
        {"lefthand_valid": True, "lefthand_kpts": partly, "righthand_valid": True, "righthand_kpts": keypoints(2)},
        HIDDEN,
        {**HIDDEN, "righthand_valid": True, "righthand_kpts": keypoints(), "iscrowd": 1},
    )  # fmt: skip
    left, right = read_skeletons(file, tmp_path)
    assert (left.side, right.side) == (LEFT, RIGHT)
    assert (left.seen.sum(), right.seen.sum()) == (14, 21)
    assert left.name == "photo_0_left"
    assert left.image == tmp_path / "photo.jpg"
    assert left.size == (480, 640)


def test_one_bad_annotation_leaves_the_others_alone(tmp_path):
    good = {**HIDDEN, "righthand_valid": True, "righthand_kpts": keypoints()}
    short = {**good, "righthand_kpts": [1.0, 2.0, 1.0]}
    unseen = {**good, "righthand_kpts": keypoints(0.0)}
    found = list(read_skeletons(coco(tmp_path / "a.json", short, good, unseen)))
    assert [type(one) for one in found] == [Unreadable, Skeleton, Unreadable]
    assert "21 triples" in found[0].reason


def test_a_folder_of_files_survives_a_broken_one(tmp_path):
    coco(tmp_path / "a.json", {**HIDDEN, "righthand_valid": True, "righthand_kpts": keypoints()})
    (tmp_path / "b.json").write_text('{"images": [')
    good, bad = read_skeletons(tmp_path)
    assert good.name == "a_photo_0_right"
    assert (bad.name, "not a COCO-WholeBody file" in bad.reason) == ("b.json", True)


def test_freihand_hands_are_read_from_their_layout(tmp_path, hand):
    _, joints = posed(hand, RIGHT)
    (tmp_path / "training_K.json").write_text(json.dumps([CAMERA.tolist()] * 2))
    (tmp_path / "training_xyz.json").write_text(json.dumps([joints.tolist(), [[0, 0, 0]] * 21]))
    good, bad = read_skeletons(tmp_path)
    np.testing.assert_allclose(good.pixels, project(joints[None], CAMERA[None])[0], atol=1e-3)
    assert good.image == tmp_path / "training" / "rgb" / "00000000.jpg"
    assert "in front of the camera" in bad.reason


@pytest.fixture
def toy_weights(toy_zoo, tmp_path, monkeypatch):
    import checkpoints

    config = {"class_path": "toys.Toy", "init_args": {"width": 2}}
    checkpoints.save(tmp_path / "weights", config, Toy(width=2).state_dict(), "# Toy")
    return str(tmp_path / "weights")


def test_generate_writes_hands_meshes_a_picture_and_a_manifest(toy_weights, tmp_path, capsys):
    argv = ("sample", "--ckpt", toy_weights, "-n", "3", "--mesh", "[obj,glb]", "--out", "o", "--device", "cpu")
    assert main(argv) == 0, capsys.readouterr()
    out = tmp_path / "work" / "o"
    with np.load(out / "hands.npz") as file:
        assert file["vertices"].shape == (3, 778, 3)
        first = file["vertices"][0]
    for suffix in ("obj", "glb"):
        mesh = load_mesh(out / "meshes" / f"hand_0000.{suffix}")
        np.testing.assert_allclose(mesh.vertices, first, atol=1e-6)
    manifest = json.loads((out / "manifest.json").read_text())
    assert len(manifest["checkpoint"]["sha256"]) == 64
    assert [entry["status"] for entry in manifest["results"]] == ["ok"] * 3
    assert (out / "hands.png").is_file()
    assert main(argv) == 1
    assert "--out o is not empty" in capsys.readouterr().err


def test_the_same_seed_makes_the_same_hands(toy_weights, tmp_path, capsys):
    made = []
    for out, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        argv = (
            "sample",
            "--ckpt",
            toy_weights,
            "-n",
            "2",
            "--mesh",
            "none",
            "--out",
            out,
            "--seed",
            seed,
            "--device=cpu",
        )
        assert main(argv) == 0
        with np.load(tmp_path / "work" / out / "hands.npz") as file:
            made.append(file["vertices"])
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_fit_draws_the_good_hands_and_reports_the_bad_one(toy_weights, tmp_path, capsys):
    good = {
        **HIDDEN,
        "lefthand_valid": True,
        "lefthand_kpts": keypoints(),
        "righthand_valid": True,
        "righthand_kpts": keypoints(),
    }
    file = coco(tmp_path / "a.json", good, {**HIDDEN, "righthand_valid": True, "righthand_kpts": [1.0] * 63})
    argv = (
        "sample",
        "--ckpt",
        toy_weights,
        "--task",
        "fit",
        "--input",
        str(file),
        "-n",
        "2",
        "--out",
        "o",
        "--device=cpu",
    )
    code = main(argv)
    said = capsys.readouterr()
    assert code == 1
    assert "left out photo_1_right: 21 labelled keypoints at one place" in said.err
    assert "2 hands in o" in said.out
    manifest = json.loads((tmp_path / "work" / "o" / "manifest.json").read_text())
    assert [entry["status"] for entry in manifest["results"]] == ["failed", "ok", "ok"]
    assert (tmp_path / "work" / "o" / "hands.png").is_file()
    sides = {}
    for entry in manifest["results"][1:]:
        with np.load(tmp_path / "work" / "o" / entry["files"][0]) as arrays:
            assert arrays["vertices"].shape == (2, 778, 3)
            assert arrays["vertices"][..., 2].min() > 0
            corners = arrays["vertices"][0][arrays["faces"]]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        outwards = ((corners.mean(1) - corners.mean((0, 1))) * normals).sum(-1).mean()
        sides[entry["side"]] = outwards > 0
    assert sides == {"left": True, "right": True}
