import pytest
import torch
from render_scenes import BACKENDS, CAMERA, TRIANGLE, blob, blobs, rectangle, unproject

from zoo.hands.camera import project
from zoo.hands.render import NEAR, Lights, render, supersample, vertex_normals


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
