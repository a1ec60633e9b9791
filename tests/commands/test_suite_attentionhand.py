import json

import pytest
import torch
from PIL import Image

from zoo.__main__ import main
from zoo.commands import suite_attentionhand, suite_made
from zoo.commands.suite_attentionhand import Asking, Bench, run_attentionhand_suite
from zoo.commands.suite_made import ROWS, VARIANTS, attends, fid, pictures_table, set_interval
from zoo.commands.suite_progress import Progress
from zoo.commands.suite_scenes import Judges, Scenes, made_pictures, stored
from zoo.commands.suite_table import paper
from zoo.commands.suite_training import Trained
from zoo.guidance.text_attention import TextAttention
from zoo.metrics.detectors import Keypoints
from zoo.metrics.extractors import ZooSmall
from zoo.metrics.images import frechet, gaussian
from zoo.metrics.segmenter import HandSegmenter
from zoo.registry import UsageError

QUIET = Progress(say=lambda _: None)


def scenes(rows=4, size=32):
    """Left and right hands whose joints lie in a square of 10 pixels; silhouettes are the square."""
    generator = torch.Generator().manual_seed(0)
    sides = torch.arange(rows) % 2
    valid = torch.zeros(rows, 2, 21, dtype=torch.bool)
    valid[torch.arange(rows), sides] = True
    corners = torch.tensor([[10.0, 10.0], [19.0, 19.0]])
    pixels = torch.cat([corners, 10 + 9 * torch.rand(19, 2, generator=generator)])
    mesh = torch.zeros(rows, 3, size, size)
    mesh[:, :, 10:20, 10:20] = 0.7
    batch = {
        "text": [f"hand {i}" for i in range(rows)], "mesh": mesh, "joints_valid": valid,
        "image": torch.rand(rows, 3, size, size, generator=generator),
        "joints2d": ((2 * pixels + 1) / size - 1).expand(rows, 2, 21, 2).clone(),
        "joints": torch.randn(rows, 2, 21, 3, generator=generator),
    }  # fmt: skip
    return Scenes(batch, size)


class Truth:
    """Sees the joints where they are, but for the last hand, which it does not find."""

    name = "truth"

    def __init__(self, asked, off=0.0):
        self.asked, self.off = asked, off

    def __call__(self, images, boxes, sides):
        joints = self.asked.of_hand("joints")
        found = torch.ones(len(images), dtype=torch.bool)
        found[-1] = False
        return Keypoints(self.asked.pixels + self.off, joints - joints[:, :1], found)


class Square(HandSegmenter):
    """Sees a hand in the left half of the square."""

    def forward(self, images):
        logits = torch.full((len(images), 32, 32), -9.0)
        logits[:, 10:20, 10:15] = 9.0
        return logits


def judges(asked, off=0.0):
    return Judges(ZooSmall(), Truth(asked, off), Square().eval())


def test_a_picture_is_judged_by_joints_pixels_and_silhouette():
    asked = scenes()
    found = judges(asked, off=0.9).look(asked.batch["image"], asked)
    # 0.9 pixels of a box of 9 in both directions: 10 % each
    torch.testing.assert_close(found["mse2d"][:3], torch.full((3,), 200.0), rtol=1e-3, atol=1e-3)
    assert found["mse2d"][3].isnan()
    torch.testing.assert_close(found["mse3d"][:3], torch.zeros(3))
    torch.testing.assert_close(found["iou"], torch.full((4,), 0.5))
    torch.testing.assert_close(found["confidence"], torch.ones(4), rtol=1e-3, atol=1e-3)
    assert found["features"].shape == found["hand_features"].shape == (4, ZooSmall.num_features)


def test_the_hand_of_a_scene_is_the_one_that_has_labels():
    asked = scenes()
    assert asked.sides.tolist() == [0, 1, 0, 1]
    torch.testing.assert_close(asked.boxes[0], torch.tensor([10.5, 10.5, 19.5, 19.5]))
    assert torch.equal(asked.of_hand("joints")[1], asked.batch["joints"][1, 1])


def test_pictures_are_asked_for_with_seeds_of_their_own_and_attention_where_it_was_trained():
    told = []

    class Model:
        device = torch.device("cpu")

        def sample(self, asked, seeds, strength, attend):
            told.append((asked["text"], list(seeds), strength, attend))
            return torch.zeros(len(seeds), 3, 32, 32)

    assert made_pictures(Model(), scenes(), 2, strength=0.0, attend=False).shape == (4, 3, 32, 32)
    made_pictures(Model(), scenes(), 0, attend=True)
    assert told[0] == ([f"hand {i}" for i in range(4)], [200006 + i for i in range(4)], 0.0, False)
    assert told[1][1:] == ([0, 1, 2, 3], None, True)
    assert [attends(row) for row in ("base", "without_tas", "both", "sampled", "shipped")] == [
        False, None, None, True, None
    ]  # fmt: skip


def test_equal_sets_have_no_distance_and_moved_ones_that_of_their_means():
    made = torch.randn(64, 5, generator=torch.Generator().manual_seed(0))
    assert fid(made, made) == pytest.approx(0, abs=1e-6)
    assert fid(made + 2, made) == pytest.approx(4 * 5, rel=1e-4)
    few, many = made[:4], made[10:60] @ torch.randn(5, 5, generator=torch.Generator().manual_seed(1))
    parts = [gaussian(x.sum(0), x.mT @ x, torch.tensor(len(x))) for x in (few.double(), many.double())]
    assert fid(few, many) == pytest.approx(float(frechet(*parts[0], *parts[1])), rel=1e-5)  # as for streamed sets
    found = set_interval(lambda a, b: float((a.mean(0) - b.mean(0))[0]), made, made + 1)
    assert found.mean == pytest.approx(-1, abs=1e-5)
    # the standard error of the difference of two means of 64 numbers of unit variance
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * (2 / 64) ** 0.5, rel=0.35)


def measured(shift=0.0, rows=6):
    generator = torch.Generator().manual_seed(0)
    numbers = {name: torch.rand(rows, generator=generator) + shift for name in ("confidence", "mse2d", "mse3d", "iou")}
    return {**numbers, "features": torch.randn(rows, 4), "hand_features": torch.randn(rows, 4)}


@pytest.mark.parametrize("number", list(ROWS))
def test_every_table_has_its_rows_the_papers_figures_and_paired_differences(number, monkeypatch):
    monkeypatch.setattr(suite_made, "DRAWS", 3)
    shifts = {name: float(i) for i, name in enumerate(ROWS[number])}
    made = {name: measured(shift) for name, shift in shifts.items()} | {"shipped": None}
    table = pictures_table(number, lambda name: made[name], measured(), ["Note."])
    called = [row["pictures"] for row in table.rows]
    assert called[: len(ROWS[number])] == [c for n, c in ROWS[number].items() if n != "shipped"] + (
        ["the data's own"] if number == 1 else []
    )
    apart = {row["pictures"]: row["mask IoU"] for row in table.rows if " - " in row["pictures"]}
    first = next(name for name in ROWS[number] if name not in ("base", "both", "shipped"))
    change = apart[f"{ROWS[number][first]} - {ROWS[number]['both']}"]
    assert change.mean == pytest.approx(shifts[first] - shifts["both"], abs=1e-5)
    assert change.high - change.low < 1e-5
    if number == "tas":  # of its own seed
        change = apart["no TAS, other seed - TAS, fixed width, other seed"]
        assert change.mean == pytest.approx(shifts["without_tas_again"] - shifts["both_again"], abs=1e-5)
    assert table.rows[list(ROWS[number]).index("both")]["paper"].startswith("20.7 / 3.0 / 27.1")


def test_the_figures_are_those_of_the_paper():
    figures = paper("attentionhand")
    assert figures["pictures"]["both"][-1] == 1.986
    assert figures["pictures"]["base"][0] == 40.52
    assert figures["downstream"]["InterHand2.6M"] == [11.52, 10.62]


def test_every_variant_says_something_that_text_attention_knows():
    options = [word.removeprefix("--model.tas.").split("=") for words in VARIANTS.values() for word in words
               if ".tas." in word]  # fmt: skip
    assert len(options) == 7
    for name, value in options:
        number = float(value) if value.replace(".", "").isdigit() else value
        assert getattr(TextAttention(**{name: number}), name) == number


def test_a_measured_row_is_kept_until_it_would_be_made_otherwise(tmp_path):
    calls = []

    def make():
        calls.append(1)
        return {"iou": torch.arange(3.0)}

    for facts in (["a"], ["a"], ["b"]):
        assert stored(tmp_path / "rows" / "x.safetensors", make, facts)["iou"].tolist() == [0, 1, 2]
    assert len(calls) == 2


@pytest.fixture(autouse=True)
def base_of_one_hash(monkeypatch):
    """The suite asks for the base's hash, and nothing else of it."""
    monkeypatch.setattr(Asking, "base_hash", "0123456789abcdef")


def run(out, only, **more):
    return run_attentionhand_suite(Asking(out, samples=4, quick=True, device="cpu", **more), only, progress=QUIET)


def test_a_stopped_suite_goes_on_with_rows_and_trainings_that_are_missing(tmp_path, monkeypatch):
    trained, asked = [], scenes()

    class Model:
        device = torch.device("cpu")

        def to(self, _):
            return self

        def sample(self, asked, seeds, strength, attend):
            return torch.rand(len(seeds), 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def fitted(name, words, *_):
        trained.append(name)
        if name == "separate":
            raise KeyboardInterrupt
        return Trained(Model(), 2, 1.0)

    monkeypatch.setattr(suite_made, "DRAWS", 3)
    monkeypatch.setattr(suite_attentionhand, "fitted", fitted)
    monkeypatch.setattr(suite_attentionhand, "held_out_scenes", lambda *_, **__: asked)
    monkeypatch.setattr(suite_attentionhand, "judges_of", lambda *_: judges(asked))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [1, 4])
    assert trained == ["without_tas", "without_tas", "both", "global", "local", "separate"]
    assert (tmp_path / "table1.json").is_file()
    with Image.open(tmp_path / "both.png") as sheet:
        assert sheet.size == (4 * 32, 64)  # meshes above pictures
    trained.clear()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [1, 4])
    assert trained == ["separate"]  # all rows before it are measured
    with pytest.raises(UsageError, match="was made with samples 4, not 5"):
        run_attentionhand_suite(Asking(tmp_path, samples=5, quick=True, device="cpu"), [1], progress=QUIET)
    assert [table.number for table in run(tmp_path, [1])] == [1]
    monkeypatch.setattr(Asking, "base_hash", "fedcba9876543210")
    with pytest.raises(UsageError, match="made with base_hash 0123456789abcdef, not fedcba9876543210"):
        run(tmp_path, [1])
    assert "### 1. Made pictures" in (tmp_path / "TABLES.md").read_text()
    assert json.loads((tmp_path / "tables.json").read_text())["1"]["table"]["samples"] == 4


def test_every_row_has_a_training_or_none():
    rows = {row for table in ROWS.values() for row in table}
    assert {suite_made.BORROWED.get(row, row) for row in rows - {"shipped"}} == set(VARIANTS)


def test_trainings_get_the_same_base_and_budget(tmp_path, monkeypatch):
    told = {}

    def fitted(name, words, folder, *_):
        told[name] = words
        assert folder == tmp_path / "trainings" / "0123456789abcdef"
        return Trained(None, 7, 1.0)

    monkeypatch.setattr(suite_attentionhand, "fitted", fitted)
    bench = Bench(Asking(tmp_path, base="B", steps=7), QUIET)
    for variant in VARIANTS:
        bench.training(variant)
    assert set(told) == set(VARIANTS)
    for name, words in told.items():
        assert {"--model.base=B", "--trainer.max_steps=7", "--data=openhand-scenes", *VARIANTS[name]} <= set(words)
    assert Bench(Asking(tmp_path, minutes=2.0), QUIET).asked.budget().words() == ["--trainer.max_time=00:00:02:00"]


def test_hands_are_trained_anew_from_other_weights_or_with_other_pictures(tmp_path, monkeypatch):
    folders = []

    def fitted(name, words, folder, *_):
        folders.append(folder.name)
        return Trained(None, 7, 1.0)

    monkeypatch.setattr(suite_attentionhand, "fitted", fitted)
    for hhmr, made in (("a", "1"), ("a", "2"), ("b", "2")):
        monkeypatch.setattr(Asking, "facts", {"hhmr": hhmr, "generated_hash": made})
        bench = Bench(Asking(tmp_path, generated=tmp_path), QUIET)
        (tmp_path / "modalities.json").touch()
        bench.hand_training("lab")
        bench.hand_training("lab_and_generated")
    assert folders == ["a", "a-1", "a", "a-2", "b", "b-2"]


def test_wrong_tables_and_a_missing_folder_are_sentences(capsys):
    assert main(["bench", "--suite", "attentionhand"]) == 2
    assert "needs --out DIR" in capsys.readouterr().err
    assert main(["bench", "--suite", "attentionhand", "--out", "x", "--only", "1,3"]) == 2
    assert "--only 3 is not a table" in capsys.readouterr().err
    assert main(["bench", "--suite", "attentionhand", "--out", "x", "--samples", "3"]) == 2
