import json
import math

import pytest
import torch
from tiny_hhmr import YAML
from torch import nn

import checkpoints
from zoo.__main__ import main
from zoo.batch import Hands
from zoo.commands import suite, suite_ablation, suite_generation, suite_recovery, suite_table
from zoo.commands.suite_ablation import masks, networks, trained
from zoo.commands.suite_fitting import fitting, reprojection
from zoo.commands.suite_generation import distances_between, generation, known_vertices, palms_together
from zoo.commands.suite_hands import errors, held_out, sampled, two_fingers, without_fingers
from zoo.commands.suite_pictures import pictures
from zoo.commands.suite_progress import Progress
from zoo.commands.suite_recovery import hypotheses, reconstruction
from zoo.commands.suite_table import WIDTH
from zoo.commands.suite_training import Budget, Trained
from zoo.hands.rotations import random_rotations
from zoo.metrics.generation import APD
from zoo.metrics.hypotheses import MinOfN
from zoo.registry import UsageError, create

QUIET = Progress(say=lambda _: None)


@pytest.fixture(scope="module")
def method(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "tiny.yaml"
    path.write_text(YAML)
    torch.manual_seed(0)
    tiny = create(str(path)).eval()
    nn.init.normal_(tiny.denoiser.head.weight, std=0.05)  # it starts at zero
    return tiny


@pytest.fixture(scope="module")
def hands(method):
    return held_out(5, method, torch.device("cpu"))


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(suite_table, "DRAWS", 20)
    monkeypatch.setattr(suite_generation, "COMPLETIONS", 2)


def narrow(table):
    lines = table.markdown().splitlines()
    assert max(map(len, lines)) <= WIDTH, max(lines, key=len)
    return table


def test_errors_are_those_of_the_metrics(method, hands):
    found = sampled(method, hands, ("skeleton3d",), 3)
    metric = MinOfN(3)
    metric.update(found["vertices"], hands.vertices, torch.ones(5, 778, dtype=torch.bool))
    assert float(errors(found, hands).best(3)[1].mean()) == pytest.approx(float(metric.compute()), rel=1e-5)


def test_a_hand_that_diverged_is_left_out_and_the_truth_has_no_error(hands):
    vertices, joints = hands.vertices[:, None].clone(), hands.batch["joints"][:, None].clone()
    vertices[1] = joints[1] = torch.nan
    off = errors(Hands(vertices=vertices, joints=joints), hands)
    assert off.vertices.isnan().flatten().tolist() == [False, True, False, False, False]
    assert off.vertices.nanmean() < 0.01
    wrist_relative = joints[:, 0] - joints[:, 0, :1]
    seen = reprojection(wrist_relative, hands)
    assert seen[0] < 0.01
    assert math.isnan(seen[1])


def test_a_sample_takes_the_steps_it_is_told_and_no_more_afterwards(method, hands):
    before = method.sampler
    few, many = (sampled(method, hands, ("skeleton3d",), steps=steps)["vertices"] for steps in (2, 5))
    assert not torch.equal(few, many)
    assert torch.equal(few, sampled(method, hands, ("skeleton3d",))["vertices"])
    assert method.sampler is before


def test_the_noise_of_2d_joints_is_a_share_of_the_box(hands):
    off = (hands.noisy(0.02).pixels - hands.pixels).norm(dim=-1).mean(1)
    box = (hands.pixels.amax(1) - hands.pixels.amin(1)).amax(-1)
    assert float((off / box).mean()) == pytest.approx(0.02 * math.sqrt(math.pi / 2), rel=0.15)


def test_two_fingers_are_hidden_whoever_else_is_in_the_batch(hands):
    hidden = two_fingers(hands)
    assert hidden.sum(1).tolist() == [2] * 5
    assert torch.equal(two_fingers(hands.part(3, 5)), hidden[3:])
    given = without_fingers(hands.given("skeleton3d", "skeleton2d"), hidden)
    assert given["joints_valid"].sum(1).tolist() == [13] * 5
    assert bool(given["joints_valid"][:, 0].all())
    assert bool(hands.batch["joints_valid"].all())


def test_hidden_fingers_are_unknown_to_their_tips_and_the_palm_is_known(method):
    for finger in range(5):
        hidden = torch.zeros(1, 5, dtype=torch.bool)
        hidden[0, finger] = True
        known = known_vertices(hidden, method.hand)[0]
        assert [bool(known[tip]) for tip in method.hand.tips] == [other != finger for other in range(5)]
        assert bool(known[method.hand.parts == 0].all())


def test_how_a_hand_is_turned_is_no_variety(method, hands):
    turned = hands.vertices[:1] @ random_rotations(4, torch.Generator().manual_seed(0)).mT
    assert distances_between(turned).max() > 10
    assert distances_between(palms_together(turned, method.hand)).max() < 0.01


def test_distances_of_pairs_are_apd(hands):
    metric = APD()
    metric.update(hands.vertices)
    assert float(distances_between(hands.vertices).sum() / 20) == pytest.approx(float(metric.compute()), rel=1e-4)


def test_table_1_holds_both_priors_and_the_data(method, hands):
    table = narrow(generation(method, hands, QUIET))
    assert [row["method"] for row in table.rows] == [
        "PCA prior", "ours", "held-out hands", "ours - PCA", "PCA prior", "ours", "ours - PCA",
    ]  # fmt: skip
    kept = [row["known part, mm"] for row in table.rows[4:6]]
    assert max(kept) < 1
    assert table.rows[2]["SI, %"].mean < 3  # the data are solid
    assert len(pictures(table, method.hand.faces)) == 5


def test_tables_3_and_4_fall_with_n_and_say_what_is_missing(method, hands, monkeypatch):
    monkeypatch.setattr(suite_recovery, "STEPS", (1, 2))
    monkeypatch.setattr(suite_recovery, "MOST", (8, 16))
    monkeypatch.setattr(suite_recovery, "COUNTS", (1, 8))
    table = narrow(reconstruction(method, hands, QUIET))
    by_given = {name: [row for row in table.rows if row["given"] == name] for name in ("image", "2D joints")}
    assert [row["PA-MPJPE, mm"] for row in by_given["image"]] == ["no image branch"] * 2
    assert by_given["2D joints"][0]["PA-MPVPE, mm"].mean >= by_given["2D joints"][1]["PA-MPVPE, mm"].mean
    monkeypatch.setattr(suite_table, "paper", lambda: {})
    figures = {steps: dict.fromkeys((8, 16), (5.0, 5.0)) for steps in (1, 2)}
    monkeypatch.setattr(suite_recovery, "paper", lambda: {"steps": figures})
    table = narrow(hypotheses(method, hands, QUIET))
    assert len(table.rows) == 4
    assert table.rows[1]["change of PA-MPVPE"].high <= 0
    assert list(pictures(table, method.hand.faces)) == ["table4.png"]


def test_table_5_compares_every_row_with_the_pca_fit(method, hands):
    table = narrow(fitting(method, hands.first(2), QUIET))
    rows = {row["method"]: row for row in table.rows}
    assert rows["image + guidance"]["PA-MPVPE, mm"] == "no image branch"
    assert rows["PCA, fitted to 2D"]["PA-MPVPE, mm"].mean < rows["2D"]["PA-MPVPE, mm"].mean  # which learned nothing
    assert rows["2D + guidance, noisy"]["vs PCA"].endswith("%")
    assert rows["PCA, fitted to 2D"]["2D, %"] < 2


def test_tables_2_and_6_share_a_training(method, hands):
    asked = []

    def train(variant):
        asked.append(variant)
        return Trained(method, 7, 1.0)

    budget = Budget(10)
    table = narrow(networks(train, hands, QUIET, budget))
    assert table.rows[-1]["PA-MPVPE, mm"].mean == 0  # of a network with itself
    table = narrow(masks(train, hands, QUIET, budget))
    assert "10 minutes" in table.notes[0]
    assert all(row["off - on"].mean == 0 for row in table.rows)
    assert asked == ["graph", "sa_only", "graph", "unmasked"]


def test_a_training_is_kept_and_made_anew_when_its_budget_changes(method, tmp_path, monkeypatch):
    calls = []

    def fit(words):
        calls.append(words)
        out = next(word for word in words if word.startswith("--out=")).removeprefix("--out=")
        checkpoints.save(out, {"class_path": "x"}, {}, "card", replace=True)
        (tmp_path / "unmasked" / "metrics.json").write_text(json.dumps({"step": 12}))
        return 0

    monkeypatch.setattr("zoo.commands.train.train", fit)
    monkeypatch.setattr(checkpoints, "load", lambda _: method)
    first = trained("unmasked", tmp_path, Budget(0.5), QUIET)
    assert (first.steps, len(calls)) == (12, 1)
    assert {"--trainer.max_time=00:00:00:30", "--model.conditioner.masking.finger=0"} <= set(calls[0])
    trained("unmasked", tmp_path, Budget(0.5), QUIET)
    assert len(calls) == 1
    trained("unmasked", tmp_path, Budget(0.5, steps=3), QUIET)
    assert "--trainer.max_steps=3" in calls[1]


def run(out, **more):
    options = {"ckpt": "x", "only": [3], "samples": 4, "budget": Budget(1), "seed": 0, "device": "cpu", "command": "c"}
    return suite.run_suite(out, **{**options, **more})


def test_the_suite_goes_on_where_it_stopped_and_refuses_to_mix(method, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checkpoints, "find", lambda _: tmp_path)
    monkeypatch.setattr(checkpoints, "load", lambda _: method)
    monkeypatch.setattr(suite_recovery, "COUNTS", (1, 8))
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    out = tmp_path / "tables"
    assert [table.number for table in run(out)] == [3]
    said = capsys.readouterr().out
    assert "### 3. Recovery" in said
    before = (out / "table3.json").stat().st_mtime_ns
    assert "### 3. Recovery" in (out / "TABLES.md").read_text()
    run(out)
    assert (out / "table3.json").stat().st_mtime_ns == before
    with pytest.raises(UsageError, match="was made with samples 4, not 9"):
        run(out, samples=9)
    assert json.loads((out / "tables.json").read_text())["3"]["table"]["samples"] == 4


def test_every_variant_is_a_model_that_can_be_built():
    for words in suite_ablation.VARIANTS.values():
        overrides = dict(word.removeprefix("--model.").split("=") for word in words)
        create("hhmr", **overrides)


def test_wrong_numbers_and_a_missing_folder_are_sentences(capsys):
    assert main(["bench", "--suite", "hhmr"]) == 2
    assert "needs --out DIR" in capsys.readouterr().err
    assert main(["bench", "--suite", "hhmr", "--out", "x", "--only", "1,7"]) == 2
    assert "--only 7 is not a table" in capsys.readouterr().err
    assert main(["bench", "--suite", "hhmr", "--out", "x", "--samples", "3"]) == 2
