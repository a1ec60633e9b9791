import subprocess
import sys

import pytest

from zoo.hands.render import gl_problem

# In a process of its own, because what it guards against is a crash.
DRAW_THEN_IMPORT = """
import torch
from zoo.hands.render import render

corners = torch.tensor([[[-0.1, -0.1, 1.0], [0.1, -0.1, 1.0], [0.0, 0.1, 1.0]]])
camera = torch.tensor([[[20.0, 0, 8], [0, 20, 8], [0, 0, 1]]])
render(corners, torch.tensor([[0, 1, 2]]), camera, (16, 16), backend="gl")
for name in ("triton", "torchvision"):
    try:
        __import__(name)
    except ImportError:
        pass
print("alive")
"""


@pytest.mark.skipif(gl_problem() is not None, reason=f"no OpenGL: {gl_problem()}")
def test_importing_triton_after_drawing_does_not_crash():
    done = subprocess.run(
        [sys.executable, "-c", DRAW_THEN_IMPORT], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "alive"), done.stderr
