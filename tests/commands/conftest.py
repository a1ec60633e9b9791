import pytest
import torch

from datamodules.mesh_pictures import draw_meshes
from datamodules.openhand.pose_stream import PoseStream
from tests.tiny_painter import SIZE, tiny_base, tiny_painter
from zoo.hands.openhand import OpenHand
from zoo.hands.poses import PosePrior


@pytest.fixture(scope="session")
def base_weights(tmp_path_factory):
    return tiny_base(tmp_path_factory.mktemp("base") / "weights")


@pytest.fixture(scope="session")
def painter_weights(base_weights, tmp_path_factory):
    return tiny_painter(tmp_path_factory.mktemp("painter") / "weights", base_weights)


@pytest.fixture(scope="session")
def hands():
    """Three right hands before cameras."""
    return PoseStream(OpenHand(), PosePrior(), size=SIZE, seed=3).draw(0, 3)


@pytest.fixture(scope="session")
def drawn(hands):
    """Pictures of their meshes, as the tiny painter sees them."""
    both = torch.stack([hands.vertices, hands.vertices], 1)
    has = torch.tensor([[False, True]]).expand(3, 2)
    return draw_meshes(both, has, hands.intrinsics, SIZE, None)
