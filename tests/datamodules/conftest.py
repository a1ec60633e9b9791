from pathlib import Path

import pytest
import tiny_interhand
from tiny_attentionhand import scene, write
from tiny_freihand import random_labels, write_freihand

from datamodules.synth import synth


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def freihand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six training samples in four versions and three evaluation samples with labels; only read it."""
    root = tmp_path_factory.mktemp("data") / "FreiHAND_pub_v2"
    write_freihand(root, "training", random_labels(6), versions=4)
    return write_freihand(root, "evaluation", random_labels(3, seed=1), masks=False)


@pytest.fixture(scope="session")
def ho3d(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven training frames in three sequences and two evaluation frames of version 3; only read it."""
    return synth("ho3d", tmp_path_factory.mktemp("data") / "HO3D_v3", 7)


@pytest.fixture(scope="session")
def ho3d_v2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three training frames and two evaluation frames of version 2; only read it."""
    return synth("ho3d", tmp_path_factory.mktemp("data") / "HO3D_v2", 3)


@pytest.fixture(scope="session")
def coco_twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight training pictures and one for validation, drawn; only read it."""
    return synth("coco", tmp_path_factory.mktemp("data") / "MSCOCO", 8)


@pytest.fixture(scope="session")
def attentionhand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authors' working folder: ten rows in `data`, two rows to predict in `samples`; only read it."""
    root = tmp_path_factory.mktemp("Attention Hånd")
    write(root / "data", map(scene, range(10)))
    write(root / "samples", (scene(number, photo=False) for number in (10, 11)))
    return root


@pytest.fixture(scope="session")
def interhand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each kind of frame by three cameras, in grey pictures; only read it."""
    return tiny_interhand.twin(tmp_path_factory.mktemp("data") / "two hands ñ" / "InterHand2.6M")
