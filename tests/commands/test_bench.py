import json
from importlib.util import find_spec

import pytest
import torch

from zoo.__main__ import main
from zoo.commands import bench_cases, bench_data, bench_metrics, bench_poses
from zoo.commands.bench_harness import WIDTH, Case, Timing, measure, table


class Clock:
    """Time that passes only when something is called."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def task(self, *seconds):
        costs = list(seconds)

        def run():
            self.now += costs[0] if len(costs) == 1 else costs.pop(0)

        return run


def test_the_ratio_is_taken_within_rounds_so_that_drift_cancels():
    clock = Clock()
    slowing = [1.0, *(1.0 + 0.1 * i for i in range(7))]
    case = Case("x", "s", clock.task(*slowing), clock.task(*(3 * cost for cost in slowing)))
    timing = measure(case, seconds=0.0, clock=clock)
    assert timing.ratios == pytest.approx([3.0] * 7)


def test_rounds_go_on_until_the_ratio_is_steady_or_time_is_up():
    clock = Clock()
    assert len(measure(Case("x", "s", clock.task(1.0), clock.task(2.0)), seconds=99.0, clock=clock).ours) == 7
    clock = Clock()
    jumping = clock.task(*[1.0, 2.0] * 50)
    timing = measure(Case("x", "s", clock.task(1.0), jumping), seconds=30.0, clock=clock)
    assert 7 < len(timing.ours) < 20
    assert timing.record()["noisy"]


def test_what_disagrees_gets_no_time():
    timing = measure(Case("x", "s", lambda: None, lambda: None, "peer", lambda: float("nan"), 1e-5))
    assert timing.wrong
    assert timing.ours == []
    assert "WRONG: differs by nan" in list(table([timing]))[1]


def test_the_table_keeps_its_width():
    case = Case(
        "a name that is much too long", "a shape as well, much too long", int, int, "a peer", items=64, unit="images"
    )
    timing = Timing(case, [1.2345678] * 9, [12.3456789] * 9)
    assert all(len(line) <= WIDTH for line in table([timing]))


@pytest.mark.parametrize(
    "make",
    [lambda: bench_cases.chebconv(8, batch=2), lambda: bench_cases.hand_layer(4), lambda: bench_cases.ddim(2, 4)],
)
def test_peers_agree_at_small_sizes(make):
    case = make()
    assert case.disagreement() <= case.tolerance
    case.ours()
    case.peer()


@pytest.mark.parametrize(
    "make", [lambda: bench_metrics.si_trimesh(2), lambda: bench_metrics.si_fcl(2), lambda: bench_metrics.apd(20)]
)
def test_measures_equal_those_of_others(make):
    pytest.importorskip("rtree")
    pytest.importorskip("fcl")
    case = make()
    assert case.disagreement() <= case.tolerance


@pytest.mark.slow
def test_the_cases_that_draw_and_train_agree(tmp_path):
    for case in (bench_cases.training_step(4), bench_data.loader(bench_data.small(tmp_path, 8), "")):
        assert case.disagreement() <= case.tolerance


def test_other_loaders_make_the_same_crops(tmp_path):
    varied = bench_data.photos(tmp_path, 6)
    cases = [bench_data.loader(varied, "")]
    if find_spec("albumentations"):
        cases.append(bench_data.albumentations(bench_data.photos(tmp_path, 6, tint=0.0), ""))
    for case in cases:
        assert case.disagreement() <= case.tolerance


def test_labels_are_those_of_the_other_library(tmp_path):
    for case in (bench_poses.poses61(tmp_path, 256), bench_poses.labels(tmp_path, n=256)):
        assert case.disagreement() <= case.tolerance


def test_the_renderers_draw_the_same_silhouette():
    case = bench_cases.rendering(2, 64)
    assert case.disagreement is None or case.disagreement() <= 0.01
    case.ours()


def test_bench_prints_a_table_and_writes_json(tmp_path, capsys):
    threads = torch.get_num_threads()
    try:
        code = main(["bench", "--only", "ddim", "--seconds", "0", "--json", str(tmp_path / "b.json")])
    finally:
        torch.set_num_threads(threads)
    said = capsys.readouterr().out
    assert code == 0, said
    assert "diffusers DDIMScheduler" in said
    record = json.loads((tmp_path / "b.json").read_text())
    assert record["cases"][0]["ratio"]["median"] > 0
    assert main(["bench", "--only", "dimm"]) == 2
