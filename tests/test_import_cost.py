import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def python(*args):
    return subprocess.run([sys.executable, *args], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_importing_the_zoo_loads_none_of_the_heavy_libraries():
    heavy = ("diffusers", "open_clip", "wandb", "torch", "lightning", "torch_geometric", "smplx")
    done = python("-c", f"import sys, zoo; print([name for name in {heavy} if name in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("module", ["zoo.models.base", "zoo.commands.train"])
def test_what_training_loads_leaves_out_libraries_it_does_not_need(module):
    heavy = ("diffusers", "open_clip", "torch_geometric", "smplx", "datasets")  # Lightning loads wandb itself
    code = f"import sys, {module}, zoo.parts; zoo.parts.import_parts()"
    done = python("-c", f"{code}; print([name for name in {heavy} if name in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_list_answers_in_under_a_second():
    times = []
    for _ in range(3):
        start = time.perf_counter()
        done = python("-m", "zoo", "list")
        times.append(time.perf_counter() - start)
        assert done.returncode == 0, done.stderr
    assert min(times) < 1
