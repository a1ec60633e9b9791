import json

import numpy as np
import pytest
from sample_files import HIDDEN, coco, keypoints, posed
from toys import Toy

from zoo.__main__ import main
from zoo.hands.meshfile import load_mesh, save_mesh
from zoo.hands.openhand import OpenHand
from zoo.hands.skeleton import LEFT, RIGHT


@pytest.fixture
def toy_weights(toy_zoo, tmp_path, monkeypatch):
    import checkpoints

    config = {"class_path": "toys.Toy", "init_args": {"width": 2}}
    checkpoints.save(tmp_path / "weights", config, Toy(width=2).state_dict(), "# Toy")
    return str(tmp_path / "weights")


def manifest(tmp_path, out="o"):
    return json.loads((tmp_path / "work" / out / "manifest.json").read_text())


def test_generate_writes_hands_meshes_a_picture_and_a_manifest(toy_weights, tmp_path, capsys):
    argv = ("sample", "--ckpt", toy_weights, "-n", "3", "--mesh", "[obj,glb]", "--out", "o", "--device", "cpu")
    assert main(argv) == 0, capsys.readouterr()
    out = tmp_path / "work" / "o"
    with np.load(out / "hands.npz") as file:
        assert file["vertices"].shape == (3, 778, 3)
        assert file["rotations"].shape == (3, 16, 3, 3)
        assert file["residual"].max() < 5e-4
        first = file["vertices"][0]
    for suffix in ("obj", "glb"):
        mesh = load_mesh(out / "meshes" / f"hand_0000.{suffix}")
        np.testing.assert_allclose(mesh.vertices, first, atol=1e-6)
    assert len(load_mesh(out / "hands.glb").vertices) == 3 * 778
    said = manifest(tmp_path)
    assert len(said["checkpoint"]["sha256"]) == 64
    assert said["status"] == "done"
    assert [entry["status"] for entry in said["results"]] == ["ok"] * 3
    assert (out / "hands.png").is_file()
    assert main(argv) == 1
    assert "--out o is not empty" in capsys.readouterr().err


def test_the_same_seed_makes_the_same_hands(toy_weights, tmp_path):
    made = []
    for out, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        words = ["--mesh", "none", "--no-params", "--no-pictures", "--out", out, "--seed", seed, "--device=cpu"]
        assert main(["sample", "--ckpt", toy_weights, "-n", "2", *words]) == 0
        with np.load(tmp_path / "work" / out / "hands.npz") as file:
            made.append(file["vertices"])
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_hands_of_two_runs_lie_together_with_what_both_have(toy_weights, tmp_path, capsys):
    words = ["sample", "--ckpt", toy_weights, "--mesh=none", "--no-pictures", "--out=o", "--device=cpu", "--batch=1"]
    assert main([*words, "-n", "3", "--limit", "1"]) == 0
    assert main([*words, "-n", "3", "--resume", "--no-params"]) == 0, capsys.readouterr()
    with np.load(tmp_path / "work" / "o" / "hands.npz") as file:
        assert sorted(file) == ["faces", "joints", "vertices"]
        for row in range(3):
            with np.load(tmp_path / "work" / "o" / "hands" / f"hand_000{row}.npz") as hand:
                np.testing.assert_array_equal(file["vertices"][row], hand["vertices"][0])


def test_fit_draws_the_good_hands_and_reports_the_bad_one(toy_weights, tmp_path, capsys):
    both = {"lefthand_valid": True, "lefthand_kpts": keypoints(), "righthand_valid": True}
    good = {**HIDDEN, **both, "righthand_kpts": keypoints()}
    file = coco(tmp_path / "a.json", good, {**HIDDEN, "righthand_valid": True, "righthand_kpts": [1.0] * 63})
    words = ["--task", "fit", "--input", str(file), "-n", "2", "--out", "o", "--device=cpu"]
    code = main(["sample", "--ckpt", toy_weights, *words])
    said = capsys.readouterr()
    assert code == 1
    assert "left out photo_1_right: 21 labelled keypoints at one place" in said.err
    assert "2 hands in o" in said.out
    assert [entry["status"] for entry in manifest(tmp_path)["results"]] == ["failed", "ok", "ok"]
    assert (tmp_path / "work" / "o" / "hands.png").is_file()
    sides = {}
    for entry in manifest(tmp_path)["results"][1:]:
        assert entry["scores"]["reprojection_px"] == sorted(entry["scores"]["reprojection_px"])  # best first
        with np.load(tmp_path / "work" / "o" / entry["files"][0]) as arrays:
            assert arrays["vertices"].shape == (2, 778, 3)
            assert arrays["vertices"][..., 2].min() > 0
            corners = arrays["vertices"][0][arrays["faces"]]
            sides[entry["side"]] = outwards(corners)
            assert made_by(arrays, LEFT if entry["side"] == "left" else RIGHT) < 5e-4
    assert sides == {"left": True, "right": True}


def outwards(corners):
    """Whether faces look out of the mesh."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return ((corners.mean(1) - corners.mean((0, 1))) * normals).sum(-1).mean() > 0


def made_by(arrays, side):
    """Mean distance of a file's meshes from what its parameters make, on the model of its own side."""
    import torch

    hand = OpenHand("left" if side == LEFT else "right")
    rotations, betas, transl = (torch.from_numpy(arrays[key]) for key in ("rotations", "betas", "transl"))
    assert float(torch.det(rotations).min()) > 0.99
    return float((hand(rotations, betas, transl).vertices - torch.from_numpy(arrays["vertices"])).norm(dim=-1).mean())


@pytest.fixture
def meshes(tmp_path):
    """Hands of both sides without their index finger, in different formats."""
    hand = OpenHand()
    folder = tmp_path / "meshes"
    right, _ = posed(RIGHT, seed=3)
    left, _ = posed(LEFT, seed=4)
    save_mesh(folder / "right.obj", right, hand.faces)
    save_mesh(folder / "left.ply", left, hand.faces[:, [0, 2, 1]])
    holes = left.numpy().copy()
    holes[(hand.parts == 1) | (hand.parts == 2) | (hand.parts == 3)] = np.nan
    np.savez(folder / "holes.npz", vertices=holes)
    return folder


def test_inpaint_keeps_what_is_known_and_tells_left_from_right(toy_weights, tmp_path, meshes, capsys):
    words = ["--task", "inpaint", "--input", str(meshes), "--missing", "index", "-n", "2", "--mesh", "ply"]
    assert main(["sample", "--ckpt", toy_weights, *words, "--out", "o", "--device=cpu"]) == 0, capsys.readouterr()
    found = {}
    for entry in manifest(tmp_path)["results"]:
        found[entry["name"]] = entry["side"]
        given = load_mesh(meshes / "right.obj" if entry["name"] == "right" else meshes / "left.ply").vertices.numpy()
        with np.load(tmp_path / "work" / "o" / entry["files"][0]) as arrays:
            known = arrays["known"]
            assert 600 < known.sum() < 700
            assert np.linalg.norm(arrays["vertices"] - given, axis=-1)[:, known].max() < 1e-3
            assert outwards(arrays["vertices"][0][arrays["faces"]])
        assert len(entry["files"]) == 3
        colors = load_mesh(tmp_path / "work" / "o" / entry["files"][1]).colors.numpy()
        assert len(np.unique(colors, axis=0)) == 2
    assert found == {"right": "right", "left": "left", "holes": "left"}


def test_completions_of_hands_whose_names_end_in_numbers_have_files_of_their_own(toy_weights, tmp_path):
    hand = OpenHand()
    for name, seed in (("hand", 3), ("hand_1", 6)):
        save_mesh(tmp_path / "in" / f"{name}.obj", posed(RIGHT, seed=seed)[0], hand.faces)
    words = ["--task=inpaint", "--input", str(tmp_path / "in"), "--missing=index", "-n", "2", "--no-pictures"]
    assert main(["sample", "--ckpt", toy_weights, *words, "--no-params", "--out=o", "--device=cpu"]) == 0
    out = tmp_path / "work" / "o"
    files = [file for entry in manifest(tmp_path)["results"] for file in entry["files"]]
    assert len(set(files)) == len(files) == 6
    for entry in manifest(tmp_path)["results"]:
        with np.load(out / entry["files"][0]) as arrays:
            for file, vertices in zip(entry["files"][1:], arrays["vertices"], strict=True):
                np.testing.assert_allclose(load_mesh(out / file).vertices, vertices, atol=1e-6)


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_inpaint_keeps_the_joints_of_a_skeleton(toy_weights, tmp_path, side, capsys):
    _, joints = posed(side)
    given = joints.numpy().copy()
    given[9:13] = np.nan
    np.save(tmp_path / "a.npy", given)
    words = ["--task", "inpaint", "--input", str(tmp_path / "a.npy"), "--side", ["left", "right"][side], "-n", "2"]
    assert main(["sample", "--ckpt", toy_weights, *words, "--out", "o", "--device=cpu"]) == 0, capsys.readouterr()
    with np.load(tmp_path / "work" / "o" / "hands" / "a.npz") as arrays:
        off = np.linalg.norm(arrays["joints"] - given, axis=-1)[:, ~np.isnan(given[:, 0])]
        assert off.max() < 1e-3
        assert (off.shape, bool(outwards(arrays["vertices"][0][arrays["faces"]]))) == ((2, 17), True)


def test_a_missing_wrist_is_found_again(toy_weights, tmp_path, capsys):
    hand = OpenHand()
    vertices, _ = posed(RIGHT, seed=6)
    rows = (hand.joint_regressor[0] > 1e-4).nonzero()[:, 0]
    (tmp_path / "mask.txt").write_text(" ".join(map(str, rows.tolist())))
    save_mesh(tmp_path / "a.glb", vertices, hand.faces)
    words = ["--task", "inpaint", "--input", str(tmp_path / "a.glb"), "--mask", str(tmp_path / "mask.txt"), "-n", "1"]
    assert main(["sample", "--ckpt", toy_weights, *words, "--out", "o", "--device=cpu"]) == 0, capsys.readouterr()
    with np.load(tmp_path / "work" / "o" / "hands" / "a.npz") as arrays:
        off = np.linalg.norm(arrays["vertices"][0] - vertices.numpy(), axis=-1)
        assert off[arrays["known"]].max() < 1e-3
        assert off.max() < 0.02  # the toy knows hands of this kind only


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "fit"], "needs --input with keypoints"),
        (["--task", "inpaint", "--input", "x", "--box", "1,2,3,4"], "--box is only for --task reconstruct"),
        (["--task", "inpaint", "--input", "x", "--missing", "thmb"], "Did you mean thumb?"),
        (["--task", "inpaint", "--input", "x", "--guide", "-1"], "--guide -1.0 is no strength"),
        (["--guide", "0.5"], "--guide is only for --task inpaint or fit, not generate"),
        (["--focal", "500"], "--focal is only for --task reconstruct or fit"),
        (["--task", "reconstruct", "--input", "x", "--given", "2d"], "--given is only for --task fit"),
        (["--no-upright"], "--no-upright is only for --task fit"),
        (["--resume"], "--resume needs --out"),
        (["-n", "0"], "makes nothing"),
        (["--task", "fit", "--input", "x", "--size", "640"], "Give WIDTHxHEIGHT"),
        (["--task", "fit", "--input", "nowhere.json"], "--input nowhere.json does not exist"),
        (["--task", "reconstruct", "--input", "nowhere.jpg", "--side", "left"], "--input nowhere.jpg does not exist"),
    ],
)
def test_wrong_words_are_answered_in_a_sentence(toy_weights, words, said, capsys):
    assert main(["sample", "--ckpt", toy_weights, *words]) in (1, 2)
    assert said in capsys.readouterr().err


def test_shipped_weights_come_first_and_images_want_those_that_see(toy_zoo, tmp_path, monkeypatch, capsys):
    import checkpoints
    from zoo.commands.chosen import newest
    from zoo.commands.sample import _preferred

    (tmp_path / "work" / "runs" / "hhmr" / "1" / "checkpoints").mkdir(parents=True)
    (tmp_path / "work" / "runs" / "hhmr" / "1" / "checkpoints" / "last.ckpt").touch()
    monkeypatch.setattr(checkpoints, "names", lambda: ["hhmr", "hhmr-image"])
    chosen = [
        newest("hhmr", _preferred("hhmr", *how)) for how in (("fit", "auto"), ("reconstruct", "auto"), ("fit", "image"))
    ]
    assert chosen == ["hhmr", "hhmr-image", "hhmr-image"]
    monkeypatch.setattr(checkpoints, "names", lambda: [])
    assert newest("hhmr") == "runs/hhmr/1"
    assert "Taking the newest run" in capsys.readouterr().out


def test_joints_of_which_all_vertices_are_known_are_the_condition():
    from zoo.commands.tasks.case import Case
    from zoo.commands.tasks.inpaint import seen_from_the_back

    hand = OpenHand()
    vertices, _ = posed(RIGHT, seed=3)
    known = (hand.parts != 3).numpy()  # the end of the index finger
    view = seen_from_the_back(hand, [Case("a", RIGHT, vertices=vertices.numpy(), known=known)])
    hidden = (~view.joints_known[0]).nonzero().flatten().tolist()
    assert 8 in hidden  # its tip
    assert set(hidden) <= {7, 8}
    expected = (hand.regress(vertices)[5:7] - hand.regress(vertices)[0]) @ view.frame[0].mT
    np.testing.assert_allclose(view.joints[0, 5:7], expected, atol=1e-5)


@pytest.mark.parametrize(("toy", "kinds"), [("Toy", ["KnownPart"]), ("PlainToy", ["AlignedGradient", "KnownPart"])])
def test_gradients_complete_meshes_only_where_no_skeleton_is_understood(toy, kinds):

    from zoo.commands.tasks.case import Case
    from zoo.commands.tasks.inpaint import Inpaint

    class PlainToy(Toy):
        conditioner = type("Nothing", (), {"names": ()})

    used = []
    task = Inpaint(PlainToy(width=2) if toy == "PlainToy" else Toy(width=2), n=1)
    plain = task.sample
    task.sample = lambda given, cases, guides: used.append(guides) or plain(given, cases)
    vertices, _ = posed(RIGHT, seed=3)
    known = (OpenHand().parts != 1).numpy()
    case = Case("a", RIGHT, vertices=np.where(known[:, None], vertices.numpy(), 0), known=known)
    assert task.solve([case])[0].vertices.shape == (1, 778, 3)
    assert [type(guide).__name__ for guide in used[-1]] == kinds
