"""AttentionHand learns: budgets of memory, caches, averages and interruptions change nothing that they should not."""

import warnings

import lightning as L
import pytest
import torch
from tiny_pictures import OFF, draws, part, scenes
from torch.utils.data import DataLoader

from callbacks.ema import EMA
from zoo.models.attentionhand_batch import both_pictures


def learned(model, batch, texts=None):
    """Losses and gradients of a step."""
    model.zero_grad()
    rows = both_pictures(batch)
    losses = model.step_losses(rows, texts or rows.texts, *draws(model, len(rows.texts)))
    torch.stack([losses[name] for name in model.branches]).sum().backward()
    gradients = {name: w.grad for name, w in model.named_parameters() if w.grad is not None}
    return {name: float(loss.detach()) for name, loss in losses.items()}, gradients


def distance(one, other):
    """Of gradients, as a share of the first one's length."""
    assert one.keys() == other.keys()
    off = sum((one[name] - other[name]).square().sum() for name in one)
    return float((off / sum(x.square().sum() for x in one.values())).sqrt())


@pytest.mark.parametrize(("memory", "loss", "gradient"), [("mid", 1e-5, 1e-4), ("low", 0.05, 0.15)])
def test_budgets_of_memory_learn_the_same(hand, memory, loss, gradient):
    expected, gradients = learned(hand(), scenes())
    found, others = learned(hand(memory=memory), scenes())
    assert found.keys() == expected.keys()
    for name in ("global", "local"):
        assert found[name] == pytest.approx(expected[name], rel=loss)
    assert distance(gradients, others) < gradient


def test_branches_apart_and_together_learn_the_same(hand, monkeypatch):
    model = hand()
    expected, gradients = learned(model, scenes())
    monkeypatch.setattr(model, "together", not model.together)
    found, others = learned(model, scenes())
    assert found == pytest.approx(expected, rel=1e-5)
    assert distance(gradients, others) < 1e-4


def test_one_branch_is_that_branch_of_the_two(hand):
    both, _ = learned(hand(), scenes())
    for name in ("global", "local"):
        alone, _ = learned(hand(branches=[name]), scenes())
        assert alone.keys() == {name, f"tas_{name}"}
        assert alone[name] == pytest.approx(both[name], rel=1e-4)


def test_separate_copies_learn_from_their_own_branch(hand):
    model = hand(separate=True)
    rows = both_pictures(scenes())
    for own, other in (("global", "guide_local"), ("local", "guide")):
        model.zero_grad()
        model.step_losses(rows, rows.texts, *draws(model))[own].backward()
        mine = "guide" if own == "global" else "guide_local"
        assert all(weight.grad is not None for weight in getattr(model.dual, mine).parameters())
        assert all(weight.grad is None for weight in getattr(model.dual, other).parameters())


def test_kept_latents_give_the_same_losses_whenever(hand, tmp_path):
    expected, _ = learned(hand(tas=OFF), quantised(scenes()))
    model = hand(tas=OFF, cache=tmp_path, fresh=True)
    first, _ = learned(model, quantised(scenes()))
    assert (model.cache.hits, model.cache.misses) == (0, 4)
    second, _ = learned(model, quantised(scenes()))
    assert (model.cache.hits, model.cache.misses) == (4, 4)
    assert first == second
    assert first == pytest.approx(expected, rel=1e-3)  # kept in half precision


def quantised(batch):
    """Pictures of 256 levels, as files hold them."""
    return batch | {key: (255 * batch[key]).round() / 255 for key in ("image", "image_local")}


def test_only_rows_with_a_picture_and_a_mesh_are_learned_from(hand):
    pictured, meshed = [True, True, False, True], [True, False, True, True]
    batch, whole = scenes(4, pictured=pictured, meshed=meshed), scenes(4)
    rows = both_pictures(batch)
    assert rows.texts == [whole["text"][0], whole["text"][3]]
    for branch, key in (("global", ""), ("local", "_local")):
        assert torch.equal(rows.pictures[branch], whole[f"image{key}"][[0, 3]])
        assert torch.equal(rows.meshes[branch], whole[f"mesh{key}"][[0, 3]])
    losses, _ = learned(hand(tas=OFF), batch)
    single = [learned(hand(tas=OFF), part(whole, 0)), learned(hand(tas=OFF), part(whole, 3))]
    assert losses.keys() == single[0][0].keys()
    with pytest.raises(ValueError, match=r"None of the 4 scenes .* --data\.images true"):
        both_pictures(scenes(4, pictured=[True, False, True, False], meshed=[False, True, False, True]))


def test_two_scenes_are_learned_by_heart(hand):
    model = hand(tas=OFF, seed=None, fresh=True, drop_text=0.0)
    rows = both_pictures(scenes())
    t, noise = torch.tensor([300, 500]), draws(model)[1]
    optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=5e-3)
    losses = []
    for _ in range(30):
        step = model.step_losses(rows, rows.texts, t, noise)
        loss = step["global"] + step["local"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


class Steps(L.Callback):
    """Writes losses down, and stops after some step."""

    def __init__(self, stop=None):
        self.stop, self.losses, self.painted = stop, {}, []

    def on_train_batch_end(self, trainer, module, outputs, *_):
        self.losses[trainer.global_step] = float(outputs["loss"])
        trainer.should_stop = trainer.global_step == self.stop

    def on_validation_batch_end(self, trainer, module, outputs, *_):
        self.painted.append(outputs)


def loader(rows=8, **gaps):
    return DataLoader([scenes(2, seed=i, **gaps) for i in range(rows // 2)], batch_size=None)


def trainer(folder, *callbacks, **options):
    defaults = {"max_steps": 4, "accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "default_root_dir": folder}
    return L.Trainer(callbacks=list(callbacks), **(defaults | quiet | options))


@pytest.fixture
def calm():
    """Lightning speaks of loaders without workers, of frozen parts and of starting in the middle of an epoch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def run(hand, folder, stop=None, ckpt=None):
    L.seed_everything(3, verbose=False)
    model, steps, ema = hand(fresh=True), Steps(stop), EMA(0.9)
    work = trainer(folder, ema, steps)
    batches = DataLoader([scenes(2)] * 4, batch_size=None)  # plain loaders begin anew when a run is resumed
    work.fit(model, batches, ckpt_path=ckpt, **({"weights_only": True} if ckpt else {}))
    if stop:
        work.save_checkpoint(folder / "stopped.ckpt")
    return steps.losses, ema.average, model


@pytest.mark.usefixtures("calm")
def test_a_resumed_run_repeats_the_uninterrupted_one_with_its_average(hand, tmp_path):
    whole, average, model = run(hand, tmp_path)
    first, *_ = run(hand, tmp_path, stop=2)
    kept = torch.load(tmp_path / "stopped.ckpt", weights_only=True)
    assert all(name.startswith("dual.guide.") for name in kept["state_dict"] if name != "base_hash")
    assert kept["ema"]["weights"].keys() == kept["state_dict"].keys() - {"base_hash"}
    second, resumed, other = run(hand, tmp_path, ckpt=str(tmp_path / "stopped.ckpt"))
    assert (sorted(first), sorted(second)) == ([1, 2], [3, 4])
    assert first | second == pytest.approx(whole, abs=1e-6)
    for name, value in average.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=1e-6)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("calm")
def test_validation_and_prediction_work_in_inference_mode_and_repeat(hand, tmp_path):
    model, steps = hand(fresh=True), Steps()
    numbers = []
    for _ in range(2):
        work = trainer(tmp_path, steps)
        numbers.append(work.validate(model, loader(4, meshed=[True, False]), verbose=False)[0])
    assert numbers[0] == numbers[1]
    assert numbers[0]["val/loss"] == pytest.approx(numbers[0]["val/global"] + numbers[0]["val/local"])
    painted = steps.painted[0]
    assert steps.painted[1] is None
    assert painted["images"].shape == painted["real"].shape == painted["asked"]["mesh"].shape == (1, 3, 64, 64)
    assert painted["attention"].shape == (1, 2, 8, 8)
    assert not torch.equal(painted["attention"][:, 0], painted["attention"][:, 1])
    assert not any(x.requires_grad for x in (painted["images"], painted["attention"]))
    tested = trainer(tmp_path).test(model, loader(2), verbose=False)[0]
    assert tested.keys() == {name.replace("val/", "test/") for name in numbers[0]}
    batch = scenes(2)
    (made,) = trainer(tmp_path).predict(model, DataLoader([batch], batch_size=None))
    expected = model.sample({"text": batch["text"], "mesh": batch["mesh"]}, batch["index"].tolist())
    torch.testing.assert_close(made["images"], expected, atol=1e-6, rtol=0)


@pytest.mark.usefixtures("calm")
def test_validation_sees_the_average_and_gives_the_weights_back(hand, tmp_path):
    model, ema = hand(fresh=True), EMA(0.5)
    work = trainer(tmp_path, ema, max_steps=2)
    work.fit(model, loader(4))
    weights = {name: w.detach().clone() for name, w in model.named_parameters()}
    assert ema.average.keys() == {name for name, w in model.named_parameters() if w.requires_grad}
    with ema.averaged(model):
        for name, value in ema.average.items():
            assert torch.equal(model.get_parameter(name), value)
    assert all(torch.equal(w, weights[name]) for name, w in model.named_parameters())
