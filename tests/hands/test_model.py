import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import smplx
import torch
from legacy_mano import ASSETS

from zoo.hands import HandMesh, HandModel, OpenHand
from zoo.hands.rotations import axis_angle_to_matrix, mirror_rotations, random_rotations
from zoo.hands.skeleton import MANO_TIPS_TO_SNAP

MIRROR = torch.tensor([-1.0, 1, 1])


def poses(n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(n)
    rotations = random_rotations(16 * n, g).view(n, 16, 3, 3)
    return rotations, 2 * torch.randn(n, 10, generator=g), torch.randn(n, 3, generator=g)


@pytest.fixture(scope="module")
def peers(tmp_path_factory) -> dict[str, torch.nn.Module]:
    folder: Path = tmp_path_factory.mktemp("smplx") / "mano"
    folder.mkdir()
    peers = {}
    for side in ("right", "left"):
        shutil.copy(ASSETS / f"openhand_{side}.npz", folder / f"MANO_{side.upper()}.npz")
        peers[side] = smplx.create(
            *(str(folder.parent), "mano"), is_rhand=side == "right", ext="npz", use_pca=False, flat_hand_mean=True
        )
    return peers


@pytest.mark.parametrize("side", ["right", "left"])
def test_it_agrees_with_smplx_to_a_hundredth_of_a_millimetre(peers, side):
    g = torch.Generator().manual_seed(1)
    angles = torch.nn.functional.normalize(torch.randn(1000, 16, 3, generator=g), dim=-1)
    angles = angles * torch.pi * torch.rand(1000, 16, 1, generator=g)
    betas, transl = 2 * torch.randn(1000, 10, generator=g), torch.randn(1000, 3, generator=g)
    with torch.no_grad():
        expected = peers[side](
            betas=betas, global_orient=angles[:, 0], hand_pose=angles[:, 1:].reshape(-1, 45), transl=transl
        )
        mesh = OpenHand(side)(axis_angle_to_matrix(angles), betas, transl)
    assert (mesh.vertices - expected.vertices).abs().max() < 1e-5
    kinematic = mesh.joints[:, torch.tensor(MANO_TIPS_TO_SNAP).argsort()][:, :16]
    assert (kinematic - expected.joints).abs().max() < 1e-5
    assert OpenHand(side).faces.numpy().tolist() == peers[side].faces.astype(int).tolist()


def test_gradients_agree_with_smplx(peers):
    peer, hand = peers["right"], OpenHand()
    rotations, betas, transl = poses(83)  # more than a chunk
    weights = torch.randn(83, 778, 3, generator=torch.Generator().manual_seed(0))
    ours = [x.clone().requires_grad_() for x in (rotations, betas, transl)]
    theirs = [x.clone().requires_grad_() for x in (rotations, betas, transl)]
    mesh = hand(*ours)
    vertices, joints = smplx.lbs.lbs(
        *(theirs[1], theirs[0], peer.v_template, peer.shapedirs, peer.posedirs, peer.J_regressor, peer.parents),
        *(peer.lbs_weights, False),
    )
    snap = torch.cat((joints, vertices[:, hand.tips]), 1)[:, list(MANO_TIPS_TO_SNAP)]
    (mesh.vertices * weights).sum().add(mesh.joints.square().sum()).backward()
    moved = vertices + theirs[2][:, None]
    (moved * weights).sum().add((snap + theirs[2][:, None]).square().sum()).backward()
    for a, b in zip(ours, theirs, strict=True):
        assert (a.grad - b.grad).abs().max() < 1e-5 * b.grad.abs().max()


def test_gradients_are_right_in_double_precision():
    hand = OpenHand().double()
    inputs = [x.double().requires_grad_() for x in poses(2)]
    projection = torch.randn(2, 799, 3, 4, generator=torch.Generator().manual_seed(0)).double()

    def few(*args: torch.Tensor) -> torch.Tensor:
        return (torch.cat(hand(*args), 1)[..., None] * projection).sum((0, 1, 2))

    assert torch.autograd.gradcheck(few, inputs)


def test_any_leading_dimensions_give_the_same_hands():
    hand = OpenHand()
    rotations, betas, transl = poses(6)
    flat = hand(rotations, betas, transl)
    folded = hand(rotations.view(2, 3, 16, 3, 3), betas.view(2, 3, 10), transl.view(2, 3, 3))
    torch.testing.assert_close(folded.vertices.view(6, 778, 3), flat.vertices)
    torch.testing.assert_close(folded.joints.view(6, 21, 3), flat.joints)
    single = hand(rotations[0], betas[0], transl[0])
    assert single.vertices.shape == (778, 3)
    torch.testing.assert_close(single.joints, flat.joints[0])
    empty = hand(rotations[:0], betas[:0], transl[:0])
    assert empty.vertices.shape == (0, 778, 3)
    assert empty.joints.shape == (0, 21, 3)


def test_chunks_do_not_show():
    hand = OpenHand()
    rotations, betas, transl = poses(150)
    whole = hand(rotations, betas, transl)
    for i in (0, 63, 64, 127, 128, 149):
        one = hand(rotations[i], betas[i], transl[i])
        torch.testing.assert_close(whole.vertices[i], one.vertices, atol=1e-6, rtol=0)


def test_autocast_and_lowered_products_round_nothing():
    hand = OpenHand()
    inputs = poses(70)
    exact = hand(*inputs)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            rounded = hand(*inputs)
            regressed = hand.regress(rounded.vertices)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert rounded.vertices.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, atol=1e-6, rtol=0)
    torch.testing.assert_close(regressed, hand.regress(exact.vertices), atol=1e-6, rtol=0)
    half = hand(*(x.bfloat16() for x in inputs))
    assert half.vertices.dtype == torch.float32


def test_the_left_hand_is_the_mirrored_right_hand():
    rotations, betas, transl = poses(20)
    right = OpenHand("right")(rotations, betas, transl)
    left = OpenHand("left")(mirror_rotations(rotations), betas, transl * MIRROR)
    torch.testing.assert_close(left.vertices, right.vertices * MIRROR, atol=2e-6, rtol=0)
    torch.testing.assert_close(left.joints, right.joints * MIRROR, atol=2e-6, rtol=0)
    assert (OpenHand("left").side, OpenHand("right").side) == (0, 1)


def test_the_root_turns_about_its_own_joint():
    hand = OpenHand()
    rotations, betas, transl = poses(5)
    turned = rotations.clone()
    turned[:, 0] = random_rotations(5, torch.Generator().manual_seed(9))
    a, b = hand(rotations, betas, transl), hand(turned, betas, transl)
    torch.testing.assert_close(a.joints[:, 0], b.joints[:, 0], atol=1e-6, rtol=0)


def test_regressed_joints_are_the_kinematic_ones_at_rest_and_the_tips_always():
    hand = OpenHand()
    _, betas, transl = poses(10)
    rest = hand(torch.eye(3).expand(10, 16, 3, 3), betas, transl)
    torch.testing.assert_close(hand.regress(rest.vertices), rest.joints, atol=2e-6, rtol=0)
    bent = hand(*poses(10))
    torch.testing.assert_close(hand.regress(bent.vertices)[:, 4::4], bent.joints[:, 4::4], atol=1e-6, rtol=0)


def test_nothing_of_the_model_is_learnt_or_saved():
    hand = OpenHand()
    assert not list(hand.parameters())
    assert not hand.state_dict()
    assert hand.parts.shape == (778,)
    assert sorted(set(hand.parts.tolist())) == list(range(16))
    assert len(hand.shape_names) == 10


def test_the_interface_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        HandModel()


def test_the_package_is_light_until_a_model_is_asked_for():
    code = "import sys, zoo.hands; assert 'torch' not in sys.modules; zoo.hands.OpenHand; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["highest", "high"])
def test_a_cuda_device_gives_the_same_hands_and_gradients(precision):
    hand, inputs = OpenHand(), poses(100)
    host = [x.clone().requires_grad_() for x in inputs]
    device = [x.cuda().requires_grad_() for x in inputs]
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        a, b = hand(*host), OpenHand().cuda()(*device)
        a.vertices.square().sum().backward()
        b.vertices.square().sum().backward()
    finally:
        torch.set_float32_matmul_precision(before)
    assert isinstance(b, HandMesh)
    torch.testing.assert_close(b.vertices.cpu(), a.vertices, atol=1e-5, rtol=0)
    for x, y in zip(host, device, strict=True):
        assert (x.grad - y.grad.cpu()).abs().max() < 1e-4 * x.grad.abs().max()
