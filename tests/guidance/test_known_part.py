import pytest
import torch
from gaussian_hands import HAND, bent, model

from zoo.batch import Given
from zoo.diffusion import Estimate, NoiseSchedule
from zoo.guidance import AlignedGradient, ClassifierFree, KnownPart, VerticesAt
from zoo.samplers import DDIM, DDPM

VERTICES = bent(2)
MASK = (HAND.parts != 1)[None] & (HAND.parts != 2) & (HAND.parts != 3)  # the index finger is missing
MASK = MASK.expand(2, 778).clone()
SCHEDULE = NoiseSchedule()


def sample(*guidance, n=1, seed=0, sampler=DDIM(4)):  # noqa: B008 - frozen
    generator = torch.Generator().manual_seed(seed)
    return model(sampler=sampler).sample(Given(), n, generator, batch_size=2, guidance=guidance)["vertices"]


@pytest.mark.parametrize("sampler", [DDIM(4), DDIM(4, eta=1.0), DDPM(4)], ids=str)
def test_the_known_part_is_kept_exactly_and_the_rest_is_sampled(sampler):
    a, b = (sample(KnownPart(VERTICES, MASK), n=2, seed=seed, sampler=sampler) for seed in (0, 1))
    target = VERTICES[:, None].expand_as(a)
    known = MASK[:, None].expand(2, 2, 778)
    assert (a - target).norm(dim=-1)[known].max() < 1e-6
    assert (a - b)[~known].abs().max() > 1e-3
    assert (a[:, 0] - a[:, 1])[~MASK].abs().max() > 1e-3


def test_it_holds_also_where_the_wrist_is_what_is_missing():
    tips = torch.zeros(2, 778, dtype=torch.bool)
    tips[:, list(HAND.tips)] = True
    assert (sample(KnownPart(VERTICES, tips))[:, 0] - VERTICES).norm(dim=-1)[tips].max() < 1e-6


def test_it_has_the_last_word_after_other_guidance():
    nudge = AlignedGradient(VerticesAt(VERTICES + 0.01, MASK), 0.5)
    found = sample(ClassifierFree(2.0), nudge, KnownPart(VERTICES, MASK))[:, 0]
    assert (found - VERTICES).norm(dim=-1)[MASK].max() < 1e-6


def test_rows_without_a_known_part_are_left_alone():
    mask = MASK.clone()
    mask[1] = False
    guide = KnownPart(VERTICES * torch.where(mask, 1.0, torch.nan)[..., None], mask)
    x, t = torch.randn(2, 778, 3), torch.tensor([500, 500])

    def denoise(x, t):
        return Estimate(0.5 * x, x)

    x0 = guide(denoise, denoise, SCHEDULE)(x, t).x0
    assert torch.equal(x0[1], 0.5 * x[1])
    assert torch.equal(x0[0][mask[0]], (VERTICES / 0.1)[0][mask[0]])


def test_the_next_noisy_signal_is_the_known_one_with_noise():
    # at eta = 0 the noise of a known entry stays the same through all times
    x, t = torch.randn(2, 778, 3), torch.tensor([999, 999])
    seen = []

    def denoise(x, t):
        seen.append((x, t))
        return Estimate(torch.zeros_like(x), x)

    DDIM(4)(KnownPart(VERTICES, MASK)(denoise, denoise, SCHEDULE), x, SCHEDULE)
    for at, when in seen[1:]:
        a, s = SCHEDULE.at(when, at)
        torch.testing.assert_close(((at - a * VERTICES / 0.1) / s)[MASK], x[MASK], rtol=1e-2, atol=1e-2)
    assert t is not None


def test_the_seam_fades_over_the_rings_that_were_asked_for():
    x = torch.zeros(2, 778, 3)

    def denoise(x, t):
        return Estimate(VERTICES / 0.1, x)

    lifted = VERTICES + torch.tensor([0.0, 0.0, 0.02])
    edges = torch.cat([HAND.faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
    seam = edges[MASK[0][edges[:, 0]] & ~MASK[0][edges[:, 1]]]

    def steps(blend):
        guide = KnownPart(lifted, MASK, blend=blend, faces=HAND.faces)
        moved = (guide(denoise, denoise, SCHEDULE)(x, torch.tensor([5, 5])).x0 - VERTICES / 0.1)[0, :, 2]
        return moved, (moved[seam[:, 0]] - moved[seam[:, 1]]).abs().mean()

    (cut, jump), (blended, softer) = steps(0), steps(3)
    torch.testing.assert_close(jump, torch.tensor(0.2), rtol=1e-3, atol=1e-4)
    assert softer < 0.5 * jump
    torch.testing.assert_close(blended[MASK[0]], cut[MASK[0]])
    assert (blended[~MASK[0]] <= 0.2 + 1e-5).all()
    far = [HAND.tips[1]]
    assert (blended[far] == 0).all()


def test_resampling_looks_again_with_fresh_noise():
    calls = []

    def denoise(x, t):
        calls.append(x)
        return Estimate(0.5 * x, x)

    def run(seed):
        guide = KnownPart(VERTICES, MASK, resample=2, generator=torch.Generator().manual_seed(seed))
        return DDIM(3)(guide(denoise, denoise, SCHEDULE), torch.ones(2, 778, 3), SCHEDULE)

    a = run(0)
    assert len(calls) == 9
    torch.testing.assert_close(a, run(0))
    assert (a - run(1))[~MASK].abs().max() > 1e-3


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="needs faces"):
        KnownPart(VERTICES, MASK, blend=2)
    with pytest.raises(ValueError, match="2 rows and 3 hands"):
        KnownPart(VERTICES, MASK)(lambda x, t: Estimate(x, x), lambda x, t: Estimate(x, x), SCHEDULE)(
            torch.zeros(3, 778, 3), torch.tensor([1, 1, 1])
        )
    with pytest.raises(ValueError, match="one for each"):
        KnownPart(VERTICES, MASK[:1])(lambda x, t: Estimate(x, x), lambda x, t: Estimate(x, x), SCHEDULE)
