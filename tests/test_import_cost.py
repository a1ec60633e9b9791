import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def python(*args):
    return subprocess.run([sys.executable, *args], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_importing_the_zoo_loads_none_of_the_heavy_libraries():
    heavy = ("diffusers", "open_clip", "wandb", "torch", "lightning", "torch_geometric", "smplx")
    done = python("-c", f"import sys, zoo; print([name for name in {heavy} if name in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


DATA = [f"datamodules.{path.parent.name}.data" for path in sorted(ROOT.glob("datamodules/*/data.py"))]


@pytest.mark.parametrize("modules", [["zoo.models.base"], ["zoo.commands.train", *DATA]])
def test_what_training_loads_leaves_out_libraries_it_does_not_need(modules):
    heavy = ("diffusers", "open_clip", "torch_geometric", "smplx", "datasets", "trimesh")  # Lightning loads wandb
    code = f"import sys, {', '.join(modules)}, zoo.parts; zoo.parts.import_parts()"
    done = python("-c", f"{code}; print([name for name in {heavy} if name in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_list_loads_nothing_heavy_so_that_it_answers_at_once():
    heavy = ("torch", "lightning", "numpy", "matplotlib")
    code = "import sys; from zoo.__main__ import main; code = main(['list'])"
    done = python("-c", f"{code}; print(code, [name for name in {heavy} if name in sys.modules])")
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout
