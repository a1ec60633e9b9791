"""The OpenGL backend: moderngl on a headless EGL context, one for each process and thread that draws."""

import importlib
import os
import threading
from contextlib import suppress
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from zoo.hands.render import NEAR, Job, Rendered

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
# Lights are unrolled: Mesa's software renderer takes twice as long over a loop.
FRAGMENT = """
#version 330
uniform isampler2D parts;
uniform int columns;
uniform int mirrored;
uniform vec3 ambient;
DECLARATIONS
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
    float cosine;
    float shine;
LIGHTS
    picture = vec4(clamp(albedo * diffuse + specular * highlight, 0.0, 1.0), 1.0);
    int part = texelFetch(parts, ivec2(gl_PrimitiveID % columns, gl_PrimitiveID / columns), 0).r;
    surface = vec2(at.z, float(part));
}
"""
DECLARATION = """
uniform vec3 directionN;
uniform vec3 intensityN;
"""
LIGHT = """
    cosine = dot(n, directionN);
    diffuse += intensityN * max(0.0, (cosine + wrap) / (1.0 + wrap));
"""
HIGHLIGHT = """
    shine = pow(max(1e-6, dot(n, normalize(directionN + view))), shininess);
    highlight += step(0.0, cosine) * shine * intensityN;
"""

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
        _here.problem = f"{error.name} is not installed. Install it with pip install -e '.[render]'."
    except Exception as error:  # a driver may fail in any way, and the torch backend is there for that
        _here.problem = (
            f"no OpenGL context could be made ({' '.join(str(error).split()) or type(error).__name__}). "
            "On Debian, install libegl1, libgl1 and libgl1-mesa-dri, or the graphics driver's EGL."
        )


def _context() -> Any:
    moderngl = importlib.import_module("moderngl")
    # Triton (which torchvision and torch.compile import) and Mesa's software renderer each bring an LLVM, and the
    # process crashes where triton's comes second.
    with suppress(ImportError):
        importlib.import_module("triton")
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
    """A context with its programs, and buffers that grow to what was drawn."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.targets: dict[tuple[int, int], Any] = {}
        self.capacity = (0, 0)
        self.vertices: Any = None
        self.faces: Any = None
        self.parts: Any = None
        self.arrays: dict[
            tuple[int, bool], Any
        ] = {}  # vertex arrays with their programs, by number of lights and shine
        context.enable_only(context.DEPTH_TEST)

    def draw(self, job: Job) -> Rendered:
        b, v, _ = job.vertices.shape
        height, width = job.size
        target = self._target(width, height)
        array = self._load(job, v) if len(job.faces) else None
        packed = torch.cat([job.vertices, job.normals, job.colors], dim=-1).cpu().numpy()
        projections, mirrored = _projections(job)
        picture, surface = np.empty((height, width, 4), np.uint8), np.empty((height, width, 2), np.float32)
        color, depth = np.empty((b, 3, height, width), np.uint8), np.empty((b, height, width), np.float32)
        parts = np.empty((b, height, width), np.int16)
        target.use()
        for i in range(b):
            target.color_mask = ((True,) * 4, (False,) * 4)
            target.clear(*job.background, 0.0)
            target.color_mask = ((False,) * 4, (True,) * 4)
            target.clear(0.0, -1.0, 0.0, 0.0)
            target.color_mask = ((True,) * 4, (True,) * 4)
            if array is not None:
                array.program["projection"].write(projections[i].T.tobytes())
                if "mirrored" in array.program:
                    array.program["mirrored"].value = int(mirrored[i])
                self.vertices.write(packed[i].tobytes())
                array.render(vertices=3 * len(job.faces))
            target.read_into(picture, components=4, attachment=0)
            target.read_into(surface, components=2, attachment=1, dtype="f4")
            for channel in range(3):
                cv2.extractChannel(picture, channel, color[i, channel])
            cv2.extractChannel(surface, 0, depth[i])
            parts[i] = surface[..., 1]
        device = job.vertices.device
        depths = torch.from_numpy(depth).to(device)
        return Rendered(
            color=torch.from_numpy(color).to(device),
            depth=depths,
            mask=depths > 0,
            parts=torch.from_numpy(parts).to(device),
        )

    def _load(self, job: Job, count: int) -> Any:
        """Puts all but the vertices on the device; the vertex array to draw with."""
        lights = job.lights
        self._reserve(count, len(job.faces))
        self.faces.write(job.faces.to(torch.int32).cpu().numpy().tobytes())
        table = np.zeros(self.parts.width * self.parts.height, np.int16)
        table[: len(job.faces)] = job.face_parts.cpu().numpy()
        self.parts.write(table.tobytes())
        self.parts.use(0)
        kind = (len(lights.directions), lights.specular > 0)
        if kind not in self.arrays:
            program = self._program(*kind)
            # The compiler drops what is not used: normals, in the dark.
            form, names = ("3f 3f 3f", ("normal", "color")) if "normal" in program else ("3f 12x 3f", ("color",))
            layout = [(self.vertices, form, "position", *names)]
            self.arrays[kind] = self.context.vertex_array(program, layout, index_buffer=self.faces)
        array = self.arrays[kind]
        values = {"parts": 0, "columns": COLUMNS, "ambient": lights.ambient, "wrap": lights.wrap}
        values |= {"specular": lights.specular, "shininess": lights.shininess}
        for i, (direction, color) in enumerate(zip(lights.unit_directions(), lights.colors, strict=True)):
            values |= {f"direction{i}": direction, f"intensity{i}": color}
        for name, value in values.items():
            uniform = array.program.get(name, None)
            if uniform is not None:
                uniform.value = value
        return array

    def _program(self, lights: int, shiny: bool) -> Any:
        light = LIGHT + HIGHLIGHT if shiny else LIGHT
        declarations = "".join(DECLARATION.replace("ionN", f"ion{i}").replace("ityN", f"ity{i}") for i in range(lights))
        body = "".join(light.replace("ionN", f"ion{i}").replace("ityN", f"ity{i}") for i in range(lights))
        fragment = FRAGMENT.replace("DECLARATIONS", declarations).replace("LIGHTS", body)
        return self.context.program(vertex_shader=VERTEX, fragment_shader=fragment)

    def _target(self, width: int, height: int) -> Any:
        if (width, height) not in self.targets:
            largest = self.context.info["GL_MAX_RENDERBUFFER_SIZE"]
            if max(width, height) > largest:
                raise ValueError(
                    f"render(size=({height}, {width})) is beyond this OpenGL driver's {largest}. Use backend='torch'."
                )
            if len(self.targets) >= KEEP:
                oldest = self.targets.pop(next(iter(self.targets)))
                for part in (oldest, *oldest.color_attachments, oldest.depth_attachment):
                    part.release()
            size = (width, height)
            colors = [self.context.renderbuffer(size, 4), self.context.renderbuffer(size, 2, dtype="f4")]
            self.targets[size] = self.context.framebuffer(colors, self.context.depth_renderbuffer(size))
        return self.targets[width, height]

    def _reserve(self, vertices: int, faces: int) -> None:
        if vertices <= self.capacity[0] and faces <= self.capacity[1]:
            return
        for array in self.arrays.values():
            array.program.release()
            array.release()
        self.arrays.clear()
        for part in filter(None, (self.vertices, self.faces, self.parts)):
            part.release()
        self.capacity = (max(vertices, self.capacity[0]), max(faces, self.capacity[1]))
        self.vertices = self.context.buffer(reserve=36 * self.capacity[0], dynamic=True)
        self.faces = self.context.buffer(reserve=12 * self.capacity[1], dynamic=True)
        self.parts = self.context.texture((COLUMNS, -(-self.capacity[1] // COLUMNS)), 1, dtype="i2")


def _projections(job: Job) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """From the camera frame to clip space (b, 4, 4), with pixel (0, 0) centred half a pixel from the corner."""
    height, width = job.size
    k = job.intrinsics.double().cpu().numpy()
    z = job.vertices[..., 2].double().cpu().numpy()
    far = 1.001 * z.max(axis=1, initial=2 * NEAR)
    near = np.clip(0.999 * z.min(axis=1, initial=np.inf), NEAR, 0.999 * far)
    projection = np.zeros((len(k), 4, 4))
    projection[:, 0, :3] = 2 / width * k[:, 0]
    projection[:, 1, :3] = 2 / height * k[:, 1]
    projection[:, 0, 2] += 1 / width - 1
    projection[:, 1, 2] += 1 / height - 1
    projection[:, 2, 2] = (far + near) / (far - near)
    projection[:, 2, 3] = -2 * far * near / (far - near)
    projection[:, 3, 2] = 1
    return projection.astype(np.float32), k[:, 0, 0] * k[:, 1, 1] < 0
