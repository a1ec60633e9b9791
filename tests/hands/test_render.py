import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from zoo.hands import render_gl
from zoo.hands.camera import project
from zoo.hands.render import NEAR, Lights, gl_problem, render, supersample, vertex_normals

GL = pytest.param("gl", marks=pytest.mark.skipif(gl_problem() is not None, reason=f"no OpenGL: {gl_problem()}"))
needs_gl = GL.marks[0]
BACKENDS = pytest.mark.parametrize("backend", [GL, "torch"])
CAMERA = torch.tensor([[[60.0, 4.0, 21.0], [0.0, 50.0, 14.0], [0.0, 0.0, 1.0]]])
TRIANGLE = torch.tensor([[0, 1, 2]])


def unproject(pixels, depth, camera=CAMERA[0]):
    """Points that `project()` puts on the pixels (n, 2) at these depths (n,)."""
    homogeneous = torch.cat([pixels, torch.ones(len(pixels), 1)], 1)
    return (torch.linalg.solve(camera, homogeneous.T).T * depth[:, None])[None]


def rectangle(left, top, right, bottom, depth=0.5):
    """Two triangles that cover exactly these pixel coordinates."""
    corners = torch.tensor([[left, top], [right, top], [right, bottom], [left, bottom]])
    return unproject(corners, torch.full((4,), depth)), torch.tensor([[0, 2, 1], [0, 3, 2]])


def blob(n=20):
    """A bumpy closed surface of 2 n (n - 1) faces in front of `camera_for_blobs`."""
    a = torch.linspace(0, torch.pi, n + 1)[1:-1, None]
    b = torch.linspace(0, 2 * torch.pi, n + 1)[:-1]
    ring = torch.stack([a.sin() * b.cos(), a.sin() * b.sin(), a.cos().expand(-1, n)], -1).reshape(-1, 3)
    points = torch.cat([ring, torch.tensor([[0.0, 0, 1], [0, 0, -1]])])
    radius = 0.08 * (1 + 0.3 * torch.sin(7 * points[:, :1] + 1) * torch.cos(5 * points[:, 1:2]))
    i, j = torch.arange(n - 2)[:, None] * n, torch.arange(n)
    k = (j + 1) % n
    quads = torch.stack([i + j, i + n + j, i + n + k, i + k], -1).reshape(-1, 4)
    caps = [torch.stack([torch.full_like(j, len(ring)), j, k], -1)]
    caps += [torch.stack([torch.full_like(j, len(ring) + 1), (n - 2) * n + k, (n - 2) * n + j], -1)]
    faces = torch.cat([quads[:, (0, 1, 2)], quads[:, (0, 2, 3)], *caps])
    turn = torch.linalg.matrix_exp(torch.tensor([[0.0, -0.9, 0.4], [0.9, 0, -0.7], [-0.4, 0.7, 0]]))
    return (points * radius) @ turn.T + torch.tensor([0.01, -0.02, 0.5]), faces


def blobs(count):
    points, faces = blob()
    vertices = torch.stack([points + torch.tensor([0.01 * i, 0.02 * i, 0.05 * i]) for i in range(count)])
    camera = torch.tensor([[300.0, 3.0, 70.0], [0, 280.0, 60.0], [0, 0, 1]]).expand(count, 3, 3)
    return vertices, faces, camera


@BACKENDS
def test_integer_pixels_are_centres(backend):
    drawn = render(*rectangle(9.6, 5.6, 19.4, 12.4), CAMERA, (30, 40), backend=backend)
    expected = torch.zeros(1, 30, 40, dtype=torch.bool)
    expected[:, 6:13, 10:20] = True
    assert torch.equal(drawn.mask, expected)


@BACKENDS
def test_a_tiny_triangle_is_drawn_where_project_says(backend):
    target = torch.tensor([[27.0, 11.0]])
    corners = target + torch.tensor([[-0.2, -0.2], [0.3, 0.0], [-0.1, 0.3]])
    points = unproject(corners, torch.tensor([0.5, 0.6, 0.7]))
    torch.testing.assert_close(project(points, CAMERA)[0], corners)
    drawn = render(points, TRIANGLE, CAMERA, (30, 40), backend=backend)
    assert drawn.mask.nonzero().tolist() == [[0, 11, 27]]


@BACKENDS
def test_depth_is_metres_along_the_axis_and_perspective_correct(backend):
    corners = torch.tensor([[-30.0, -20.0], [90.0, -10.0], [10.0, 120.0]])
    points = unproject(corners, torch.tensor([0.3, 0.9, 2.0]))
    drawn = render(points, TRIANGLE, CAMERA, (30, 40), backend=backend)
    normal = torch.linalg.cross(points[0, 1] - points[0, 0], points[0, 2] - points[0, 0])
    v, u = torch.meshgrid(torch.arange(30.0), torch.arange(40.0), indexing="ij")
    rays = torch.linalg.solve(CAMERA[0], torch.stack([u, v, torch.ones_like(u)]).reshape(3, -1)).T
    depth = (points[0, 0] @ normal) / (rays @ normal)
    assert drawn.mask.all()
    torch.testing.assert_close(drawn.depth.flatten(), depth, atol=1e-5, rtol=1e-5)


@BACKENDS
def test_the_nearer_surface_hides_the_other(backend):
    near, faces = rectangle(5.0, 5.0, 15.0, 15.0, depth=0.4)
    far, _ = rectangle(0.0, 0.0, 30.0, 25.0, depth=0.6)
    colors = torch.tensor([[1.0, 0, 0]] * 4 + [[0.0, 0, 1]] * 4)[None]
    lights = Lights(ambient=(1.0, 1.0, 1.0), directions=(), colors=())
    both = (torch.cat([near, far], 1), torch.cat([faces, faces + 4]))
    parts = torch.tensor([3] * 4 + [7] * 4)
    drawn = render(*both, CAMERA, (30, 40), colors=colors, parts=parts, lights=lights, backend=backend)
    assert drawn.color[0, :, 10, 10].tolist() == [255, 0, 0]
    assert drawn.color[0, :, 20, 20].tolist() == [0, 0, 255]
    assert (drawn.parts[0, 10, 10], drawn.parts[0, 20, 20], drawn.parts[0, 29, 39]) == (3, 7, -1)
    torch.testing.assert_close(drawn.depth[0, 10, 10], torch.tensor(0.4))


@BACKENDS
def test_light_follows_the_cosine_and_the_highlight_the_half_vector(backend):
    points, faces = rectangle(-50.0, -50.0, 100.0, 100.0)
    centre = unproject(torch.tensor([[21.0, 14.0]]), torch.tensor([0.5]))[0, 0]
    colors = torch.full((1, 4, 3), 0.5)
    light = Lights(
        ambient=(0.1, 0.1, 0.1),
        directions=((0.0, 3.0, -4.0),),
        colors=((0.5, 0.4, 0.3),),
        specular=0.5,
        shininess=4.0,
        wrap=0.0,
    )
    drawn = render(points, faces, CAMERA, (30, 40), colors=colors, lights=light, backend=backend)
    view = -centre / centre.norm()
    half = torch.nn.functional.normalize(torch.tensor([0.0, 0.6, -0.8]) + view, dim=0)
    shine = 0.5 * float(half @ torch.tensor([0.0, 0, -1])) ** 4
    expected = [255 * (0.5 * (0.1 + 0.8 * i) + shine * i) for i in (0.5, 0.4, 0.3)]
    assert drawn.color[0, :, 14, 21].tolist() == pytest.approx(expected, abs=1)


@BACKENDS
def test_both_sides_of_a_face_are_lit(backend):
    points, faces = rectangle(5.0, 5.0, 25.0, 25.0)
    front = render(points, faces, CAMERA, (30, 40), backend=backend)
    back = render(points, faces.flip(1), CAMERA, (30, 40), backend=backend)
    assert torch.equal(front.color, back.color)


@BACKENDS
def test_a_mirrored_camera_draws_the_mirror_image(backend):
    vertices, faces, camera = blobs(1)
    mirror = torch.tensor([[-1.0, 0, 139], [0, 1, 0], [0, 0, 1]])
    plain = render(vertices, faces, camera, (120, 140), backend=backend)
    mirrored = render(vertices, faces, mirror @ camera, (120, 140), backend=backend)
    assert (plain.color.flip(-1) != mirrored.color).float().mean() < 0.002


@BACKENDS
def test_empty_pixels_hold_the_background_and_minus_one(backend):
    points, faces = rectangle(5.0, 5.0, 15.0, 15.0)
    drawn = render(points, faces, CAMERA, (30, 40), background=(1.0, 0.5, 0.0), backend=backend)
    outside = ~drawn.mask[0]
    assert torch.equal(drawn.color[0, :, outside].unique(dim=1)[:, 0], torch.tensor([255, 128, 0], dtype=torch.uint8))
    assert (drawn.depth[0, outside] == 0).all()
    assert (drawn.parts[0, outside] == -1).all()
    assert (drawn.parts[drawn.mask] == 0).all()
    assert drawn.parts.dtype == torch.int16


@BACKENDS
@pytest.mark.parametrize(
    "move", [(0.0, 0.0, -2.0), (9.0, 0.0, 0.0), (0.0, -9.0, 0.0)], ids=["behind", "right", "above"]
)
def test_what_is_not_in_view_draws_nothing(backend, move):
    vertices, faces, camera = blobs(2)
    vertices[1] += torch.tensor(move)
    drawn = render(vertices, faces, camera, (120, 140), backend=backend)
    assert drawn.mask[0].any()
    assert not drawn.mask[1].any()


@BACKENDS
def test_a_floor_that_runs_under_the_camera_is_cut_at_the_near_plane(backend):
    floor = torch.tensor([[[-50.0, 0.1, -50.0], [50.0, 0.1, -50.0], [0.0, 0.1, 60.0]]])
    drawn = render(floor, TRIANGLE, CAMERA, (30, 40), backend=backend)
    rows = torch.arange(30.0)
    depth = 0.1 * 50 / (rows - 14)  # where the ray of a row meets y = 0.1
    torch.testing.assert_close(drawn.depth[0, 16:, 21], depth[16:], atol=1e-3, rtol=1e-3)
    assert not drawn.mask[0, :15].any()
    too_near = torch.tensor([[[-1.0, -1.0, NEAR / 2], [1.0, -1.0, NEAR / 2], [0.0, 1.0, NEAR / 2]]])
    assert not render(too_near, TRIANGLE, CAMERA, (30, 40), backend=backend).mask.any()


@BACKENDS
@pytest.mark.parametrize("count", [0, 2])
def test_an_empty_mesh_is_an_empty_picture(backend, count):
    none = torch.zeros(0, 3, dtype=torch.long)
    for vertices in (torch.zeros(count, 0, 3), torch.ones(count, 5, 3)):
        drawn = render(vertices, none, CAMERA.expand(count, 3, 3), (6, 8), backend=backend)
        assert drawn.color.shape == (count, 3, 6, 8)
        assert not drawn.mask.any()


@BACKENDS
def test_faces_of_no_area_are_left_out(backend):
    points, faces = rectangle(5.0, 5.0, 15.0, 15.0)
    flat = torch.cat([faces, torch.tensor([[0, 0, 0], [1, 2, 2]])])
    plain, more = (render(points, f, CAMERA, (30, 40), backend=backend) for f in (faces, flat))
    assert torch.equal(plain.color, more.color)


@BACKENDS
def test_a_batch_is_its_pictures_one_by_one(backend):
    vertices, faces, camera = blobs(3)
    colors = torch.rand(3, len(vertices[0]), 3)
    size = (700, 900)  # more than the torch backend draws at once
    camera = supersample(camera, 6)
    whole = render(vertices, faces, camera, size, colors=colors, backend=backend)
    for i in (0, 2):
        one = render(vertices[i : i + 1], faces, camera[i : i + 1], size, colors=colors[i : i + 1], backend=backend)
        assert all(torch.equal(a[i], b[0]) for a, b in zip(whole, one, strict=True))


@BACKENDS
def test_autocast_and_gradients_change_nothing(backend):
    vertices, faces, camera = blobs(1)
    plain = render(vertices, faces, camera, (60, 70), backend=backend)
    with torch.autocast("cpu", torch.bfloat16):
        lower = render(vertices.double().requires_grad_(), faces.int(), camera, (60, 70), backend=backend)
    assert all(torch.equal(a, b) for a, b in zip(plain, lower, strict=True))


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


def test_supersampling_keeps_the_view():
    points, faces = rectangle(9.5, 5.5, 19.5, 12.5)
    small = render(points, faces, CAMERA, (30, 40), backend="torch").mask
    large = render(points, faces, supersample(CAMERA, 4), (120, 160), backend="torch").mask
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(large.float(), 4), small.float())


def test_normals_of_a_sphere_are_its_radii():
    points, faces = blob(n=60)
    centre = points.mean(0)
    sphere = torch.nn.functional.normalize(points - centre, dim=-1)
    torch.testing.assert_close(vertex_normals(sphere[None], faces)[0], sphere, atol=0.03, rtol=0)


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_nan_is_refused_with_its_row(backend):
    vertices, faces, camera = blobs(3)
    vertices[2, 5, 1] = torch.nan
    with pytest.raises(ValueError, match="vertices in row 2"):
        render(vertices, faces, camera, (8, 8), backend=backend)


def test_mistakes_are_named():
    points, faces = rectangle(5.0, 5.0, 15.0, 15.0)
    with pytest.raises(ValueError, match="index 9 for 4 vertices"):
        render(points, torch.tensor([[0, 1, 9]]), CAMERA, (8, 8))
    with pytest.raises(ValueError, match="empty picture"):
        render(points, faces, CAMERA, (0, 8))
    with pytest.raises(ValueError, match="part ids"):
        render(points, faces, CAMERA, (8, 8), parts=torch.tensor([0, 1, 2, -3]))
    with pytest.raises(ValueError, match="as many of both"):
        Lights(directions=((0.0, 0.0, -1.0),), colors=())


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
    for module, fix in ((None, r"pip install 'hand-model-zoo\[render\]'"), (create_context, "libEGL.so.1.*libegl1")):
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


@needs_gl
@pytest.mark.slow
def test_a_hand_sized_mesh_takes_at_most_five_milliseconds():
    import time

    vertices, faces, camera = blobs(16)
    camera = supersample(camera, 4)
    times = []
    for _ in range(5):
        start = time.process_time()
        render(vertices, faces, camera, (512, 512), backend="gl")
        times.append((time.process_time() - start) / 16)
    assert min(times) < 0.005
