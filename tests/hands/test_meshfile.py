import os

import numpy as np
import pytest
import torch

from zoo.hands.meshfile import load_mesh, save_mesh
from zoo.hands.render import vertex_normals

SUFFIXES = (".obj", ".ply", ".glb", ".npz")
VERTICES = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0, 0.1234567, 0], [0, 0, 1 / 3]])
FACES = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
COLORS = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.2, 0.4, 0.6]])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_saved_is_loaded(tmp_path, suffix):
    mesh = load_mesh(save_mesh(tmp_path / f"new/hand{suffix}", VERTICES, FACES))
    assert torch.equal(mesh.vertices, VERTICES)
    assert torch.equal(mesh.faces, FACES)
    assert mesh.colors is None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_colours_survive(tmp_path, suffix):
    mesh = load_mesh(save_mesh(tmp_path / f"hand{suffix}", VERTICES, FACES, COLORS))
    torch.testing.assert_close(mesh.colors, COLORS, atol=1e-6, rtol=0)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_several_meshes_are_loaded_as_one(tmp_path, suffix):
    both = torch.stack([VERTICES, VERTICES + 1])
    mesh = load_mesh(save_mesh(tmp_path / f"hands{suffix}", both, FACES, COLORS.expand(2, -1, -1)))
    assert torch.equal(mesh.vertices, both.flatten(0, 1))
    assert torch.equal(mesh.faces, torch.cat([FACES, FACES + 4]))
    torch.testing.assert_close(mesh.colors, COLORS.repeat(2, 1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".glb"])
@pytest.mark.parametrize("colors", [None, COLORS], ids=("plain", "coloured"))
def test_trimesh_reads_the_same(tmp_path, suffix, colors):
    trimesh = pytest.importorskip("trimesh")
    path = save_mesh(tmp_path / f"hand{suffix}", VERTICES, FACES, colors)
    theirs = trimesh.load(path, force="mesh", process=False)
    np.testing.assert_array_equal(theirs.vertices.astype(np.float32), VERTICES.numpy())
    np.testing.assert_array_equal(theirs.faces, FACES.numpy())
    if suffix != ".glb" and colors is not None:
        np.testing.assert_allclose(theirs.visual.vertex_colors[:, :3] / 255, COLORS, atol=1 / 255)


def test_a_glb_has_a_node_with_normals_for_each_mesh_and_no_metal(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    path = save_mesh(tmp_path / "hands.glb", torch.stack([VERTICES, VERTICES + 1]), FACES)
    scene = trimesh.load_scene(path)
    assert len(scene.geometry) == 2
    normals = vertex_normals(VERTICES[None], FACES)[0]
    for mesh in scene.geometry.values():
        np.testing.assert_allclose(mesh.vertex_normals, normals, atol=1e-6)
    assert all(mesh.visual.material.metallicFactor == 0 for mesh in scene.geometry.values())


def test_a_glb_of_someone_else_is_placed_by_its_nodes(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    place = trimesh.transformations.compose_matrix(scale=(2, 2, 2), angles=(0.3, -0.2, 1.0), translate=(1, 2, 3))
    scene = trimesh.Scene()
    scene.add_geometry(trimesh.Trimesh(VERTICES.numpy(), FACES.numpy(), process=False), transform=place)
    scene.export(tmp_path / "other.glb")
    mesh = load_mesh(tmp_path / "other.glb")
    expected = VERTICES.double() @ torch.tensor(place[:3, :3]).T + torch.tensor(place[:3, 3])
    torch.testing.assert_close(mesh.vertices, expected.float())


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        (VERTICES * torch.nan, FACES, "NaN"),
        (VERTICES[:0], FACES[:0], "0 vertices"),
        (VERTICES, FACES[:0], "0 faces"),
        (VERTICES[:3], FACES, "faces up to 3 for 3 vertices"),
    ],
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_no_mesh_is_refused_and_leaves_no_file(tmp_path, suffix, vertices, faces, message):
    with pytest.raises(ValueError, match=message):
        save_mesh(tmp_path / f"hand{suffix}", vertices, faces)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path, suffix, monkeypatch):
    path = save_mesh(tmp_path / f"hand{suffix}", VERTICES, FACES)
    before = path.read_bytes()

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        save_mesh(path, VERTICES * 2, FACES)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_half_a_file_is_named_in_the_error(tmp_path, suffix):
    path = save_mesh(tmp_path / f"hand{suffix}", VERTICES, FACES)
    path.write_bytes(path.read_bytes()[: 20 if suffix == ".obj" else -20])
    with pytest.raises(ValueError, match=f"hand{suffix}"):
        load_mesh(path)


def test_unknown_suffixes_list_the_known_and_missing_files_are_missing(tmp_path):
    with pytest.raises(ValueError, match=r"\.glb, \.npz, \.obj, \.ply"):
        save_mesh(tmp_path / "hand.fbx", VERTICES, FACES)
    with pytest.raises(ValueError, match=r"\.glb, \.npz, \.obj, \.ply"):
        load_mesh(tmp_path / "hand.fbx")
    with pytest.raises(FileNotFoundError, match=r"hand\.obj"):
        load_mesh(tmp_path / "hand.obj")


@pytest.mark.parametrize(
    ("content", "said"), [("", "0 vertices, 0 faces"), ("v 0 0 0\nv 1 0 0\n", "2 vertices, 0 faces")]
)
def test_an_obj_file_without_a_mesh_says_what_it_has(tmp_path, content, said):
    (tmp_path / "a.obj").write_text(content)
    with pytest.raises(ValueError, match=rf"a\.obj cannot be read as a \.obj mesh \({said}\)"):
        load_mesh(tmp_path / "a.obj")
