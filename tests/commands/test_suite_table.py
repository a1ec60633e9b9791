import pytest
import torch

from zoo.commands import suite_table
from zoo.commands.suite_table import WIDTH, Interval, Table, interval, pair_means, pairs_interval, paper, restored


def test_the_interval_holds_the_mean_and_narrows_with_the_number_of_hands():
    values = torch.randn(400, generator=torch.Generator().manual_seed(0)) + 5
    few, many = interval(values[:20]), interval(values)
    assert few.low < few.mean < few.high
    assert many.high - many.low < 0.5 * (few.high - few.low)
    expected = 1.96 * float(values.std()) / 20
    assert (many.high - many.low) / 2 == pytest.approx(expected, rel=0.1)


def test_hands_that_could_not_be_measured_do_not_count():
    assert interval(torch.tensor([1.0, torch.nan, 3.0])).mean == 2.0
    assert str(interval(torch.tensor([torch.nan]))).startswith("nan")


def test_equal_hands_resample_alike_so_that_differences_are_paired():
    values = 100 * torch.randn(50, generator=torch.Generator().manual_seed(0))
    apart = interval((values + 1) - values)
    assert apart.low == pytest.approx(1, abs=1e-4)
    assert apart.high == pytest.approx(1, abs=1e-4)


def test_a_resampled_pair_is_never_a_hand_with_itself(monkeypatch):
    monkeypatch.setattr(suite_table, "DRAWS", 50)
    apart = torch.ones(6, 6) - torch.eye(6)
    assert torch.allclose(pair_means(apart), torch.ones(50, dtype=torch.float64))
    assert pairs_interval(7 * apart).mean == pytest.approx(7)


def table(**more):
    row = {"what": "a", "mm": Interval(12.345, 11.0, 13.0), "n": 8, "share": 0.5, "none": None}
    return Table(3, "Title", ("what", "mm", "n", "share", "none"), [row], ["Word " * 60], 5, more)


def test_a_table_comes_back_from_its_record():
    first = table(curve=[1, 2])
    again = restored(first.record())
    assert again.rows == first.rows
    assert again.markdown() == first.markdown()
    assert again.data == {"curve": [1, 2]}


def test_markdown_is_aligned_and_narrow():
    lines = table().markdown().splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert "| a    | 12.3 (11.0..13.0) | 8 | 0.50  |      |" in lines
    assert len({len(line) for line in lines if line.startswith("|")}) == 1


def test_wide_tables_lose_their_padding_first():
    wide = table()
    wide.rows = [{**wide.rows[0], "what": "x" * 58}, *wide.rows]
    lines = [line for line in wide.markdown().splitlines() if line.startswith("|")]
    assert max(map(len, lines)) <= WIDTH
    assert lines[1] == "|---|---|---|---|---|"


def test_the_papers_figures_are_those_of_the_paper():
    figures = paper()
    assert figures["steps"][50][32] == [5.33, 5.35]
    assert figures["generation"]["generation"] == {"pca": [15.0, 0.39], "ours": [17.3, 0.05]}
    assert figures["networks"]["sa_only"] == [6.39, 6.35]
    rows = [figures["steps"][steps] for steps in (10, 25, 50)]
    assert all(row[8][1] > row[16][1] > row[32][1] for row in rows)
