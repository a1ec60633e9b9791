"""Where the hands of made pictures come from. Hand number i is a function of the seed and of i alone."""

import errno
import hashlib
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datamodules.draw import load
from datamodules.openhand.maker import CAMERAS
from datamodules.openhand.pose_stream import PoseStream, generator_of
from datamodules.scene import BoolArray, HandModels, IntArray, ManoPose, Scene, SceneHand, Scenes
from zoo.commands.painting.scenes import Posed
from zoo.hands.openhand import OpenHand
from zoo.hands.parameters import fit_parameters
from zoo.hands.poses import PosePrior
from zoo.hands.rotations import matrix_to_axis_angle
from zoo.hands.skeleton import LEFT, RIGHT
from zoo.registry import UsageError
from zoo.shapes import Betas, Intrinsics, Joints, Rotations, Translation, Vertices

OURS, SAMPLED = 12, 13  # streams of a seed that nothing else draws from
BLOCK = 16  # hands that are sampled together, whoever asks for which of them
SPREAD = 16  # scenes by which a dataset is known again
FARTHEST = 0.005  # metres, mean, between a sampled mesh and that of the parameters found for it


class Poses(ABC):
    """Hands before a camera."""

    models: HandModels | None = None  # whose parameters they have; None: not known

    @abstractmethod
    def draw(self, index: int) -> Posed | str:
        """The scene of an index, without a photograph; or why there is none."""


class OpenHandPoses(Poses):
    """Hands of OpenHand's prior, none of whose fingers pass through each other, as `openhand-scenes` frames them.

    Args:
        seed: Other seeds give other hands.
        size: Side of the pictures, pixels.
        left: Share of left hands.
    """

    def __init__(self, seed: int, size: int, left: float) -> None:
        self.seed, self.size, self.left = seed, size, left
        self.models = {LEFT: OpenHand("left"), RIGHT: OpenHand("right")}
        self.stream = PoseStream(self.models[RIGHT], PosePrior(), size, seed, OURS, camera=CAMERAS["plain"], solid=True)

    def draw(self, index: int) -> Posed:
        hand = self.stream.draw(index, 1)
        left = is_left(self.seed, index, self.left)
        return Posed(standing(index, self.size, left, *hand), self.models)


class SampledPoses(Poses):
    """Hands that a method samples from noise, each with OpenHand's parameters that make its mesh.

    They are sampled on the CPU, in blocks whose noise follows from their number, so that every machine makes the same.

    Args:
        weights: Of the method, such as hhmr.
        seed: Other seeds give other hands.
        size: Side of the pictures, pixels.
        left: Share of left hands.
    """

    def __init__(self, weights: str, seed: int, size: int, left: float) -> None:
        import checkpoints
        from zoo.commands.tasks.generate import patient
        from zoo.models.base import HandMethod

        method: Any = checkpoints.load(weights)
        if not isinstance(method, HandMethod) or not isinstance(method.hand, OpenHand):
            raise UsageError(
                f"--poses {weights} samples no hands of OpenHand. Give hhmr, openhand, or a dataset's name."
            )
        own: Any = method
        own.sampler = patient(own.sampler)
        self.method, self.seed, self.size, self.left = method, seed, size, left
        self.hand = OpenHand("right")
        self.models = {LEFT: OpenHand("left"), RIGHT: self.hand}
        self._block: tuple[int, Any, Vertices] | None = None

    @torch.no_grad()
    def draw(self, index: int) -> Posed | str:
        number, row = divmod(index, BLOCK)
        if self._block is None or self._block[0] != number:
            hands = self.method.sample({}, 1, generator_of(self.seed, SAMPLED, number), BLOCK)["vertices"][:, 0]
            fitted = fit_parameters(self.hand, hands.float())
            self._block = number, fitted, self.hand(fitted.rotations, fitted.betas, fitted.transl).vertices
        _, fitted, meshes = self._block
        if not float(fitted.residual[row]) < FARTHEST:
            return "its mesh is no hand of OpenHand's"
        generator, camera = generator_of(self.seed, SAMPLED, number, row), CAMERAS["plain"]
        shift = camera.place(meshes[[row]], generator)
        vertices = meshes[[row]] + shift[:, None]
        joints = self.hand.regress(vertices)
        intrinsics = camera.intrinsics(joints, self.size, generator)
        transl = fitted.transl[[row]] + shift
        left = is_left(self.seed, index, self.left)
        own = fitted.rotations[[row]], fitted.betas[[row]], transl, vertices, joints, intrinsics
        return Posed(standing(index, self.size, left, *own), self.models)


class DatasetPoses(Poses):
    """Hands of a dataset, in an order that the seed decides; all are taken once before any comes again.

    Args:
        name: Of the dataset.
        root: Its folder.
        mano: Folder of MANO's files, for datasets of MANO's parameters.
        seed: Other seeds take them in another order.
        split: Of the dataset.
    """

    def __init__(self, name: str, root: Path | None, mano: Path | None, seed: int, split: str = "train") -> None:
        data = load(name, root, mano)
        data.prepare_data()
        scenes = data.scenes(split)  # type: ignore[arg-type]
        if scenes is None:
            raise UsageError(f"--poses {name} has no scenes in its {split} split. Choose another one with --split.")
        self.scenes: Scenes = scenes
        self.models, self.seed = scenes.models, seed
        sides = scenes.sides()
        self.labelled = bool(sides.any())
        self._shuffled: tuple[int, IntArray] = (-1, np.zeros(0, np.int64))
        self.numbers = np.flatnonzero(sides.any(1)) if self.labelled else np.arange(len(scenes))
        if not len(self.numbers):
            raise UsageError(f"--poses {name} has no scene with hands. Change --root or --split.")
        self.digest = _digest(scenes, sides)

    def draw(self, index: int) -> Posed | str:
        turn, place = divmod(index, len(self.numbers))
        number = int(self.numbers[self._order(turn)[place]])
        try:
            scene = self.scenes.read(number, image=not self.labelled)  # where no label is, a picture of meshes must be
        except (ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
                raise  # the disk, not the file
            # Messages name files; manifests count reasons and name none.
            return f"its scene cannot be read ({type(error).__name__})"
        return Posed(replace(scene, image=None, mask=None), self.models)

    def _order(self, turn: int) -> IntArray:
        """How the scenes are shuffled the so-manyeth time."""
        if self._shuffled[0] != turn:
            rng = np.random.default_rng((self.seed, OURS, turn))
            self._shuffled = turn, rng.permutation(len(self.numbers))
        return self._shuffled[1]


def _digest(scenes: Scenes, sides: BoolArray) -> str:
    """Tells other data of the same name, wherever either lies: by what files say, of which nothing is computed."""
    digest = hashlib.sha256(np.packbits(sides).tobytes() + str(len(scenes)).encode())
    for number in np.unique(np.linspace(0, len(scenes) - 1, SPREAD).astype(int)).tolist():
        try:
            scene = scenes.read(number, image=False)
        except (ValueError, OSError):  # skipped when its turn comes
            continue
        digest.update(repr((scene.name, scene.size, scene.caption)).encode())
        digest.update(np.asarray(scene.intrinsics, np.float32).tobytes())
        for _, hand in sorted(scene.hands.items()):
            digest.update(b"" if hand.pose is None else np.asarray(hand.pose.betas, np.float32).tobytes())
    return digest.hexdigest()


def is_left(seed: int, index: int, share: float) -> bool:
    """Whether hand number `index` is a left one."""
    return bool(np.random.default_rng((seed, OURS, index, 0)).random() < share)


def standing(
    index: int,
    size: int,
    left: bool,
    rotations: Rotations,
    betas: Betas,
    transl: Translation,
    vertices: Vertices,
    joints: Joints,
    intrinsics: Intrinsics,
) -> Scene:
    """The scene of one right hand, mirrored where it shall be a left one.

    Args:
        index: Of the scene.
        size: Side of its picture, pixels.
        left: Mirror it.
        rotations: (1, 16, 3, 3), and so on: one row each, as `PoseStream.draw` has them.
        betas: Shape.
        transl: Metres.
        vertices: Metres, camera frame.
        joints: Metres, camera frame.
        intrinsics: Pixels.
    """
    turns = np.asarray(matrix_to_axis_angle(rotations)[0].numpy(), np.float32)
    place, mesh, skeleton, camera = (part[0].numpy() for part in (transl, vertices, joints, intrinsics))
    if left:
        mirror = np.array([-1, 1, 1], np.float32)
        place, mesh, skeleton, turns = place * mirror, mesh * mirror, skeleton * mirror, -turns * mirror
        camera = camera.copy()
        camera[0, 2] = size - 1 - camera[0, 2]
    side = LEFT if left else RIGHT
    hand = SceneHand(side, mesh, skeleton, pose=ManoPose(turns, betas[0].numpy(), place))
    return Scene(index, (size, size), camera, {side: hand})


def poses_of(name: str, root: Path | None, mano: Path | None, split: str, seed: int, size: int, left: float) -> Poses:
    """The hands that `--poses` names."""
    import checkpoints

    if name == "openhand":
        return OpenHandPoses(seed, size, left)
    if root is None and (name in checkpoints.names() or Path(name).exists()):
        return SampledPoses(name, seed, size, left)
    if root is None:
        raise UsageError(
            f"--poses {name} is neither openhand nor weights that sample hands ({', '.join(checkpoints.names())}). "
            "For a dataset give its folder with --root."
        )
    return DatasetPoses(name, root, mano, seed, split)


def are_ours(models: HandModels | None) -> bool:
    """Whether hands are OpenHand's."""
    return models is not None and all(isinstance(model, OpenHand) for model in models.values())
