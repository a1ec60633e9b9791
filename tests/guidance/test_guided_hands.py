"""Guidance inside HHMR: modes, precision, rows and hypotheses, and what has diverged."""

import pytest
import torch
from gaussian_hands import HAND, bent, model
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from zoo.batch import Given
from zoo.guidance import (
    AlignedGradient,
    ClassifierFree,
    Diverged,
    JointsAt,
    KnownPart,
    PixelsAt,
    Together,
    VerticesAt,
)
from zoo.samplers import DDIM, DDPM

VERTICES = bent(3)
JOINTS = HAND.regress(VERTICES)
ALL = torch.ones(3, 21, dtype=torch.bool)
GIVEN = Given(joints=JOINTS, joints_valid=ALL)
FLAT = 300 * JOINTS[..., :2] + 100
SAMPLERS = [DDIM(6), DDIM(6, eta=1.0), DDPM(6)]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def run(guidance=(), n=1, net=None, **options):
    return (net or model(sampler=DDIM(6))).sample(GIVEN, n, seeded(), guidance=guidance, **options)["vertices"]


def aligned(operator=None, **changes):
    return AlignedGradient(operator or JointsAt(JOINTS, ALL, HAND), **changes)


WAYS = [{}, {"moves": "estimate"}, {"wrt": "x0", "repeats": 3}]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_every_sampler_is_guided(sampler, way):
    operator, net = JointsAt(JOINTS, ALL, HAND), model(sampler=sampler)
    off = [operator.error(run(guides, net=net)[:, 0] / 0.1).mean() for guides in ([], [aligned(scale=0.4, **way)])]
    assert off[1] < 0.7 * off[0]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_every_autograd_mode_gives_the_same_hands(mode, way):
    operator = Together([JointsAt(JOINTS, ALL, HAND), PixelsAt(FLAT, ALL, HAND)])
    expected = run([aligned(operator, **way)])
    with mode():
        given = {name: value.clone() for name, value in GIVEN.items()}  # made inside, as a batch in a Trainer
        operator = Together([JointsAt(JOINTS.clone(), ALL.clone(), HAND), PixelsAt(FLAT.clone(), ALL.clone(), HAND)])
        hands = model(sampler=DDIM(6)).sample(given, 1, seeded(), guidance=[aligned(operator, **way)])["vertices"]
    assert torch.equal(hands, expected)
    assert not hands.requires_grad


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_no_weight_gets_or_needs_a_gradient(way):
    net = model(sampler=DDIM(3))
    expected = run([aligned(**way)], net=net)
    assert all(p.grad is None for p in net.parameters())
    net.requires_grad_(False)
    assert torch.equal(run([aligned(**way)], net=net), expected)


def test_only_guidance_that_needs_gradients_leaves_inference_mode():
    modes = []

    class Spy(ClassifierFree):
        def __call__(self, denoise, unconditional, schedule):
            def spied(x, t):
                modes.append((torch.is_inference_mode_enabled(), torch.is_grad_enabled()))
                return denoise(x, t)

            return spied

    with torch.inference_mode():
        run([Spy()])
        assert set(modes) == {(True, False)}
        modes.clear()
        run([Spy(), aligned(moves="estimate")])
        assert set(modes) == {(False, True), (False, False)}  # outside its window without


class Batches(torch.utils.data.Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        return {"joints": JOINTS[i], "joints_valid": ALL[i], "joints2d": FLAT[i] / 100, "joints2d_valid": ALL[i],
                "vertices": VERTICES[i], "image": torch.zeros(0), "has_image": torch.tensor(False)}  # fmt: skip


def test_a_trainer_predicts_with_guidance_in_its_inference_mode(tmp_path):
    net = model(sampler=DDIM(4))
    net.guidance = [ClassifierFree(1.5), aligned()]
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path, inference_mode=True,
    )  # fmt: skip
    data = DataLoader(Batches(), batch_size=3, collate_fn=lambda rows: {
        **torch.utils.data.default_collate(rows), "image": torch.zeros(0, 3, 8, 8)})  # fmt: skip
    (hands,) = trainer.predict(net, data)
    error = JointsAt(JOINTS, ALL, HAND).error(hands["vertices"][:, 0].clone() / 0.1).mean()
    net.guidance = []
    (plain,) = trainer.predict(net, data)
    assert error < JointsAt(JOINTS, ALL, HAND).error(plain["vertices"][:, 0].clone() / 0.1).mean()


def test_rows_without_observations_keep_their_bits():
    valid = ALL.clone()
    valid[1] = False
    for way in WAYS:
        plain, guided = run(), run([aligned(JointsAt(JOINTS, valid, HAND), **way)])
        assert torch.equal(plain[1], guided[1])
        assert not torch.equal(plain[0], guided[0])
        assert torch.equal(run([aligned(JointsAt(JOINTS, ALL & False, HAND), **way)]), plain)
        assert torch.equal(run([aligned(scale=0.0, **way)]), plain)


def test_hypotheses_are_guided_to_their_own_row():
    hands = run([aligned(scale=0.4)], n=3)
    operator = JointsAt(JOINTS.repeat_interleave(3, 0), ALL.repeat_interleave(3, 0), HAND)
    assert hands.shape == (3, 3, 778, 3)
    assert operator.error(hands.flatten(0, 1) / 0.1).max() < operator.error(run(n=3).flatten(0, 1) / 0.1).min()


def test_a_scale_that_diverges_is_reported_with_its_rows_and_never_returned():
    valid = ALL.clone()
    valid[1] = False
    wild = aligned(JointsAt(JOINTS, valid, HAND), scale=1e4, normalize="none", clip=None, moves="estimate")
    with pytest.raises(Diverged, match=r"diverged in 2 of 3 rows \(0, 2\)") as raised:
        run([wild], n=2)
    assert raised.value.rows == [0, 2]
    assert raised.value.which.tolist() == [[True, True], [False, False], [True, True]]
    kept = raised.value.hands["vertices"]
    assert kept[[0, 2]].isnan().all()
    assert torch.equal(kept[1], run(n=2)[1])


def test_a_condition_exaggerated_beyond_any_hand_is_reported():
    with pytest.raises(Diverged):
        run([ClassifierFree(1e4)])


def test_half_precision_guides_too():
    operator, net = JointsAt(JOINTS, ALL, HAND), model(sampler=DDIM(6))
    for way in WAYS:
        with torch.autocast("cpu", torch.bfloat16):
            hands = run([aligned(scale=0.4, **way)], net=net)
        assert hands.dtype == torch.float32
        assert operator.error(hands[:, 0] / 0.1).mean() < 0.8 * operator.error(run(net=net)[:, 0] / 0.1).mean()


def test_all_guidance_together():
    mask = (HAND.parts < 10).expand(3, 778)
    guides = [
        ClassifierFree(1.5),
        aligned(Together([JointsAt(JOINTS, ALL, HAND), PixelsAt(FLAT, ALL, HAND), VerticesAt(VERTICES, mask)])),
        KnownPart(VERTICES, mask, blend=2, faces=HAND.faces),
    ]
    for sampler in SAMPLERS:
        hands = run(guides, net=model(sampler=sampler))
        assert (hands[:, 0] - VERTICES).norm(dim=-1)[mask].max() < 1e-6
