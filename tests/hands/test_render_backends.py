import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from render_scenes import CAMERA, blobs, needs_gl, rectangle
from torch.utils.data import DataLoader, Dataset

from zoo.hands import render_gl
from zoo.hands.render import Lights, gl_problem, render


@needs_gl
def test_the_backends_agree():
    vertices, faces, camera = blobs(3)
    parts = (torch.arange(vertices.shape[1]) * 16) // vertices.shape[1]
    colors = vertices.new_tensor([[0.9, 0.6, 0.5], [0.3, 0.5, 0.9]])[torch.arange(vertices.shape[1]) % 2][None]
    gl, plain = (
        render(vertices, faces, camera, (120, 140), colors=colors, parts=parts, backend=b) for b in ("gl", "torch")
    )
    both = gl.mask & plain.mask
    assert both.sum() > 10_000
    assert both.sum() / (gl.mask | plain.mask).sum() > 0.995
    inside = both & ~torch.nn.functional.max_pool2d((~both).float(), 3, 1, 1).bool()
    assert (gl.depth - plain.depth)[inside].abs().max() < 1e-3
    assert (gl.parts != plain.parts)[both].float().mean() < 1e-3
    difference = (gl.color.int() - plain.color.int()).abs().amax(1)[inside]
    assert (difference > 2).float().mean() < 1e-3


@needs_gl
def test_the_backends_agree_on_any_lights():
    vertices, faces, camera = blobs(1)
    for count, specular in ((0, 0.3), (1, 0.0), (8, 0.2)):
        directions = tuple((float(i) - 3.3, 1.0, -0.5) for i in range(count))
        lights = Lights(directions=directions, colors=((0.2, 0.1, 0.15),) * count, specular=specular)
        gl, plain = (render(vertices, faces, camera, (60, 70), lights=lights, backend=b) for b in ("gl", "torch"))
        assert ((gl.color.int() - plain.color.int()).abs() > 2).float().mean() < 2e-3


@needs_gl
def test_gl_forgets_nothing_when_sizes_and_meshes_change():
    vertices, faces, camera = blobs(1)
    first = render(vertices, faces, camera, (120, 140), backend="gl")
    for side in range(20, 26):
        render(*rectangle(2.0, 2.0, 9.0, 9.0), CAMERA, (side, side), backend="gl")
    big = torch.cat([faces] * 5)
    assert torch.equal(render(vertices, big, camera, (120, 140), backend="gl").color, first.color)
    assert torch.equal(render(vertices, faces, camera, (120, 140), backend="gl").color, first.color)


def test_without_gl_auto_draws_with_torch_says_so_once_and_gl_says_why(monkeypatch, caplog):
    monkeypatch.setattr(render_gl, "problem", lambda: "no OpenGL context could be made (for this test).")
    points, faces = rectangle(5.0, 5.0, 15.0, 15.0)
    with caplog.at_level("INFO", "zoo"):
        for _ in range(2):
            assert render(points, faces, CAMERA, (30, 40)).mask.any()
    assert [record.getMessage() for record in caplog.records].count(
        "Rendering with torch, which is slower: no OpenGL context could be made (for this test)."
    ) == 1
    with pytest.raises(RuntimeError, match=r"for this test.*backend='torch'"):
        render(points, faces, CAMERA, (30, 40), backend="gl")


def test_a_machine_without_the_library_or_the_driver_draws_with_torch(monkeypatch):
    def create_context(**_):
        raise RuntimeError("libEGL.so.1 not loaded")

    points, faces = rectangle(5.0, 5.0, 15.0, 15.0)
    for module, fix in ((None, r"pip install -e '.\[render\]'"), (create_context, "libEGL.so.1.*libegl1")):
        fake = None if module is None else SimpleNamespace(create_context=module)
        monkeypatch.setitem(sys.modules, "moderngl", fake)
        monkeypatch.setattr(render_gl, "_here", threading.local())
        assert re.search(fix, gl_problem())
        assert render(points, faces, CAMERA, (30, 40)).mask.any()


def test_a_worker_forked_under_a_threaded_driver_draws_with_torch(monkeypatch):
    monkeypatch.setattr(render_gl, "_first", {"pid": os.getpid() + 1, "threaded": True})
    monkeypatch.setattr(render_gl, "_here", threading.local())
    assert "spawn" in gl_problem()
    points, faces = rectangle(5.0, 5.0, 15.0, 15.0)
    assert render(points, faces, CAMERA, (30, 40)).mask.any()


@needs_gl
def test_every_thread_has_its_own_context():
    vertices, faces, camera = blobs(1)
    draw = partial(render, vertices, faces, camera, (24, 28), backend="gl")
    expected = draw()
    with ThreadPoolExecutor(2) as pool:
        others = [future.result() for future in [pool.submit(draw) for _ in range(4)]]
    assert all(torch.equal(other.color, expected.color) for other in others)


class Pictures(Dataset):
    """Draws in whichever process asks."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        vertices, faces, camera = blobs(1)
        return render(vertices, faces, camera, (24, 28)).mask[0], os.getpid()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_draw_after_their_parent_has(method):
    expected, parent = Pictures()[0]
    loader = DataLoader(Pictures(), batch_size=2, num_workers=1, multiprocessing_context=method, timeout=60)
    for masks, pids in loader:
        assert torch.equal(masks, expected.expand_as(masks))
        assert (pids != parent).all()
