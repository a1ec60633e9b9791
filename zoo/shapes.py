"""Every tensor shape of the project, named once. Metres, radians, camera frame x right, y down, z forward."""

from jaxtyping import Bool as Bool
from jaxtyping import Float as Float
from jaxtyping import Int as Int
from jaxtyping import UInt8 as UInt8
from torch import Tensor as Tensor

Scalar = Float[Tensor, ""]
Rotations = Float[Tensor, "*b 16 3 3"]  # root then 15 finger joints in MANO order; absolute (flat hand = identity)
FingerRotations = Float[Tensor, "*b 15 3 3"]  # the same without the root
Betas = Float[Tensor, "*b 10"]  # shape, in standard deviations
Translation = Float[Tensor, "*b 3"]  # metres
Vertices = Float[Tensor, "*b 778 3"]  # metres
Points = Float[Tensor, "*b v 3"]  # vertices of any mesh
Joints = Float[Tensor, "*b 21 3"]  # metres, SNAP-21 order
Joints2D = Float[Tensor, "*b 21 2"]  # pixels, or crop coordinates in [-1, 1] where the docstring says so
JointMask = Bool[Tensor, "*b 21"]  # True = labelled or seen
Faces = Int[Tensor, "f 3"]  # vertex indices, counter-clockwise seen from outside
Intrinsics = Float[Tensor, "*b 3 3"]  # pixels
Images = Float[Tensor, "b 3 h w"]  # RGB in [0, 1]
RawImages = UInt8[Tensor, "b 3 h w"]  # RGB in 0..255, before it reaches the device
Latents = Float[Tensor, "b c lh lw"]  # pictures as a codec codes them, scaled to unit variance where not said otherwise
Hints = Float[Tensor, "b e lh lw"]  # what a guidance copy sees of mesh images
Mask = Bool[Tensor, " b"]
Side = Int[Tensor, " b"]  # 0 = left, 1 = right

Signal = Float[Tensor, " b *x"]  # whatever is being diffused
Time = Int[Tensor, " b"]  # diffusion time, 0 (nearly clean) to T - 1 (noise)
Tokens = Float[Tensor, "b n d"]
TokenMask = Bool[Tensor, "b n"]  # True = usable
TokenIds = Int[Tensor, "b n"]  # numbers in a vocabulary
Pooled = Float[Tensor, "b p"]
AttentionMaps = Float[Tensor, "b r r n"]  # how much each place reads from each token; sums to 1 over the tokens
Features = Float[Tensor, "b v c"]  # per-vertex channels on one level of the mesh hierarchy
