import pytest
import torch

from zoo.hands import OpenHand
from zoo.hands.linearize import mesh_points
from zoo.hands.pca import PCAPrior
from zoo.hands.pca_inpainting import complete
from zoo.hands.poses import PosePrior
from zoo.hands.rotations import matrix_to_axis_angle, random_rotations
from zoo.hands.skeleton import WRIST

INDEX = torch.tensor((1, 2, 3))  # MANO's joints of the index finger


@pytest.fixture(scope="module")
def prior() -> PCAPrior:
    return PCAPrior(OpenHand(), samples=400)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_components_are_measured_on_the_pose_prior(prior):
    angles = PosePrior().sample(400, seeded()).axis_angle
    rotations = torch.zeros(400, 16, 3, 3)
    rotations[:, 1:] = PosePrior().sample(400, seeded()).rotations
    torch.testing.assert_close(matrix_to_axis_angle(rotations[:, 1:]).flatten(1), angles, atol=1e-4, rtol=0)
    numbers = prior.numbers(rotations, torch.zeros(400, 10), torch.zeros(400, 3))
    scores = numbers[:, 3:-13]
    torch.testing.assert_close(scores.mean(0), torch.zeros(prior.count), atol=1e-3, rtol=0)
    torch.testing.assert_close(scores.std(0), torch.ones(prior.count), atol=1e-3, rtol=0)
    back = matrix_to_axis_angle(prior.place(torch.eye(3).expand(400, 3, 3), numbers).rotations[:, 1:])
    assert (back.flatten(1) - angles).abs().mean() < 1e-3
    assert prior.deviations.diff().max() <= 0
    assert PCAPrior(OpenHand(), 6, samples=50).count == 6
    with pytest.raises(ValueError, match="1 to 45"):
        PCAPrior(OpenHand(), 46)


def test_samples_follow_the_seed_and_the_rotation_and_have_their_wrist_at_the_origin(prior):
    hands = prior.sample(6, seeded(1))
    assert hands.shape == (6, 778, 3)
    assert prior.hand.regress(hands)[:, WRIST].abs().max() < 1e-6
    roots = random_rotations(6, seeded(2))
    torch.testing.assert_close(prior.sample(6, seeded(1), roots), hands @ roots.mT, atol=1e-5, rtol=0)
    assert (hands[0] - hands[1]).abs().max() > 0.005


def test_left_samples_are_mirrored_right_ones(prior):
    left = PCAPrior(OpenHand("left"), samples=400)
    torch.testing.assert_close(left.deviations, prior.deviations, atol=1e-4, rtol=0)
    mirror = torch.tensor([1.0, -1, -1])
    torch.testing.assert_close(left.mean.view(15, 3), prior.mean.view(15, 3) * mirror, atol=1e-5, rtol=0)


def test_pulled_derivatives_are_those_of_the_numbers():
    prior = PCAPrior(OpenHand().double(), samples=50)
    points = mesh_points(prior.hand)
    numbers = torch.randn(2, prior.size, generator=seeded(3)).double()
    root = random_rotations(2, seeded(4)).double()
    linear, frames = prior.linearize(points, root, numbers)
    found = prior.pull(linear.jacobian, frames)
    for k in range(prior.size):
        step = torch.zeros(prior.size).double()
        step[k] = 1e-6
        up, down = (prior.hand(*prior.place(root, numbers + sign * step)).vertices for sign in (1, -1))
        torch.testing.assert_close(found[:, k], ((up - down) / 2e-6).mT, rtol=1e-4, atol=1e-7)


def missing_index(prior: PCAPrior, b: int) -> tuple[torch.Tensor, torch.Tensor]:
    vertices = prior.sample(b, seeded(5), random_rotations(b, seeded(6)))
    return vertices, (~torch.isin(prior.hand.parts, INDEX)).expand(b, 778)


def test_completions_keep_what_is_known_and_vary_where_it_is_not(prior):
    vertices, mask = missing_index(prior, 3)
    hidden = torch.where(mask[..., None], vertices, torch.nan)
    hands = complete(prior, hidden, mask, 8, seeded(7))
    assert hands.shape == (3, 8, 778, 3)
    assert torch.equal(
        hands[mask[:, None].expand(3, 8, 778)], vertices[:, None].expand_as(hands)[mask[:, None].expand(3, 8, 778)]
    )
    spread = hands.std(1).norm(dim=-1)
    assert (spread[~mask].view(3, -1).amax(1) > 0.003).all()
    assert hands.isfinite().all()
    # the finger stays on the hand: edges across the seam are about as long as they were
    faces = prior.hand.faces
    across = [hands[..., faces[:, i], :] - hands[..., faces[:, (i + 1) % 3], :] for i in range(3)]
    truth = [vertices[:, faces[:, i]] - vertices[:, faces[:, (i + 1) % 3]] for i in range(3)]
    worst = max((a.norm(dim=-1) - t[:, None].norm(dim=-1)).abs().mean() for a, t in zip(across, truth, strict=True))
    assert worst < 0.001
    assert torch.equal(hands, complete(prior, hidden, mask, 8, seeded(7)))


def test_with_nothing_known_completions_are_samples_and_with_all_known_the_hand(prior):
    vertices, mask = missing_index(prior, 2)
    hands = complete(prior, vertices, torch.zeros_like(mask), 40, seeded(8))
    free = prior.sample(400, seeded(9))
    apart = [torch.cdist(x.flatten(-2)[:40], x.flatten(-2)[:40]).mean() for x in (hands[0], free)]
    assert 0.8 < apart[0] / apart[1] < 1.25
    assert torch.equal(complete(prior, vertices, torch.ones_like(mask), 1, seeded(8))[:, 0], vertices)
    assert complete(prior, vertices[:0], mask[:0], 2, seeded(8)).shape == (0, 2, 778, 3)


def test_the_likeliest_hand_under_little_noise_fits_what_is_known(prior):
    """Without putting known vertices back: those next to the seam are predicted by their neighbours."""
    vertices, mask = missing_index(prior, 4)
    known = mask & (torch.arange(778) % 2 == 0)
    hands = complete(prior, vertices, known, 2, seeded(10), noise=1e-4)
    error = (hands - vertices[:, None]).norm(dim=-1)[(mask & ~known)[:, None].expand(4, 2, 778)]
    assert error.mean() < 0.001
    with pytest.raises(ValueError, match="above zero"):
        complete(prior, vertices, known, 2, seeded(), noise=0.0)
