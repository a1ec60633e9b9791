"""The published setting's bench: what it counts, and that every case runs and agrees at a small size."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import zoo
from tests.test_every_model import TINY
from zoo.commands import bench_paper
from zoo.commands.bench_flops import flops
from zoo.commands.bench_harness import Case, Timing
from zoo.commands.bench_rates import H200_BF16, rates
from zoo.samplers.graphed import graphed

SMALL = {k: v for k, v in TINY["hhmr-paper"].items() if k != "sampler.steps"}


def test_the_counter_counts_two_operations_a_multiply_add_and_three_products_a_training_step():
    layer, x = torch.nn.Linear(7, 11), torch.randn(5, 7, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        out = layer(x)
        assert counter.get_total_flops() == 2 * 5 * 7 * 11
        out.sum().backward()
    assert counter.get_total_flops() == 3 * 2 * 5 * 7 * 11


def test_operations_add_up_over_rows_steps_and_hypotheses():
    model = zoo.create("hhmr-paper", **SMALL)
    assert flops(model, 6) == 3 * flops(model, 2)
    encoder = 2 * flops(model, 2) - flops(model, 2, steps=2)
    assert flops(model, 2, hypotheses=3, steps=4) == encoder + 12 * (flops(model, 2) - encoder)
    assert flops(model, 2, images=False) < flops(model, 2)
    assert 2 < flops(model, 2, training=True) / flops(model, 2) < 3


def test_operations_of_the_denoiser_are_those_of_its_formula():
    """Products of a network of one level without attention to itself, two residuals, as written on paper."""
    small = {"sizes": [16], "widths": [8, 8], "self_attention": [], "cross_attention": [], "blocks": 1}
    extra = {f"denoiser.{name}": value for name, value in small.items()}
    model = zoo.create("hhmr-paper", **{**SMALL, **extra})
    time, c = model.denoiser.time, 8
    embedding = 2 * 2 * time * time
    convolutions = 0
    for vertices, residuals in ((778, 2), (16, 1)):  # down and up, and the bottom
        layer = 2 * vertices * vertices * c + 2 * vertices * (2 * c) * c + 2 * time * 2 * c
        convolutions += residuals * 2 * layer
    between = 2 * 16 * 778 * c + 2 * 16 * c * c + 2 * 16 * c * c + 2 * 778 * 16 * c + 2 * 778 * (2 * c) * c
    ends = 2 * 778 * 3 * c * 2
    both, one = flops(model, 1, images=False, steps=2), flops(model, 1, images=False)
    assert both - one == embedding + convolutions + between + ends


def test_mfu_is_operations_over_time_over_790_tflops():
    timing = Timing(Case("x", "s", int), [0.018] * 7)
    found = rates(timing, int(4.68e12), 700e12)
    assert found["mfu_h200_percent"] == pytest.approx(100 * 4.68e12 / 0.018 / H200_BF16)
    assert found["mfu_h200_percent"] == pytest.approx(33, abs=0.5)  # the goal of 18 ms a step
    assert found["calls_per_second"] == pytest.approx(55.6, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("word", ["train", "pose", "sample", "latency"])
def test_every_case_runs_and_agrees_with_its_peer(word, capsys):
    records, agreed = bench_paper.run_paper("cpu", word, 0.0, 2, **SMALL)
    said = capsys.readouterr().out
    assert agreed, said
    assert "numbers of a CPU" in said
    assert "TFLOP" in said
    assert records[0]["device"] == "cpu"
    assert records[0]["ratio"]["median"] > 0


def test_an_unknown_case_is_refused_with_the_known_ones():
    with pytest.raises(zoo.registry.UsageError, match=r"train-compiled is not a case on cpu.*Known: train, pose"):
        bench_paper.run_paper("cpu", "train-compiled", 0.0, 2, **SMALL)


def test_graphs_are_refused_where_there_is_no_gpu():
    with pytest.raises(ValueError, match="need a CUDA device"):
        graphed(lambda x, t: (x, x), torch.zeros(1, 778, 3))


@pytest.mark.gpu
@pytest.mark.parametrize("word", [word for word, _ in bench_paper.cases(bench_paper.Setting(torch.device("cuda"), 4))])
def test_every_case_agrees_on_a_gpu(word):
    _, agreed = bench_paper.run_paper("cuda", word, 0.0, 4, **SMALL)
    assert agreed
