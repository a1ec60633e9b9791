"""The scene view: whole pictures with their text and meshes, as the batches AttentionHand and HanDiffuser read."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from datamodules.captions import describe
from datamodules.crops import warp
from datamodules.framing import Affine, Box, Crop, Fit, Frame, chain, framed, local_affine, local_edges, local_square
from datamodules.mesh_boxes import local_box
from datamodules.mesh_pictures import draw_meshes, drawable
from datamodules.scene import ByteArray, FloatArray, HandModels, Scene, Scenes
from datamodules.scene_labels import SceneLabels
from zoo.batch import SceneBatch
from zoo.hands.camera import apply_affine, normalize_pixels
from zoo.shapes import Intrinsics, RawImages

MARGIN = 1.2  # side of a local part over the longer side of what is seen of the hands


class SceneView(Dataset[SceneBatch]):
    """Scenes of a dataset as whole pictures; nothing is varied.

    Args:
        scenes: Where they come from.
        size: Side of all pictures, pixels.
        fit: How a picture becomes a square: "crop" fills it and keeps the hands in view, "pad" shows all of it between
            black bars, "stretch" gives up its aspect, as AttentionHand's released code does.
        crop: The local part: a "robust" square around all that is seen of the hands, or AttentionHand's "official" box
            of the first two outlines of the mesh picture, stretched to a square.
        seed: Decides the wording of sentences made for scenes without a caption.
        images: False leaves all pictures out.
        meshes: False leaves out pictures of meshes, which take longest to make.
    """

    def __init__(
        self,
        scenes: Scenes,
        size: int,
        *,
        fit: Fit = "crop",
        crop: Crop = "robust",
        seed: int = 0,
        images: bool = True,
        meshes: bool = True,
    ) -> None:
        self.scenes = scenes
        self.size = size
        self.fit: Fit = fit
        self.crop: Crop = crop
        self.seed = seed
        self.images = images
        self.meshes = meshes

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, row: int) -> SceneBatch:
        return self.batch([row])

    def __getitems__(self, rows: Sequence[int]) -> SceneBatch:
        """A whole batch at once; `DataLoader` calls this in place of `__getitem__`."""
        return self.batch(rows)

    def batch(self, rows: Sequence[int], epochs: Sequence[int] | None = None, images: int | None = None) -> SceneBatch:
        """Reads rows as a batch, its pictures still as bytes.

        Args:
            rows: Numbers of scenes.
            epochs: How often each row was read before; changes nothing here.
            images: How many rows, from the first, get their pictures; None for all.
        """
        wanted = (len(rows) if images is None else images) if self.images else 0
        return self.assemble(
            [self.scenes.read(int(row), image=i < wanted) for i, row in enumerate(rows)],
            rows,
            self.scenes.models,
            wanted,
        )

    def assemble(
        self, scenes: Sequence[Scene], rows: Sequence[int], models: HandModels | None, wanted: int
    ) -> SceneBatch:
        """A batch of scenes that are read already.

        Args:
            scenes: At least one.
            rows: Their numbers.
            models: Whose parameters they have.
            wanted: How many of them, from the first, get pictures.
        """
        size = self.size
        labels = SceneLabels(scenes, models)
        shown = [i < wanted for i in range(len(scenes))]
        seen = [self._seen(scene, labels, i) for i, scene in enumerate(scenes)]
        frames = [framed(scene.size, size, self.fit, box) for scene, box in zip(scenes, seen, strict=True)]
        affine = np.stack([frame.affine(scene.size) for frame, scene in zip(frames, scenes, strict=True)])
        intrinsics = _moved(affine, labels.intrinsics)
        meshed = [self.meshes and yes for yes in shown]
        own = {i: scene.mesh_image for i, scene in enumerate(scenes) if meshed[i] and scene.mesh_image is not None}
        drawn = self._to_draw(labels, [meshed[i] and i not in own for i in range(len(scenes))], models)
        meshes = {i: frames[i].image(mesh) for i, mesh in own.items()}
        edges = [frame.edges for frame in frames]
        meshes |= self._draw(labels, drawn, intrinsics, models, edges)
        boxes = [self._local(scenes[i].size, frames[i], seen[i], own.get(i), meshes.get(i)) for i in range(len(scenes))]
        near = [local_affine(box, size) for box in boxes]
        photos = {i: scene.image for i, scene in enumerate(scenes) if shown[i] and scene.image is not None}
        meshes_near = self._near(own, frames, near)
        edges = [local_edges(edge, box, size) for edge, box in zip(edges, boxes, strict=True)]
        meshes_near |= self._draw(labels, drawn, _moved(np.stack(near), intrinsics), models, edges)
        pixels = apply_affine(torch.from_numpy(affine)[:, None], labels.joints2d.double())
        pixels = normalize_pixels(pixels, (size, size)).float()
        return SceneBatch(
            image=self._packed({i: frames[i].image(photo) for i, photo in photos.items()}),
            image_local=self._packed(self._near(photos, frames, near)),
            has_image=torch.tensor([i in photos for i in range(len(scenes))]),
            mesh=self._packed(meshes),
            mesh_local=self._packed(meshes_near),
            has_mesh_image=torch.tensor([i in meshes for i in range(len(scenes))]),
            box=torch.tensor(boxes) * (2 / size) - 1,
            text=[self._text(scene, labels, i, int(rows[i])) for i, scene in enumerate(scenes)],
            vertices=labels.vertices,
            has_mesh=labels.has_mesh,
            joints=labels.joints,
            joints_valid=labels.joints_valid,
            joints2d=pixels * labels.joints2d_valid[..., None],
            joints2d_valid=labels.joints2d_valid,
            rotations=labels.rotations,
            betas=labels.betas,
            transl=labels.transl,
            has_pose=labels.has_pose,
            intrinsics=intrinsics,
            index=torch.as_tensor(np.asarray(rows, dtype=np.int64)),
        )

    def _seen(self, scene: Scene, labels: SceneLabels, i: int) -> Box | None:
        """Where the hands are in a scene's picture: by its labels, else by its mesh picture."""
        box = labels.seen(i, scene, MARGIN)
        if box is None and scene.mesh_image is not None and (bright := local_box(scene.mesh_image)) is not None:
            whole = Frame(0, scene.size, (0, 0))
            return whole.box(_edges(bright), scene.mesh_image.shape[:2])
        return box

    def _local(
        self, size: tuple[int, int], frame: Frame, seen: Box | None, own: ByteArray | None, mesh: ByteArray | None
    ) -> Box:
        """The local part of a resized picture."""
        if self.crop == "official" and mesh is not None:
            found = local_box(mesh if own is None else own, "official")
            if found is not None:
                return _edges(found) if own is None else frame.box(_edges(found), own.shape[:2])
        return local_square(None if seen is None else frame.box(seen, size), self.size, MARGIN)

    def _to_draw(self, labels: SceneLabels, shown: Sequence[bool], models: HandModels | None) -> list[int]:
        """The rows whose mesh pictures are drawn: those that are asked for, have none, and whose faces are known."""
        rows = (labels.has_mesh.any(1) & torch.tensor(shown)).nonzero()[:, 0]
        return rows.tolist() if drawable(labels.vertices[rows], labels.has_mesh[rows], models) else []

    def _draw(
        self,
        labels: SceneLabels,
        rows: list[int],
        intrinsics: Intrinsics,
        models: HandModels | None,
        edges: Sequence[Box],
    ) -> dict[int, ByteArray]:
        """Mesh pictures of rows, black where their photographs, between `edges`, have no pixels."""
        pictures = draw_meshes(labels.vertices[rows], labels.has_mesh[rows], intrinsics[rows], self.size, models)
        drawn = dict(zip(rows, pictures.permute(0, 2, 3, 1).numpy(), strict=True))
        for i, picture in drawn.items():
            left, top, right, bottom = (min(max(round(edge), 0), self.size) for edge in edges[i])
            picture[:top] = picture[bottom:] = picture[:, :left] = picture[:, right:] = 0
        return drawn

    def _near(
        self, pictures: Mapping[int, ByteArray], frames: Sequence[Frame], near: Sequence[Affine]
    ) -> dict[int, ByteArray]:
        """The local parts of pictures, taken from them as they came and not from the resized ones."""
        return {
            i: warp(picture, chain(near[i], frames[i].affine(picture.shape[:2])), self.size)
            for i, picture in pictures.items()
        }

    def _packed(self, pictures: Mapping[int, ByteArray]) -> RawImages:
        """Pictures in the order of their rows."""
        out = np.empty((len(pictures), self.size, self.size, 3), np.uint8)
        for place, i in enumerate(sorted(pictures)):
            out[place] = pictures[i]
        return torch.from_numpy(out).permute(0, 3, 1, 2)  # a view: the three bytes of a pixel stay together

    def _text(self, scene: Scene, labels: SceneLabels, i: int, row: int) -> str:
        if scene.caption is not None:
            return scene.caption
        return describe(*labels.of(i, scene), seed=self.seed, index=row)


def _moved(affine: NDArray[np.float64], intrinsics: Intrinsics) -> Intrinsics:
    """The cameras of pictures under affine maps of their pixels."""
    maps = np.concatenate([affine, np.tile([[[0.0, 0.0, 1.0]]], (len(affine), 1, 1))], axis=1)
    return (torch.from_numpy(maps) @ intrinsics.double()).float()


def _edges(box: FloatArray) -> Box:
    """Pixel centres on whole numbers to edges counted from the picture's corner."""
    left, top, right, bottom = (float(edge) + 0.5 for edge in box)
    return left, top, right, bottom
