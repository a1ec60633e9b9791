"""Latent diffusion from scratch: the codec learns first, then text encoder and U-Net on what it gives."""

import math
import warnings

import lightning as L
import pytest
import torch
from tiny_pictures import SIZE, latent_diffusion, scenes
from torch.utils.data import DataLoader

import checkpoints
from zoo.bases import Base, load_base
from zoo.diffusion import NoiseSchedule
from zoo.models.latent_diffusion import SPREAD, edge_error
from zoo.models.latents import dropped, snr_weight, texts_of
from zoo.samplers import DDIM, DDPM


class Watch(L.Callback):
    """What learns in each step."""

    def __init__(self):
        self.coding, self.graded, self.codecs, self.rates = [], [], [], []

    def on_train_batch_start(self, trainer, module, batch, index):
        self.coding.append(module.coding)
        self.codecs.append(torch.cat([w.detach().flatten() for w in module.codec.parameters()]))

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.rates.append([group["lr"] for group in optimizer.param_groups])
        self.graded.append({name.partition(".")[0] for name, w in module.named_parameters() if w.grad is not None})


def fit(model, folder, steps=5, **options):
    watch = Watch()
    trainer = L.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, callbacks=[watch], **options,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning would like loaders with workers
        trainer.fit(model, DataLoader([scenes(2, seed=i) for i in range(steps)], batch_size=None))
    return watch


def test_the_codec_learns_first_and_alone_then_the_others_without_it(tmp_path):
    model = latent_diffusion(codec_share=0.4, cache=tmp_path / "cache")
    watch = fit(model, tmp_path)
    assert watch.coding == [True, True, False, False, False]
    assert watch.graded == [{"codec"}] * 2 + [{"text", "unet"}] * 3
    moved = [not torch.equal(one, other) for one, other in zip(watch.codecs, watch.codecs[1:], strict=False)]
    assert moved == [True, True, False, False]
    assert model.cache.misses + model.cache.hits == 3 * 2  # of the second phase alone
    assert model.codec.scale == pytest.approx(float(model.variance) ** -0.5)


def test_rates_of_both_phases_rise_and_fall_over_their_own_part(monkeypatch):
    model = latent_diffusion(codec_share=0.5, warmup=0.1, final_lr=0.02, codec_rate=2.0)

    def rates(done):
        with monkeypatch.context() as patch:
            patch.setattr("zoo.models.latent_diffusion.progress", lambda _: done)
            patch.setattr(type(model), "trainer", None)
            return model._codec_factor(0), model._paint_factor(0)

    assert rates(0.25)[0] == pytest.approx(2 * (0.02 + 0.98 / 2))  # the middle of a cosine, times codec_rate
    assert rates(0.5)[0] == pytest.approx(2 * 0.02)
    assert rates(0.5)[1] == pytest.approx(1e-3 / 0.1)
    assert rates(0.75)[1] == pytest.approx(0.02 + 0.98 / 2)
    assert rates(1.0)[1] == pytest.approx(0.02)


def test_a_run_limited_by_time_changes_phase_by_the_clock(tmp_path, monkeypatch):
    shares = iter([0.0, 0.1, 0.35, 0.4] + [0.9] * 50)
    model, now = latent_diffusion(codec_share=0.3), [0.0]
    monkeypatch.setattr("zoo.models.latent_diffusion.progress", lambda _: now[0])
    inside = model.on_train_batch_start
    monkeypatch.setattr(model, "on_train_batch_start", lambda *a: now.__setitem__(0, next(shares)) or inside(*a))
    losses = []
    monkeypatch.setattr(
        model, "codec_losses", lambda images: losses.append("codec") or {"x": model.codec.encode(images).mean()}
    )
    monkeypatch.setattr(
        model, "noise_loss", lambda images, texts: losses.append("noise") or model.unet.net.conv_in.weight.sum()
    )
    fit(model, tmp_path, steps=4)
    assert losses == ["codec", "codec", "noise", "noise"]


def test_the_scale_follows_the_spread_of_the_latents():
    model, images = latent_diffusion(), scenes(4)["image"]
    before = float(model.variance)
    assert before == pytest.approx(1 / 0.18215**2)
    torch.manual_seed(1)
    with torch.no_grad():
        spread = float((model.codec.encode(images) / model.codec.scale).var())
        model.codec_losses(images)
        model.codec_losses(images.flip(-1))
    assert float(model.variance) < before
    model.variance.fill_(spread)
    model.settle()
    assert float(model.codec.encode(images).std().detach()) == pytest.approx(1.0, rel=1e-4)
    assert SPREAD == 0.01


def test_the_running_variance_takes_a_hundredth_of_each_batch(monkeypatch):
    model, images = latent_diffusion(), scenes(4)["image"]
    monkeypatch.setattr(torch, "rand", lambda *_: torch.tensor(1.0))  # not mirrored
    before = float(model.variance)
    spread = float((model.codec.encode(images) / model.codec.scale).var().detach())
    losses = model.codec_losses(images)
    assert float(model.variance) == pytest.approx(0.99 * before + 0.01 * spread, rel=1e-5)
    assert losses.keys() == {"picture", "edges", "latents"}


def test_weights_that_are_saved_are_the_same_base_again(tmp_path):
    config = {
        "class_path": "zoo.models.LatentDiffusion",
        "init_args": {
            "codec": {"class_path": "KLCodec", "init_args": {"widths": [8, 8, 16, 16], "layers": 1, "groups": 4}},
            "text": {
                "class_path": "zoo.encoders.clip_text.ClipText",
                "init_args": {"width": 32, "layers": 2, "heads": 1, "vocab": 600},
            },
            "unet": {
                "class_path": "LatentUNet",
                "init_args": {"widths": [16, 32], "layers": 1, "heads": 2, "context": 32, "groups": 8, "side": 8},
            },
            "size": SIZE,
        },
    }
    model = latent_diffusion()
    model.variance.fill_(4.0)
    folder = checkpoints.save(tmp_path / "mine", config, model.state_dict(), "# Tiny")
    again, base = checkpoints.load(folder), load_base(str(folder))
    assert again.codec.scale == base.codec.scale == 0.5
    assert base.hash == Base(model.codec, model.text, model.unet, model.schedule).hash
    assert base.schedule.kind == "scaled_linear"
    batch = scenes()
    model.eval()
    model.settle()
    texts, seeds = {"text": batch["text"]}, [1, 2]
    assert torch.equal(model.sample(texts, seeds, DDIM(steps=2)), again.sample(texts, seeds, DDIM(steps=2)))


def test_local_pictures_stand_in_for_a_share_of_the_rows():
    batch = scenes(4)
    assert torch.equal(latent_diffusion(local=0.0).pictures(batch), batch["image"])
    model = latent_diffusion(local=1.0)
    assert torch.equal(model.pictures(batch), batch["image_local"])
    torch.manual_seed(0)
    model.local = 0.5
    shown = model.pictures(batch)
    near = [torch.equal(shown[i], batch["image_local"][i]) for i in range(4)]
    assert all(torch.equal(shown[i], batch["image"][i]) for i in range(4) if not near[i])


def test_rows_without_a_picture_are_left_out():
    batch = scenes(3, pictured=[True, False, True])
    assert texts_of(batch) == [batch["text"][0], batch["text"][2]]
    model = latent_diffusion()
    assert model.noise_loss(model.pictures(batch), texts_of(batch)).isfinite()
    with pytest.raises(ValueError, match=r"--data\.images true"):
        latent_diffusion().pictures(scenes(2, pictured=[False, False]))
    assert latent_diffusion().validation_step(scenes(2, pictured=[False, False]), 0) is None


def test_sizes_and_shares_are_refused_with_their_flags():
    with pytest.raises(ValueError, match=r"multiple of 8. Set --model\.size"):
        latent_diffusion(size=60)
    with pytest.raises(ValueError, match=r"Set --data\.size 64"):
        latent_diffusion().training_step(scenes(size=32), 0)
    for share in (1.0, -0.1):
        with pytest.raises(ValueError, match=r"--model\.codec_share"):
            latent_diffusion(codec_share=share)
    with pytest.raises(ValueError, match="3 seeds were given for 2 texts"):
        latent_diffusion().sample({"text": ["a", "b"]}, [0, 1, 2])


@pytest.mark.parametrize("sampler", [DDIM(steps=2), DDPM(steps=2)])
def test_a_row_of_a_sample_depends_on_its_own_seed_alone(sampler):
    model, texts = latent_diffusion().eval(), scenes(3)["text"]
    whole = model.sample({"text": texts}, [5, 6, 7], sampler)
    one = model.sample({"text": texts[1:2]}, [6], sampler)
    torch.testing.assert_close(one, whole[1:2], atol=2e-5, rtol=0)
    assert whole.shape == (3, 3, SIZE, SIZE)
    assert not whole.requires_grad


def test_snr_weights_are_min_snr_over_snr():
    schedule = NoiseSchedule("scaled_linear")
    t = torch.tensor([0, 100, 500, 999])
    snr = schedule.alpha_bar[t] / (1 - schedule.alpha_bar[t])
    expected = torch.tensor([min(float(x), 5.0) / float(x) for x in snr])
    torch.testing.assert_close(snr_weight(schedule, t, 5.0), expected)
    assert float(snr_weight(schedule, t, 5.0)[0]) < 0.01
    assert torch.equal(snr_weight(schedule, t, None), torch.ones(4))


def test_the_error_of_edges_is_that_of_differences():
    one, other = torch.zeros(2, 1, 3, 4, 4)
    assert float(edge_error(one, other + 0.3)) == 0  # a brighter picture has the same edges
    step = other.clone()
    step[..., 2:] = 1.0  # one of three differences across is off by one, none down
    assert float(edge_error(one, step)) == pytest.approx(1 / 3)


def test_the_noise_error_is_weighed_row_by_row():
    model = latent_diffusion(snr=2.0)
    latents, noise = torch.randn(2, 2, 4, 8, 8)
    t = torch.tensor([10, 700])
    texts = ["a hand", ""]
    x_t = model.schedule.add_noise(latents, noise, t)
    error = (model.unet(x_t, t, model.text(texts)) - noise).square().mean((1, 2, 3))
    expected = (snr_weight(model.schedule, t, 2.0) * error).mean()
    torch.testing.assert_close(model.noise_error(latents, texts, t, noise), expected)


def test_texts_are_dropped_with_their_probability():
    texts = ["a hand"] * 1000
    assert dropped(texts, 0.0) == texts
    assert dropped(texts, 1.0) == [""] * 1000
    torch.manual_seed(0)
    assert abs(dropped(texts, 0.3).count("") - 300) < 5 * math.sqrt(1000 * 0.3 * 0.7)


def test_a_small_one_learns_two_pictures_and_their_noise():
    model = latent_diffusion()
    images = torch.nn.functional.interpolate(torch.rand(2, 3, 4, 4), SIZE, mode="bilinear")
    optimizer, losses = torch.optim.AdamW(model.codec.parameters(), lr=5e-3), []
    for _ in range(20):
        loss = model.codec_losses(images)["picture"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]
    latents, noise, t = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), torch.tensor([300, 600])
    optimizer, losses = torch.optim.AdamW([*model.text.parameters(), *model.unet.parameters()], lr=5e-3), []
    for _ in range(20):
        loss = model.noise_error(latents, ["a fist", "an open hand"], t, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
