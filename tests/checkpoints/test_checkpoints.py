import pickle
from pathlib import Path

import pytest
import torch
import yaml
from toys import Toy

import checkpoints
from checkpoints.save import release

CONFIG = {"class_path": "toys.Toy", "init_args": {"width": 6, "lr": 0.25}}


def write(path, model, **extra):
    path.parent.mkdir(parents=True, exist_ok=True)
    hyper = {
        "_class_path": "toys.Toy",
        "width": model.width,
        "_instantiator": "lightning.pytorch.cli.instantiate_module",
    }
    torch.save({"state_dict": model.state_dict(), "hyper_parameters": hyper, **extra}, path)
    return path


def same(model, state):
    return all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_a_released_folder_gives_the_model_back(toy_zoo, tmp_path):
    model = Toy(width=6)
    folder = checkpoints.save(tmp_path / "weights" / "toy", CONFIG, model.state_dict(), "# Toy\nFor tests.")
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "model.yaml", "README.md", "SHA256SUMS"}
    loaded = checkpoints.load(folder)
    assert same(loaded, model.state_dict())
    assert (loaded.width, loaded.lr, loaded.training) == (6, 0.25, False)
    assert checkpoints.load(folder, lr=0.5).lr == 0.5


def test_a_model_of_hands_is_not_taken_for_one_of_pictures(toy_zoo, tmp_path):
    folder = checkpoints.save(tmp_path / "toy", CONFIG, Toy(width=6).state_dict(), "# Toy")
    assert isinstance(checkpoints.load_hands(folder), Toy)
    with pytest.raises(ValueError, match="a Toy, which makes no pictures"):
        checkpoints.load_pictures(folder)


def test_released_weights_that_were_changed_are_refused(toy_zoo, tmp_path):
    folder = checkpoints.save(tmp_path / "toy", CONFIG, Toy(width=6).state_dict(), "card")
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        checkpoints.load(folder)


def test_releasing_twice_is_refused_and_a_failed_release_leaves_nothing(toy_zoo, tmp_path):
    model = Toy(width=6)
    checkpoints.save(tmp_path / "toy", CONFIG, model.state_dict(), "card")
    with pytest.raises(FileExistsError, match="not replaced"):
        checkpoints.save(tmp_path / "toy", CONFIG, model.state_dict(), "card")
    with pytest.raises(yaml.YAMLError):
        checkpoints.save(tmp_path / "half", {"class_path": object()}, model.state_dict(), "card")
    assert [path.name for path in tmp_path.glob("*half*")] == []


def test_tensors_that_share_memory_are_saved_apart(toy_zoo, tmp_path):
    model = Toy(width=3)
    state = {**model.state_dict(), "net.weight": model.net.weight.detach().T.contiguous().T}
    folder = checkpoints.save(tmp_path / "toy", {**CONFIG, "init_args": {"width": 3}}, state, "card")
    assert same(checkpoints.load(folder), model.state_dict())


def test_a_ckpt_knows_its_model_and_gives_the_averaged_weights(toy_zoo, tmp_path):
    model, averaged = Toy(width=5), Toy(width=5)
    ema = {"weights": dict(averaged.state_dict()), "updates": 3}
    path = write(tmp_path / "run" / "checkpoints" / "last.ckpt", model, ema=ema)
    assert same(checkpoints.load(path), averaged.state_dict())
    assert checkpoints.load(path).width == 5


def test_a_ckpt_without_hyper_parameters_uses_the_config_of_its_run(toy_zoo, tmp_path):
    model = Toy(width=5)
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    torch.save({"state_dict": model.state_dict()}, path)
    with pytest.raises(ValueError, match="does not say which model"):
        checkpoints.load(path)
    run = {"model": {"class_path": "toys.Toy", "init_args": {"width": 5}}}
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(run))
    assert same(checkpoints.load(path), model.state_dict())


def test_a_run_folder_means_its_last_checkpoint(toy_zoo, tmp_path):
    last = write(tmp_path / "run" / "checkpoints" / "last.ckpt", Toy())
    write(tmp_path / "run" / "checkpoints" / "best.ckpt", Toy())
    assert checkpoints.find(tmp_path / "run") == last


def test_what_cannot_be_found_is_named(toy_zoo, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"--ckpt nothing is neither a file"):
        checkpoints.find("nothing")
    with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
        checkpoints.find(tmp_path)


def test_a_checkpoint_that_holds_code_is_refused_and_not_run(toy_zoo, tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "evil.ckpt"
    torch.save({"state_dict": {}, "bomb": Bomb()}, path)
    with pytest.raises(ValueError, match="code, which is never run"):
        checkpoints.load(path)
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps({"state_dict": {}, "bomb": Bomb()}))
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        checkpoints.load(tmp_path / "plain.ckpt")
    assert not (tmp_path / "ran").exists()


def test_beside_half_a_checkpoint_a_whole_one_is_named(toy_zoo, tmp_path):
    places = tmp_path / "run" / "checkpoints"
    for name in ("best", "last", "older"):
        write(places / f"{name}.ckpt", Toy())
    for name in ("last", "older"):
        whole = (places / f"{name}.ckpt").read_bytes()
        (places / f"{name}.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        ValueError, match=r"last\.ckpt cannot be read .* --ckpt: \S+/best\.ckpt, beside it, can be read"
    ):
        checkpoints.read(tmp_path / "run")
    (places / "best.ckpt").unlink()
    with pytest.raises(ValueError, match=r"Give another file with --ckpt\.$"):
        checkpoints.read(tmp_path / "run")


def test_weights_of_another_version_are_counted_not_guessed(toy_zoo, tmp_path):
    path = write(tmp_path / "old.ckpt", Toy())
    content = torch.load(path, weights_only=True)
    content["state_dict"]["net.extra"] = content["state_dict"].pop("net.bias")
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"1 missing \(net\.bias\), 1 unexpected \(net\.extra\)"):
        checkpoints.load(path)


def test_a_run_is_released_with_its_averaged_weights(toy_zoo, tmp_path):
    averaged = Toy(width=5)
    path = write(tmp_path / "last.ckpt", Toy(width=5), ema={"weights": dict(averaged.state_dict()), "updates": 9})
    folder = release(path, tmp_path / "released", "# Toy")
    assert same(checkpoints.load(folder), averaged.state_dict())
