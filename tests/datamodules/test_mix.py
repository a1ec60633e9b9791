from collections import Counter
from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch.callbacks import ModelCheckpoint
from test_batches import Blank, Endless, Toy, train

from datamodules.augment import Augment
from datamodules.base import HandData
from datamodules.mix import Mix, _by_part
from datamodules.mix_batches import MixBatches
from zoo import registry

pytestmark = pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")


class Without(Toy):
    """Has no split but the training one."""

    def scenes(self, split):
        if split != "train":
            raise FileNotFoundError("no evaluation labels. Set --data.root or --data.eval_root.")
        return Blank(self.count)


def mixed(parts, weights=None, **options):
    """A mixture of toys, whose parts no name finds."""
    data = Mix(
        dict.fromkeys(parts, 1),
        options={f"{name}.data": "openhand" for name in parts},
        **{"batch_size": 4, "size": 16, "augment": None, "workers": 0, **options},
    )
    data.parts = parts
    data.weights = weights or dict.fromkeys(parts, 1.0)
    return data


def part_and_row(batch, parts):
    """Which part each row is from, and its number there."""
    return [divmod(i, parts)[::-1] for i in batch["index"].tolist()]


@pytest.mark.parametrize(
    "weights", [(1, 1), (2, 1), (5, 0.01), (0.3, 0.3, 0.4), (1, 1e-6, 3), (0.1, 0.1, 0.1, 0.1, 1), (1e9, 1)]
)
@pytest.mark.parametrize("size", [1, 3, 64])
def test_every_batch_is_full_and_every_part_has_its_share_of_any_number_of_batches(weights, size):
    named = {str(i): float(weight) for i, weight in enumerate(weights)}
    batches = MixBatches({name: Toy().train_batches() for name in named}, named, size)
    places = np.array([batches.places(k * size) for k in range(3000)])
    assert (np.diff(places, axis=0) >= 0).all()
    assert (np.diff(places, axis=0).sum(1) == size).all()
    exact = np.arange(3000)[:, None] * size * np.array(weights) / sum(weights)
    assert np.abs(places - exact).max() < len(weights)


def test_a_share_of_less_than_a_row_a_batch_comes_in_some_batches():
    batches = mixed({"a": Toy(), "b": Toy()}, {"a": 15.0, "b": 1.0}).train_batches()
    shares = [Counter(part for part, _ in part_and_row(batches[k], 2))[1] for k in range(16)]
    assert sorted(shares) == [0] * 12 + [1] * 4


def test_every_row_of_a_part_is_seen_once_a_pass_whatever_the_weights():
    data = mixed({"a": Toy(scenes=10), "b": Toy(scenes=7)}, {"a": 1.0, "b": 2.0}, batch_size=5)
    seen = list(chain(*(part_and_row(data.train_batches()[k], 2) for k in range(30))))
    for part, n in ((0, 10), (1, 7)):
        rows = [row for which, row in seen if which == part]
        for first in range(0, len(rows) - n + 1, n):
            assert sorted(rows[first : first + n]) == list(range(n))


def test_no_two_parts_share_an_index():
    batch = mixed({"a": Toy(), "b": Toy(), "c": Toy(Endless(), images=False)}, batch_size=12).train_batches()[0]
    assert len(set(batch["index"].tolist()[:8])) == 8
    assert {i % 3 for i in batch["index"].tolist()} == {0, 1, 2}


def test_parts_of_equal_length_and_seed_are_shuffled_differently():
    data = Mix({"a": 1, "b": 1}, options={"a.data": "openhand", "b.data": "openhand"}, images=False)
    assert data.parts["a"].seed != data.parts["b"].seed
    alone = Mix({"b": 1}, options={"b.data": "openhand"}, images=False)
    assert alone.parts["b"].seed == data.parts["b"].seed


def test_pictures_and_poses_come_together_and_pictures_stay_with_their_rows():
    parts = {"poses": Toy(Endless(), images=False), "seen": Toy(), "half": Toy(image_fraction=0.5)}
    data = mixed(parts, batch_size=12)
    batch = data.train_batches()[1]
    assert batch["has_image"].tolist() == [False] * 4 + [True] * 4 + [True] * 2 + [False] * 2
    assert batch["image"].dtype == torch.uint8
    rows = batch["index"][batch["has_image"]] // 3
    assert batch["image"][:, 0, 8, 8].tolist() == rows.tolist()  # a toy's picture is as bright as its number


def test_devices_share_a_pass_without_overlap():
    data = mixed({"a": Toy(scenes=16), "b": Toy(scenes=16)})
    seen = []
    for rank in range(2):
        batches = data.train_batches()
        batches.rank, batches.world = rank, 2
        seen += chain(*(batches[k]["index"].tolist() for k in range(4)))
    assert sorted(seen) == list(range(32))


def test_an_epoch_shows_as_many_rows_as_the_parts_that_end_hold():
    assert mixed({"a": Toy(scenes=80), "b": Toy(scenes=160)}).train_batches().once_through() == 240 // 4
    poses = Toy(Endless(), images=False)
    data = mixed({"a": Toy(scenes=80), "b": poses}, {"a": 1.0, "b": 3.0})
    assert data.train_batches().once_through() == 80
    with pytest.raises(ValueError, match=r"--data\.batches_per_epoch"):
        mixed({"b": poses}).train_batches().once_through()


def test_workers_change_nothing():
    def some(workers):
        data = mixed({"a": Toy(augment=Augment()), "b": Toy(Endless(), images=False)}, workers=workers)
        return [batch for batch, _ in zip(data.train_dataloader(), range(5), strict=False)]

    torch.testing.assert_close(some(0), some(2), rtol=0, atol=0)


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_resumed_run_sees_what_the_uninterrupted_run_saw(stop, tmp_path):
    def data():
        return mixed({"a": Toy(augment=Augment()), "b": Toy(scenes=7)}, {"a": 3.0, "b": 0.7}, batches_per_epoch=3)

    whole = train(data(), max_steps=7, max_epochs=-1)
    keep = ModelCheckpoint(tmp_path, filename="last", every_n_train_steps=stop)
    before = train(data(), max_steps=stop, max_epochs=-1, callbacks=[keep])
    after = train(data(), max_steps=7, max_epochs=-1, ckpt_path=tmp_path / "last.ckpt")
    assert before + after == whole


def test_resuming_with_other_weights_says_so(tmp_path):
    parts = {"a": Toy(), "b": Toy()}
    keep = ModelCheckpoint(tmp_path, filename="last", every_n_train_steps=2)
    train(mixed(parts, batches_per_epoch=3), max_steps=2, max_epochs=-1, callbacks=[keep])
    other = mixed(parts, {"a": 1.0, "b": 2.0}, batches_per_epoch=3)
    with pytest.warns(UserWarning, match=r"weight of b 1.0 -> 2.0"):
        train(other, max_steps=3, max_epochs=-1, ckpt_path=tmp_path / "last.ckpt")


def test_validation_goes_through_one_part_after_another_and_numbers_all_rows():
    data = mixed({"a": Toy(scenes=6), "b": Toy(scenes=50)}, limit=5, batch_size=4)
    batches = list(data.val_dataloader())
    assert [len(batch["index"]) for batch in batches] == [4, 4, 2]
    assert torch.cat([batch["index"] for batch in batches]).tolist() == list(range(10))
    brightness = torch.cat([batch["image"][:, 0, 8, 8] for batch in batches]).tolist()
    assert brightness == [0, 1, 2, 3, 4, 0, 10, 20, 30, 40]  # spread over a part, not its first rows


def test_a_test_in_part_says_so_and_predictions_are_of_all(caplog):
    data = mixed({"a": Toy(scenes=6), "b": Toy(scenes=50)}, limit=5, batch_size=4)
    with caplog.at_level("WARNING", logger="zoo"):
        assert len(data.view("test")) == 10
    assert "Testing on 5 of b's 50 rows" in caplog.text
    assert len(data.view("predict")) == 56


def test_parts_know_whether_meshes_are_looked_at():
    parts = {"a": Toy(), "b": Toy()}
    data = mixed(parts)
    data.meshes = False
    data.view("val")
    assert [part.meshes for part in data.parts.values()] == [False, False]


def test_a_part_without_a_split_is_named_and_left_out(caplog):
    data = mixed({"a": Without(), "b": Toy()})
    with caplog.at_level("WARNING", logger="zoo"):
        assert len(data.view("val")) == 10
    assert "leaves a out: no evaluation labels. Set --data.roots.a or --data.options.a.eval_root." in caplog.text
    with pytest.raises(ValueError, match="None of a has a val split"):
        mixed({"a": Without()}).view("val")


def test_a_part_without_a_hand_is_named():
    with pytest.raises(ValueError, match=r"b: The train split .* no labelled hand.*--data\.roots\.b"):
        mixed({"a": Toy(), "b": Toy(scenes=0)}).train_batches()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights": {"opnhand": 1}}, r"opnhand is not a dataset\. Did you mean openhand\?"),
        ({"weights": {"mix": 1}}, "mix is not a dataset"),
        ({"weights": {}}, r"--data\.weights\.NAME 1"),
        ({"weights": {"openhand": None}}, r"--data\.weights\.NAME 1"),
        ({"weights": {"openhand": 0}}, r"--data\.weights\.openhand to a positive number, or to null"),
        ({"weights": {"openhand": "many"}}, r"'many'. Set --data\.weights\.openhand to a positive number"),
        ({"weights": {"openhand": -2}}, "a weight is above zero"),
        ({"weights": {"openhand": float("nan")}}, "a weight is above zero"),
        ({"weights": {"freihand": 1}}, r"FreiHAND may not be passed on.*--data\.roots\.freihand"),
        ({"weights": {"freihand": 1}, "roots": {"freihand": "/nowhere"}}, r"--data\.roots\.freihand"),
        ({"weights": {"openhand": 1}, "roots": {"openhnd": "."}}, "Did you mean openhand"),
        ({"weights": {"openhand": 1}, "options": {"frei.fps": 1}}, "belongs to no part"),
        ({"weights": {"openhand": 1}, "options": {"openhand": 3}}, "options have names"),
        ({"weights": {"openhand": 1}, "options": {"openhand.smples": 3}}, "Did you mean samples"),
        ({"weights": {"openhand": 1}, "options": {"openhand.samples": "many"}}, "openhand.samples does not fit"),
        ({"weights": {"openhand": 1}, "options": {"openhand.size": 32}}, r"Set --data\.size"),
        ({"weights": {"openhand": 1}, "options": {"openhand.val_samples": 0}}, r"Set --data\.options\.openhand\.val_s"),
        ({"limit": 0}, r"--data\.limit"),
    ],
)
def test_wrong_usage_is_found_at_once(options, said):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        Mix(**options)


def test_the_command_line_sets_weights_and_options_one_by_one():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(HandData, "data", fail_untyped=False)
    words = "weights.openhand=2 weights.b=0.5 weights.c=null options.b.data=openhand options.b.images=false images=true"
    named = [f"--data.{word}" for word in words.split()]
    data = parser.instantiate_classes(parser.parse_args(["--data=datamodules.Mix", *named])).data
    assert data.weights == {"openhand": 2.0, "b": 0.5}
    assert [part.images for part in data.parts.values()] == [True, False]


def test_options_of_a_part_come_together_and_over_those_of_a_file():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(HandData, "data", fail_untyped=False)
    said = ["--data.options.interhand.fps=5", "--data.options.interhand.hands", "single"]
    _, *words = registry.resolve(["fit", "--model=hhmr", "--data=hhmr-mix", *said, "--data.options.ho3d.x=1"])
    config = parser.parse_args([word for word in words if not word.startswith(("--config", "--model"))])
    assert _by_part(config.data.init_args.options) == {
        "interhand": {"images": False, "fps": 5, "hands": "single"},
        "twohand500k": {"images": False},
        "ho3d": {"x": 1},
    }


def test_options_reach_the_parts():
    options = {"openhand.samples": 12, "poses": {"data": "openhand", "images": False}}
    data = Mix({"openhand": 1, "poses": 3}, options=options, size=32, augment=None, margin=1.2)
    assert data.parts["openhand"].recipe.samples == 12
    assert [part.images for part in data.parts.values()] == [True, False]
    assert {(part.size, part.margin, part.augment) for part in data.parts.values()} == {(32, 1.2, None)}


def test_the_mixture_that_needs_no_files_trains(tmp_path):
    roots = {"openhand": tmp_path / "pictures"}
    options = {"poses.bank": 0, "openhand.samples": 4, "openhand.val_samples": 2}
    options |= {"openhand.test_samples": 2, "openhand.draw_workers": 1, "poses.val_samples": 2}
    data = Mix(roots=roots, options=options, size=32, batch_size=8, batches_per_epoch=2)
    seen = train(data, max_epochs=1, limit_val_batches=1)
    assert len(seen) == 2
    batch = data.train_batches()[0]
    assert batch["has_image"].tolist() == [True] * 2 + [False] * 6


def test_the_papers_mixture_names_what_it_needs():
    assert "hhmr-mix" in registry.names("data")
    with pytest.raises((ValueError, FileNotFoundError), match=r"--data\.(roots|weights)\."):
        Mix({"freihand": 1, "openhand": 1})


def test_neighbouring_batches_differ():
    batches = mixed({"a": Toy(), "b": Toy()}).train_batches()
    assert all(a["index"].tolist() != b["index"].tolist() for a, b in pairwise(batches[k] for k in range(5)))
