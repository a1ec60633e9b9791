import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for reduced.py and layout.py
import reduced


@pytest.fixture(scope="session")
def base():
    return reduced.base()


@pytest.fixture(scope="session")
def guide(base):
    return reduced.dual(base).guide
