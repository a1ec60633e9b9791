"""Meshes and cameras for the tests of the renderers, and which backends can be tried here."""

import pytest
import torch

from zoo.hands.render import gl_problem

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
