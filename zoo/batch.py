"""What goes into a method and what comes out of it."""

from typing import NotRequired, TypedDict

from zoo.shapes import Images, Int, Intrinsics, JointMask, Joints, Joints2D, Mask, Side, Tensor, Vertices


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


class Given(TypedDict):
    """The conditions of a sample; leave out what there is none of. The fields are those of `HandBatch`."""

    joints: NotRequired[Joints]  # any origin: the wrist is subtracted
    joints_valid: NotRequired[JointMask]
    joints2d: NotRequired[Joints2D]
    joints2d_valid: NotRequired[JointMask]
    image: NotRequired[Images]  # packed, as in HandBatch
    has_image: NotRequired[Mask]


class Hands(TypedDict):
    """Sampled hands, n hypotheses each; metres, wrist at the origin, camera frame of the crop."""

    vertices: Vertices  # (b, n, 778, 3)
    joints: Joints  # (b, n, 21, 3), regressed from the vertices
