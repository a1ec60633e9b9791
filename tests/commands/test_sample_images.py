import json
import os
import signal
import zlib

import numpy as np
import pytest
from PIL import Image
from sample_files import HIDDEN, coco, keypoints, photo
from toys import BlindToy, SeeingToy

import checkpoints
from zoo.__main__ import main
from zoo.commands.tasks.boxes import BoxReader
from zoo.commands.tasks.photos import read_photo
from zoo.commands.tasks.stream import unique
from zoo.commands.tasks.task import Task
from zoo.hands.skeleton import LEFT, RIGHT


@pytest.fixture(scope="module")
def seeing(tmp_path_factory):
    return weights(tmp_path_factory.mktemp("seeing") / "weights", SeeingToy)


@pytest.fixture(scope="module")
def blind(tmp_path_factory):
    return weights(tmp_path_factory.mktemp("blind") / "weights", BlindToy)


def weights(folder, toy):
    checkpoints.save(folder, {"class_path": f"toys.{toy.__name__}"}, toy().state_dict(), "# Toy")
    return str(folder)


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sample(*words):
    fast = ("--device=cpu", "--no-params", "--no-pictures", "--mesh=none")
    return main(["sample", *words, "--out=o", *[word for word in fast if word.split("=")[0] not in words]])


def results(work):
    return {one["name"]: one for one in json.loads((work / "o" / "manifest.json").read_text())["results"]}


def test_lists_of_boxes_are_read_with_and_without_header(tmp_path):
    rows = "a.jpg,1,2,30,40,left\nb.jpg,3,4,50,60,right\n"
    (tmp_path / "bare.csv").write_text(rows)
    (tmp_path / "named.csv").write_text("side, file, y, x, h, w\nleft,a.jpg,2,1,40,30\nright,b.jpg,4,3,60,50\n")
    lines = [{"file": "a.jpg", "box": [1, 2, 30, 40], "side": "left"}, ["b.jpg", 3, 4, 50, 60, 1]]
    (tmp_path / "list.json").write_text(json.dumps(lines))
    for name in ("bare.csv", "named.csv", "list.json"):
        first, second = BoxReader().read(tmp_path / name)
        assert (first.box, first.side, first.image) == ((1, 2, 30, 40), LEFT, tmp_path / "a.jpg")
        assert (second.box, second.side) == ((3, 4, 50, 60), RIGHT)


def test_names_are_safe_and_different():
    assert unique(["a b", "a/b", "A_b", "", "..", "x"]) == ["a_b", "a_b_2", "A_b_3", "hand", "hand_2", "x"]


def test_a_folder_is_reconstructed_around_its_corrupted_image(work, seeing, capsys):
    for name in "abc":
        photo(work / "in" / f"{name}.jpg")
    content = (work / "in" / "b.jpg").read_bytes()
    (work / "in" / "b.jpg").write_bytes(content[: len(content) // 3])
    words = ("--task=reconstruct", "--input=in", "--box=40,30,60,50", "--side=left", "-n", "2")
    assert main(["sample", "--ckpt", seeing, *words, "--out=o", "--device=cpu"]) == 1
    assert "left out b: " in capsys.readouterr().err
    found = results(work)
    assert [found[name]["status"] for name in "abc"] == ["ok", "failed", "ok"]
    with Image.open(work / "o" / "overlays" / "a.png") as picture:
        assert picture.size == (160, 120)
    with np.load(work / "o" / "hands" / "c.npz") as arrays:
        pixels = arrays["joints"] @ arrays["intrinsics"].T
        pixels = pixels[..., :2] / pixels[..., 2:]
        low, high = pixels.min(1), pixels.max(1)
        np.testing.assert_allclose((low + high) / 2, [[70, 55]] * 2, atol=0.5)
        np.testing.assert_allclose((high - low).max(1), 60, atol=0.5)
        # The camera of the crop sees the hand, mirrored as the model saw it, where the crop shows it.
        inside = arrays["joints"] @ arrays["crop_frame"].T @ arrays["crop_intrinsics"].T
        shown = pixels @ arrays["crop_affine"][:, :2].T + arrays["crop_affine"][:, 2]
        np.testing.assert_allclose(inside[..., :2] / inside[..., 2:], shown, atol=0.05)
        np.testing.assert_allclose(arrays["translation"], arrays["joints"][:, 0])
        assert (int(arrays["side"]), arrays["rotations"].shape) == (LEFT, (2, 16, 3, 3))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a.jpg,900,900,30,40,left", "lies outside of the 160x120 image"),
        ("a.jpg,10,10,0,40,left", "is empty"),
        ("a.jpg,nan,10,20,40,left", "is empty"),
        ("a.jpg,10,10,20,left", "its side is None"),
        ("a.jpg,10,10,twenty,40,left", "could not convert"),
        ("a.jpg,10,10,20,40,both", "it must be left or right"),
        ("missing.jpg,10,10,20,40,left", "there is no image"),
        ("words.jpg,10,10,20,40,left", "cannot be read as an image"),
    ],
)
def test_a_bad_line_is_reported_and_the_good_one_done(work, seeing, line, said, capsys):
    photo(work / "a.jpg")
    (work / "words.jpg").write_text("no picture")
    (work / "list.csv").write_text(f"{line}\na.jpg,10,10,40,40,right\n")
    assert sample("--ckpt", seeing, "--task=reconstruct", "--input=list.csv") == 1
    assert said in capsys.readouterr().err
    assert sorted(one["status"] for one in results(work).values()) == ["failed", "ok"]


def test_strips_are_done_and_a_picture_too_large_is_reported(work, seeing, capsys):
    sizes = {"flat.png": (1000, 9), "thin.png": (1, 300), "good.png": (160, 120)}
    for name, size in sizes.items():
        photo(work / "in" / name, size)
    content = bytearray((work / "in" / "good.png").read_bytes())
    content[16:24] = (40_000).to_bytes(4, "big") * 2  # of the header: width and height
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    (work / "in" / "huge.png").write_bytes(bytes(content))
    assert sample("--ckpt", seeing, "--task=reconstruct", "--input=in", "--side=left") == 1
    assert "huge.png cannot be read as an image" in capsys.readouterr().err
    assert {name: row["status"] for name, row in results(work).items()} == {
        "flat": "ok", "thin": "ok", "good": "ok", "huge": "failed",
    }  # fmt: skip


def test_weights_without_an_image_branch_are_refused(work, blind, capsys):
    photo(work / "a.jpg")
    assert sample("--ckpt", blind, "--task=reconstruct", "--input=a.jpg", "--side=right") == 2
    assert "not image. Give --ckpt with weights" in capsys.readouterr().err
    assert not (work / "o").exists()


def test_coco_boxes_need_the_folder_of_images(work, seeing, capsys):
    coco(work / "a.json", {**HIDDEN, "righthand_valid": True, "righthand_box": [3, 4, 50, 60]})
    assert sample("--ckpt", seeing, "--task=reconstruct", "--input=a.json") == 1
    assert "Give --images" in capsys.readouterr().err
    words = ("--task=reconstruct", "--input=a.json", "--images=.", "--box", "1,2,30,40")
    assert sample("--ckpt", seeing, *words) == 1
    assert "--box would do nothing" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["auto", "2d", "image", "all"])
def test_fit_takes_the_image_when_there_is_one(work, seeing, given, monkeypatch):
    photo(work / "photo.jpg", (640, 480))
    coco(work / "a.json", {**HIDDEN, "lefthand_valid": True, "lefthand_kpts": keypoints()})
    used = []
    plain = Task.sample
    monkeypatch.setattr(
        Task, "sample", lambda self, given, *rest: used.append(sorted(given)) or plain(self, given, *rest)
    )
    code = sample("--ckpt", seeing, "--task=fit", "--input=a.json", "--images=.", "--given", given)
    if given == "all":
        assert code == 1  # it has no 3D joints
        return
    pictured = ["has_image", "image"] if given != "2d" else []
    flat = ["joints2d", "joints2d_valid"] if given != "image" else []
    assert (code, used) == (0, [[*pictured, *flat]])


def test_guidance_is_told_how_noisy_keypoints_are(work, blind, monkeypatch, capsys):
    coco(work / "a.json", {**HIDDEN, "lefthand_valid": True, "lefthand_kpts": keypoints()})
    used = []
    plain = Task.sample
    monkeypatch.setattr(
        Task, "sample", lambda self, given, cases, guides: used.extend(guides) or plain(self, given, cases)
    )
    assert sample("--ckpt", blind, "--task=fit", "--input=a.json", "--noise=2") == 0
    assert [guide.noise for guide in used] == [pytest.approx(0.02 * 2**0.5)]  # of a point, from that of a coordinate
    for task, noise, said in (("fit", "-1", "--noise -1 is no percentage"), ("inpaint", "2", "--noise is only for")):
        assert sample("--ckpt", blind, f"--task={task}", "--input=a.json", f"--noise={noise}", "--overwrite") == 2
        assert said in capsys.readouterr().err


def test_a_photograph_of_another_size_is_not_drawn_upon(work, blind, capsys):
    photo(work / "photo.jpg", (320, 240))
    coco(work / "a.json", {**HIDDEN, "lefthand_valid": True, "lefthand_kpts": keypoints()})
    assert sample("--ckpt", blind, "--task=fit", "--input=a.json", "--images=.") == 1
    assert "its file says 640x480" in capsys.readouterr().err


@pytest.fixture
def seven(work):
    """Keypoints of seven hands, one a file."""
    (work / "in").mkdir()
    grid = np.array(keypoints()).reshape(21, 3)
    for i in range(7):
        np.save(work / "in" / f"h{i}.npy", grid + np.array([5 * i, 0, 0]))
    return ("--task=fit", "--input=in", "--side=right", "--batch=2", "--guide=0", "-n", "1")


def arrays(work):
    made = {}
    for path in sorted((work / "o" / "hands").glob("*.npz")):
        with np.load(path) as file:
            made[path.stem] = file["vertices"]
    return made


def test_a_killed_run_goes_on_where_it_was_and_makes_the_same_hands(work, blind, seven, monkeypatch, capsys):
    assert sample("--ckpt", blind, *seven) == 0
    whole = arrays(work)
    solved = []
    plain = Task.sample

    def killed(self, given, cases, *rest):
        if len(solved) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        solved.append(len(cases))
        return plain(self, given, cases, *rest)

    monkeypatch.setattr(Task, "sample", killed)
    assert sample("--ckpt", blind, *seven, "--overwrite") == 128 + signal.SIGTERM
    assert "--out o --resume" in capsys.readouterr().err
    assert json.loads((work / "o" / "manifest.json").read_text())["status"] == "stopped"
    assert sorted(arrays(work)) == ["h0", "h1", "h2", "h3"]
    times = {path: path.stat().st_mtime_ns for path in (work / "o" / "hands").iterdir()}
    (work / "o" / "hands" / "h3.npz").write_bytes(b"half a file")
    solved[:] = [0, 0, 0]
    assert sample("--ckpt", blind, *seven, "--resume") == 0
    assert solved == [0, 0, 0, 1, 2, 1]  # the damaged one alone, then what was never made
    assert all(path.stat().st_mtime_ns == then for path, then in times.items() if path.stem != "h3")
    again = arrays(work)
    assert sorted(again) == sorted(whole)
    for name in whole:
        np.testing.assert_allclose(again[name], whole[name], rtol=1e-4)  # rounding of other batches, far off


def test_a_resumed_run_refuses_other_options(work, blind, seven, capsys):
    assert sample("--ckpt", blind, *seven) == 0
    assert sample("--ckpt", blind, *seven, "--resume", "--seed=3") == 2
    assert "were made with seed 0, not 3" in capsys.readouterr().err
    assert sample("--ckpt", blind, *seven, "--resume", "--limit=3") == 0


def test_neither_limit_nor_batch_changes_a_hand(work, blind, monkeypatch):
    words = ("--ckpt", blind, "--task=generate", "-n", "4")
    assert sample(*words) == 0
    whole = arrays(work)
    sampled = []
    plain = Task.sample
    monkeypatch.setattr(
        Task, "sample", lambda self, given, cases, *rest: sampled.append(len(cases)) or plain(self, given, cases, *rest)
    )
    assert sample(*words, "--overwrite", "--limit=1") == 0
    assert sorted(arrays(work)) == ["hand_0000"]
    assert sample(*words, "--resume", "--batch=2") == 0
    assert sampled == [1, 1, 2]  # nobody waits for hands that are not wanted
    again = arrays(work)
    assert sorted(again) == sorted(whole)
    for name in whole:
        np.testing.assert_allclose(again[name], whole[name], atol=1e-5)


def test_a_resumed_run_makes_the_meshes_that_the_earlier_one_was_not_asked_for(work, blind):
    words = ("--ckpt", blind, "--task=generate", "-n", "2", "--out=o", "--device=cpu", "--no-params", "--no-pictures")
    assert main(["sample", *words, "--mesh=obj"]) == 0
    whole = arrays(work)
    assert main(["sample", *words, "--mesh=glb", "--resume"]) == 0
    assert [path.name for path in sorted((work / "o" / "meshes").glob("*.glb"))] == ["hand_0000.glb", "hand_0001.glb"]
    for name, vertices in arrays(work).items():
        np.testing.assert_allclose(vertices, whole[name], atol=1e-5)


def test_deep_grey_photographs_are_not_white(tmp_path):
    grey = np.arange(0, 240, 8, np.uint8).reshape(5, 6)
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_photo(tmp_path / "deep.png"), np.stack([grey] * 3, -1))


def test_one_hand_that_breaks_a_batch_is_left_out_alone(work, blind, seven, monkeypatch, capsys):
    plain = Task.sample

    def fragile(self, given, rows, *rest):
        if bool((given["joints2d_valid"].sum(1) == 20).any()):
            raise RuntimeError("cannot")
        return plain(self, given, rows, *rest)

    monkeypatch.setattr(Task, "sample", fragile)
    spoiled = np.load(work / "in" / "h2.npy")
    spoiled[20] = np.nan
    np.save(work / "in" / "h2.npy", spoiled)
    assert sample("--ckpt", blind, *seven) == 1
    assert "left out h2: RuntimeError: cannot" in capsys.readouterr().err
    assert len(arrays(work)) == 6
