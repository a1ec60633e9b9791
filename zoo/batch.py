"""What goes into a method and what comes out of it."""

from typing import NotRequired, TypedDict

from zoo.shapes import (
    Betas,
    Bool,
    Float,
    Images,
    Int,
    Intrinsics,
    JointMask,
    Joints,
    Joints2D,
    Mask,
    Side,
    Tensor,
    Vertices,
)


class HandBatch(TypedDict):
    """One crop per hand, left hands mirrored to right: what HHMR reads.

    All 3D labels are in the camera frame of the (augmented, mirrored) crop. `image` is packed: it holds only the
    rows whose `has_image` is True, in order, so that pose-only rows cost nothing.
    """

    image: Images  # (m, 3, s, s) RGB in [0, 1]; m = has_image.sum(), possibly 0
    has_image: Mask  # (b,)
    vertices: Vertices  # (b, 778, 3) metres
    has_mesh: Mask  # (b,) False: the row has no mesh label, and what vertices hold there is never read
    joints: Joints  # (b, 21, 3) metres, regressed from the mesh where there is one
    joints_valid: JointMask  # (b, 21)
    joints2d: Joints2D  # (b, 21, 2) crop coordinates: -1 left/top edge, 1 right/bottom edge
    joints2d_valid: JointMask  # (b, 21)
    intrinsics: Intrinsics  # (b, 3, 3) of the crop, pixels
    side: Side  # (b,) of the original hand, before mirroring
    index: Int[Tensor, " b"]  # row in the dataset, for names and pictures


class SceneBatch(TypedDict):
    """One picture with up to two hands and its text: what AttentionHand and HanDiffuser read.

    The second axis of hand labels is the side, 0 = left, 1 = right. 3D labels are in the camera frame of the picture.
    Pictures are square, whatever they were: pixels and cameras here are those of the squares. They are packed: `image`
    and `image_local` hold only the rows whose `has_image` is True, in order; `mesh` and `mesh_local` those whose
    `has_mesh_image` is True. "Local" is the part of the picture around the hands, resized to the size of the whole.
    """

    image: Images  # (m, 3, s, s) RGB in [0, 1], the whole picture
    image_local: Images  # (m, 3, s, s)
    has_image: Mask  # (b,)
    mesh: Images  # (k, 3, s, s) the hands' meshes, bright on black
    mesh_local: Images  # (k, 3, s, s)
    has_mesh_image: Mask  # (b,)
    box: Float[
        Tensor, "b 4"
    ]  # left, top, right, bottom of the local part: -1 left/top edge of the picture, 1 the other
    text: list[str]
    vertices: Vertices  # (b, 2, 778, 3) metres
    has_mesh: Bool[Tensor, "b 2"]
    joints: Joints  # (b, 2, 21, 3) metres
    joints_valid: JointMask  # (b, 2, 21)
    joints2d: Joints2D  # (b, 2, 21, 2): -1 left/top edge of the picture, 1 right/bottom edge
    joints2d_valid: JointMask  # (b, 2, 21)
    rotations: Float[Tensor, "b 2 16 3"]  # axis-angle, radians, absolute (flat hand = 0), MANO order
    betas: Betas  # (b, 2, 10)
    transl: Float[Tensor, "b 2 3"]  # metres
    has_pose: Bool[Tensor, "b 2"]  # False: no parameters, and what the three above hold there is never read
    intrinsics: Intrinsics  # (b, 3, 3) of the resized picture, pixels
    index: Int[Tensor, " b"]  # row in the dataset, for names and pictures


class Given(TypedDict):
    """The conditions of a sample; leave out what there is none of. The fields are those of `HandBatch`."""

    joints: NotRequired[Joints]  # any origin: the wrist is subtracted
    joints_valid: NotRequired[JointMask]
    joints2d: NotRequired[Joints2D]
    joints2d_valid: NotRequired[JointMask]
    image: NotRequired[Images]  # packed, as in HandBatch
    has_image: NotRequired[Mask]


class Asked(TypedDict):
    """What pictures shall show."""

    text: list[str]  # a prompt a row
    mesh: NotRequired[Images]  # (b, 3, s, s) the hands' meshes, bright on black
    mesh_local: NotRequired[Images]  # (b, 3, s, s) the part around the hands, larger


class Painted(TypedDict):
    """What a method that makes pictures shows of itself while it learns."""

    images: Images  # made
    asked: Asked  # for what
    real: NotRequired[Images]  # the dataset's pictures of the same scenes
    attention: NotRequired[Float[Tensor, "b k h w"]]  # to the hand's words, k stages of it
    index: NotRequired[Int[Tensor, " b"]]  # of the rows in the dataset, where their pictures are kept


class Hands(TypedDict):
    """Sampled hands, n hypotheses each; metres, wrist at the origin, camera frame of the crop."""

    vertices: Vertices  # (b, n, 778, 3)
    joints: Joints  # (b, n, 21, 3), regressed from the vertices
