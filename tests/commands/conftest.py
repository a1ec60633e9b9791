import pytest

from tests.tiny_painter import tiny_base, tiny_painter


@pytest.fixture(scope="session")
def base_weights(tmp_path_factory):
    return tiny_base(tmp_path_factory.mktemp("base") / "weights")


@pytest.fixture(scope="session")
def painter_weights(base_weights, tmp_path_factory):
    return tiny_painter(tmp_path_factory.mktemp("painter") / "weights", base_weights)
