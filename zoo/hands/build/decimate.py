"""From the closed source surface to MANO's counts: cut the wrist, then collapse edges.

Quadric-error collapses after Garland and Heckbert, "Surface Simplification Using Quadric Error Metrics", 1997, with a
spacing term that decides where vertices are kept. V - E + F = 1 and 16 boundary edges fix 778 vertices at 1538 faces.
"""

import heapq
from collections import defaultdict

import numpy as np

from zoo.hands.build.source import Array, Index
from zoo.hands.build.surface import boundary_edges, face_normals

VERTICES, FACES, BOUNDARY = 778, 1538, 16


def cut_wrist(vertices: Array, faces: Index) -> Index:
    """Faces (f, 3) without the flat lid at the wrist: its vertices are the end of the forearm, fingers being -x."""
    normals = face_normals(vertices, faces)
    lid = (normals[:, 0] > 0.8) & (vertices[faces][..., 0].min(1) > 0.005)
    return faces[~lid]


class Collapser:
    """A triangle mesh that loses one edge at a time and stays a manifold of the same kind."""

    def __init__(self, vertices: Array, faces: Index, spacing: Array) -> None:
        self.points = vertices.copy()
        self.spacing = spacing  # (v,) wished edge length, in any unit
        self.faces: dict[int, tuple[int, int, int]] = {i: (a, b, c) for i, (a, b, c) in enumerate(faces.tolist())}
        self.around: dict[int, set[int]] = defaultdict(set)
        self.quadrics = np.zeros((len(vertices), 4, 4))
        normals = face_normals(vertices, faces)
        for i, face in self.faces.items():
            a, b, c = vertices[list(face)]
            plane = np.append(normals[i], -normals[i] @ a)
            for vertex in face:
                self.around[vertex].add(i)
                self.quadrics[vertex] += np.outer(plane, plane) * np.linalg.norm(np.cross(b - a, c - a)) / 6
        self.border = set(boundary_edges(faces).ravel().tolist())
        self.alive = set(self.around)

    def neighbours(self, vertex: int) -> set[int]:
        return {other for face in self.around[vertex] for other in self.faces[face]} - {vertex}

    def on_border(self, a: int, b: int) -> bool:
        return a in self.border and b in self.border and len(self.around[a] & self.around[b]) == 1

    def place(self, a: int, b: int) -> tuple[float, Array]:
        """Cost and position of the vertex that would replace edge (a, b)."""
        ends = self.points[[a, b]]
        length = float(np.linalg.norm(ends[0] - ends[1]))
        quadric = self.quadrics[a] + self.quadrics[b]
        if (a in self.border) != (b in self.border):
            point = ends[0] if a in self.border else ends[1]
        elif a in self.border:
            point = ends.mean(0)
        else:  # the quadric is singular where the surface is flat, so hold on to the middle of the edge
            hold = 0.02 * np.trace(quadric[:3, :3])
            system = quadric[:3, :3] + hold * np.eye(3)
            point = np.linalg.solve(system, hold * ends.mean(0) - quadric[:3, 3])
        homogeneous = np.append(point, 1.0)
        error = float(homogeneous @ quadric @ homogeneous) * 1e4 / length**2
        wished = min(self.spacing[a], self.spacing[b])
        return (length / wished) ** 2 * (1.0 + error), point

    def legal(self, a: int, b: int, point: Array) -> bool:
        """Keeps the surface a manifold (link condition), its faces unflipped and no slivers."""
        shared = self.around[a] & self.around[b]
        both = self.neighbours(a) & self.neighbours(b)
        if len(both) != len(shared) or (a in self.border and b in self.border and not self.on_border(a, b)):
            return False
        if len(self.neighbours(a) | self.neighbours(b)) - 2 > 9 or any(
            len(self.around[v]) < 5 for v in both - self.border
        ):
            return False
        for face in (self.around[a] | self.around[b]) - shared:
            old = self.points[list(self.faces[face])]
            new = np.array([point if v in (a, b) else self.points[v] for v in self.faces[face]])
            before, after = (np.cross(t[1] - t[0], t[2] - t[0]) for t in (old, new))
            longest = max(float(np.sum((new[i] - new[i - 1]) ** 2)) for i in range(3))
            size = float(np.linalg.norm(after))
            if before @ after < 0.7 * np.linalg.norm(before) * size or size < 0.3 * longest:
                return False
        return True

    def collapse(self, a: int, b: int, point: Array) -> None:
        """Replace edge (a, b) by vertex a at `point`."""
        for face in self.around[a] & self.around[b]:
            for vertex in self.faces.pop(face):
                self.around[vertex].discard(face)
        for face in self.around.pop(b):
            x, y, z = (a if vertex == b else vertex for vertex in self.faces[face])
            self.faces[face] = (x, y, z)
            self.around[a].add(face)
        self.points[a] = point
        self.quadrics[a] += self.quadrics[b]
        self.spacing[a] = min(self.spacing[a], self.spacing[b])
        if b in self.border:
            self.border.add(a)
            self.border.discard(b)
        self.alive.discard(b)

    def run(self, count: int, border: bool) -> None:
        """Collapse edges, cheapest first, until `count` border (or all) vertices are left."""
        stamp: dict[int, int] = defaultdict(int)
        heap: list[tuple[float, int, int, int, int]] = []

        def push(a: int, b: int) -> None:
            a, b = min(a, b), max(a, b)
            if border == self.on_border(a, b):
                heapq.heappush(heap, (self.place(a, b)[0], a, b, stamp[a], stamp[b]))

        for a in sorted(self.alive):
            for b in sorted(self.neighbours(a)):
                if a < b:
                    push(a, b)
        while len(self.border if border else self.alive) > count:
            if not heap:
                raise RuntimeError(f"No legal collapse left at {len(self.alive)} vertices; loosen Collapser.legal.")
            _, a, b, first, second = heapq.heappop(heap)
            if (stamp[a], stamp[b]) != (first, second) or not {a, b} <= self.alive:
                continue
            _, point = self.place(a, b)
            if not self.legal(a, b, point):
                continue
            self.collapse(a, b, point)
            near = self.neighbours(a)
            for vertex in {a, b} | near:
                stamp[vertex] += 1
            for vertex in sorted({a} | near):
                for other in sorted(self.neighbours(vertex)):
                    push(vertex, other)

    def result(self) -> tuple[Array, Index]:
        """Vertices (v, 3) and faces (f, 3), renumbered."""
        kept = sorted(self.alive)
        number = {vertex: i for i, vertex in enumerate(kept)}
        faces = np.array([[number[v] for v in self.faces[face]] for face in sorted(self.faces)])
        return self.points[kept], faces


def decimate(vertices: Array, faces: Index, spacing: Array) -> tuple[Array, Index]:
    """Bring the open surface to 778 vertices, 1538 faces and a loop of 16 edges; spacing (v,): wished edge lengths."""
    used, renumbered = np.unique(faces, return_inverse=True)
    mesh = Collapser(vertices[used], renumbered.reshape(faces.shape), spacing[used])
    mesh.run(BOUNDARY, border=True)
    mesh.run(VERTICES, border=False)
    return mesh.result()
