import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for tiny_pictures.py
import tiny_pictures


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory):
    """A base of reduced size with random weights, as a folder of diffusers."""
    from zoo.bases.write import write_base

    folder = tmp_path_factory.mktemp("bases") / "tiny"
    write_base(tiny_pictures.base(), folder)
    return str(folder)


_BUILT = {}


@pytest.fixture
def hand(base_folder):
    """AttentionHand on it; options replace those of a preset. The same options give the same model, unless `fresh`."""

    def build(fresh=False, **options):
        if fresh:
            return tiny_pictures.attentionhand(base_folder, **options)
        key = repr(sorted(options.items()))
        if key not in _BUILT:
            _BUILT[key] = tiny_pictures.attentionhand(base_folder, **options)
        _BUILT[key].zero_grad()
        return _BUILT[key].train()

    return build
