"""The OpenGL backend: moderngl on a headless EGL context, one for each process and thread that draws."""

import importlib
import os
import threading
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.hands.render import MAX_LIGHTS, NEAR, Job, Rendered

VERTEX = """
#version 330
uniform mat4 projection;
in vec3 position; in vec3 normal; in vec3 color;
out vec3 at; out vec3 up; out vec3 albedo;
void main() {
    gl_Position = projection * vec4(position, 1.0);
    at = position; up = normal; albedo = color;
}
"""
FRAGMENT = (
    """
#version 330
const int MOST = %d;
uniform isampler2D parts;
uniform int columns;
uniform int mirrored;
uniform int lights;
uniform vec3 ambient;
uniform vec3 directions[MOST];
uniform vec3 intensities[MOST];
uniform float specular;
uniform float shininess;
uniform float wrap;
in vec3 at; in vec3 up; in vec3 albedo;
layout(location = 0) out vec4 picture;
layout(location = 1) out vec2 surface;
void main() {
    vec3 n = up / max(length(up), 1e-12);
    // Row 0 is the top of the picture and the bottom of the window, which turns every face around.
    if (gl_FrontFacing == (mirrored == 0)) n = -n;
    vec3 view = -normalize(at);
    vec3 diffuse = ambient;
    vec3 highlight = vec3(0.0);
    for (int i = 0; i < lights; i++) {
        float cosine = dot(n, directions[i]);
        diffuse += intensities[i] * max(0.0, (cosine + wrap) / (1.0 + wrap));
        if (specular > 0.0 && cosine > 0.0)
            highlight += specular * intensities[i] * pow(max(0.0, dot(n, normalize(directions[i] + view))), shininess);
    }
    picture = vec4(clamp(albedo * diffuse + highlight, 0.0, 1.0), 1.0);
    int part = texelFetch(parts, ivec2(gl_PrimitiveID %% columns, gl_PrimitiveID / columns), 0).r;
    surface = vec2(at.z, float(part));
}
"""
    % MAX_LIGHTS
)  # noqa: UP031 - braces are GLSL's
COLUMNS = 1024  # of the texture that holds the part of each face
KEEP = 4  # framebuffers of different sizes

_here = threading.local()
_first: dict[str, Any] = {"pid": None, "threaded": False}


def problem() -> str | None:
    """Why no context can be made in this thread, or None; tried once."""
    _open()
    return _here.problem


def renderer_name() -> str:
    """The driver's name of what draws, for example "llvmpipe (LLVM 15.0.6, 256 bits)"."""
    _open()
    return str(_here.canvas.context.info["GL_RENDERER"])


def draw(job: Job) -> Rendered:
    """Draw a job frame by frame into reused buffers."""
    _open()
    return _here.canvas.draw(job)


def _open() -> None:
    if getattr(_here, "pid", None) == os.getpid():
        return
    # After a fork the parent's objects must neither be used nor destroyed, so the child keeps them and looks away.
    _here.inherited = getattr(_here, "canvas", None)
    _here.pid, _here.canvas, _here.problem = os.getpid(), None, None
    if _first["pid"] not in (None, os.getpid()) and _first["threaded"]:
        _here.problem = (
            "this process was forked from one that had already opened OpenGL, which the driver does not survive. "
            "Start workers with multiprocessing_context='spawn'."
        )
        return
    try:
        _here.canvas = _Canvas(_context())
    except ModuleNotFoundError as error:
        _here.problem = f"{error.name} is not installed. Install it with pip install 'hand-model-zoo[render]'."
    except Exception as error:  # a driver may fail in any way, and the torch backend is there for that
        _here.problem = (
            f"no OpenGL context could be made ({' '.join(str(error).split()) or type(error).__name__}). "
            "On Debian, install libegl1, libgl1 and libgl1-mesa-dri, or the graphics driver's EGL."
        )


def _context() -> Any:
    moderngl = importlib.import_module("moderngl")
    # Mesa's software renderer starts threads that a forked DataLoader worker would wait for in vain.
    chosen = os.environ.get("LP_NUM_THREADS")
    os.environ.setdefault("LP_NUM_THREADS", "0")
    try:
        context = moderngl.create_context(
            standalone=True, backend="egl", libgl="libGL.so.1", libegl="libEGL.so.1", require=330
        )
    finally:
        if chosen is None:
            os.environ.pop("LP_NUM_THREADS", None)
    software = "llvmpipe" in context.info["GL_RENDERER"]
    _first.update(pid=os.getpid(), threaded=not (software and chosen in (None, "0")))
    return context


class _Canvas:
    """A context with its program, and the buffers that grow to what was drawn."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.program = context.program(vertex_shader=VERTEX, fragment_shader=FRAGMENT)
        self.targets: dict[tuple[int, int], Any] = {}
        self.capacity = (0, 0, 0)
        self.buffers: list[Any] = []
        context.enable_only(context.DEPTH_TEST)

    def draw(self, job: Job) -> Rendered:
        b, v, _ = job.vertices.shape
        f = len(job.faces)
        height, width = job.size
        target = self._target(width, height)
        self._reserve(v, f)
        packed = torch.cat([job.vertices, job.normals, job.colors], dim=-1).cpu().numpy()
        projections, mirrored = _projections(job)
        picture = np.empty((b, height, width, 4), np.uint8)
        surface = np.empty((b, height, width, 2), np.float32)
        if f:
            self._set(job)
        target.use()
        for i in range(b):
            target.color_mask = ((True,) * 4, (False,) * 4)
            target.clear(*job.background, 0.0)
            target.color_mask = ((False,) * 4, (True,) * 4)
            target.clear(0.0, -1.0, 0.0, 0.0)
            target.color_mask = ((True,) * 4, (True,) * 4)
            if f:
                self.program["projection"].write(projections[i].T.tobytes())
                self.program["mirrored"].value = int(mirrored[i])
                self.buffers[0].write(packed[i].tobytes())
                self.array.render(vertices=3 * f)
            target.read_into(picture[i], components=4, attachment=0)
            target.read_into(surface[i], components=2, attachment=1, dtype="f4")
        return _unpack(picture, surface, job)

    def _set(self, job: Job) -> None:
        program, lights = self.program, job.lights
        self.buffers[1].write(job.faces.to(torch.int32).cpu().numpy().tobytes())
        rows = self.parts.height
        table = np.zeros(rows * COLUMNS, np.int16)
        table[: len(job.faces)] = job.face_parts.cpu().numpy()
        self.parts.write(table.tobytes())
        self.parts.use(0)
        program["parts"].value = 0
        program["columns"].value = COLUMNS
        program["lights"].value = len(lights.directions)
        program["ambient"].value = lights.ambient
        blank = [(0.0, 0.0, 0.0)] * (MAX_LIGHTS - len(lights.directions))
        program["directions"].value = lights.unit_directions() + blank
        program["intensities"].value = list(lights.colors) + blank
        program["specular"].value = lights.specular
        program["shininess"].value = lights.shininess
        program["wrap"].value = lights.wrap

    def _target(self, width: int, height: int) -> Any:
        if (width, height) not in self.targets:
            largest = self.context.info["GL_MAX_RENDERBUFFER_SIZE"]
            if max(width, height) > largest:
                raise ValueError(
                    f"render(size=({height}, {width})) is beyond this OpenGL driver's {largest}. Use backend='torch'."
                )
            if len(self.targets) >= KEEP:
                oldest = self.targets.pop(next(iter(self.targets)))
                for part in (*oldest.color_attachments, oldest.depth_attachment, oldest):
                    part.release()
            self.targets[width, height] = self.context.framebuffer(
                [
                    self.context.renderbuffer((width, height), 4),
                    self.context.renderbuffer((width, height), 2, dtype="f4"),
                ],
                self.context.depth_renderbuffer((width, height)),
            )
        return self.targets[width, height]

    def _reserve(self, vertices: int, faces: int) -> None:
        rows = -(-faces // COLUMNS)
        if vertices <= self.capacity[0] and faces <= self.capacity[1] and rows <= self.capacity[2]:
            return
        with suppress(AttributeError):
            for part in (self.array, *self.buffers, self.parts):
                part.release()
        vertices, faces, rows = (max(old, new) for old, new in zip(self.capacity, (vertices, faces, rows), strict=True))
        self.capacity = (vertices, faces, rows)
        self.buffers = [
            self.context.buffer(reserve=36 * vertices, dynamic=True),
            self.context.buffer(reserve=12 * faces),
        ]
        layout = [(self.buffers[0], "3f 3f 3f", "position", "normal", "color")]
        self.array = self.context.vertex_array(self.program, layout, index_buffer=self.buffers[1])
        self.parts = self.context.texture((COLUMNS, rows), 1, dtype="i2")


def _projections(job: Job) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """From the camera frame to clip space (b, 4, 4), with pixel (0, 0) centred half a pixel from the corner."""
    height, width = job.size
    k = job.intrinsics.double().cpu().numpy()
    z = job.vertices[..., 2].double().cpu().numpy()
    far = 1.001 * z.max(axis=1, initial=2 * NEAR)
    near = np.maximum(NEAR, 0.999 * z.min(axis=1, initial=np.inf, where=z > 0))
    near = np.minimum(near, 0.999 * far)
    projection = np.zeros((len(k), 4, 4))
    projection[:, 0, :3] = 2 / width * k[:, 0]
    projection[:, 1, :3] = 2 / height * k[:, 1]
    projection[:, 0, 2] += 1 / width - 1
    projection[:, 1, 2] += 1 / height - 1
    projection[:, 2, 2] = (far + near) / (far - near)
    projection[:, 2, 3] = -2 * far * near / (far - near)
    projection[:, 3, 2] = 1
    return projection.astype(np.float32), k[:, 0, 0] * k[:, 1, 1] < 0


def _unpack(picture: NDArray[np.uint8], surface: NDArray[np.float32], job: Job) -> Rendered:
    device = job.vertices.device
    depth = torch.from_numpy(np.ascontiguousarray(surface[..., 0])).to(device)
    return Rendered(
        color=torch.from_numpy(picture[..., :3]).to(device).permute(0, 3, 1, 2).contiguous(),
        depth=depth,
        mask=depth > 0,
        parts=torch.from_numpy(surface[..., 1].astype(np.int16)).to(device),
    )
