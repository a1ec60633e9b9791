"""Rotations as matrices, axis-angle, quaternions (w, x, y, z) and six numbers, stable everywhere.

Half precision is lifted to float32. Products are sums, not `@`: autocast would round a matrix product to 8 bits.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

AxisAngle = Float[Tensor, "*b 3"]  # radians: direction is the axis, length the angle
Matrix = Float[Tensor, "*b 3 3"]
Rot6d = Float[Tensor, "*b 6"]  # first column, then second column of the matrix
Quaternion = Float[Tensor, "*b 4"]  # w, x, y, z

SMALL = 1e-4  # squared angle under which series replace quotients; their error is below float64's resolution


def axis_angle_to_matrix(axis_angle: AxisAngle) -> Matrix:
    """Rodrigues' formula; smooth at zero.

    Args:
        axis_angle: Radians.

    Returns:
        Rotation matrices.
    """
    axis_angle = _full(axis_angle)
    square = axis_angle.square().sum(-1)
    small = square < SMALL
    angle = torch.where(small, 1.0, square).sqrt()
    a = torch.where(small, 1 - square / 6 + square.square() / 120, angle.sin() / angle)
    b = torch.where(small, 0.5 - square / 24 + square.square() / 720, 2 * ((angle / 2).sin() / angle).square())
    x, y, z = axis_angle.unbind(-1)
    ax, ay, az = a * x, a * y, a * z
    bx, by, bz = b * x, b * y, b * z
    rows = (
        *(1 - by * y - bz * z, bx * y - az, bx * z + ay),
        *(bx * y + az, 1 - bx * x - bz * z, by * z - ax),
        *(bx * z - ay, by * z + ax, 1 - bx * x - by * y),
    )
    return torch.unflatten(torch.stack(rows, -1), -1, (3, 3))


def left_jacobian(axis_angle: AxisAngle) -> Matrix:
    """How a rotation turns when its vector changes: `exp(a + d) = exp(J(a) d) exp(a)` for small d.

    Args:
        axis_angle: Radians; smooth at zero.

    Returns:
        Matrices J.
    """
    axis_angle = _full(axis_angle)
    square = axis_angle.square().sum(-1)
    small = square < SMALL
    angle = torch.where(small, 1.0, square).sqrt()
    a = torch.where(small, 0.5 - square / 24, 2 * ((angle / 2).sin() / angle).square())[..., None, None]
    b = torch.where(small, 1 / 6 - square / 120, (angle - angle.sin()) / angle**3)[..., None, None]
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.unflatten(torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1), -1, (3, 3))
    return torch.eye(3).to(cross) + a * cross + b * compose(cross, cross)


def matrix_to_quaternion(matrix: Matrix) -> Quaternion:
    """Unit quaternions with w >= 0, by the best of four formulas, so that no division is small.

    Args:
        matrix: Rotation matrices.

    Returns:
        Quaternions (w, x, y, z).
    """
    m = _full(matrix).flatten(-2)
    xx, xy, xz, yx, yy, yz, zx, zy, zz = m.unbind(-1)
    # Row i is 4 q_i q; the longest row is well away from zero for every rotation.
    rows = (
        *(1 + xx + yy + zz, zy - yz, xz - zx, yx - xy),
        *(zy - yz, 1 + xx - yy - zz, yx + xy, zx + xz),
        *(xz - zx, yx + xy, 1 - xx + yy - zz, zy + yz),
        *(yx - xy, zx + xz, zy + yz, 1 - xx - yy + zz),
    )
    scaled = torch.unflatten(torch.stack(rows, -1), -1, (4, 4))
    best = scaled.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None]
    quaternion = F.normalize(torch.take_along_dim(scaled, best, -2).squeeze(-2), dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def quaternion_to_matrix(quaternion: Quaternion) -> Matrix:
    """Rotation matrices of quaternions, which need not have unit length.

    Args:
        quaternion: (w, x, y, z), not zero.

    Returns:
        Rotation matrices.
    """
    w, x, y, z = F.normalize(_full(quaternion), dim=-1).unbind(-1)
    rows = (
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.unflatten(torch.stack(rows, -1), -1, (3, 3))


def matrix_to_axis_angle(matrix: Matrix) -> AxisAngle:
    """The rotation vector of length 0 to pi; at pi exactly either of the two signs.

    Args:
        matrix: Rotation matrices.

    Returns:
        Radians.
    """
    quaternion = matrix_to_quaternion(matrix)
    w, v = quaternion[..., :1], quaternion[..., 1:]
    square = v.square().sum(-1, keepdim=True)
    small = square < SMALL
    length = torch.where(small, 1.0, square).sqrt()
    ratio = square / torch.where(small, w, 1.0).square()
    series = 2 / torch.where(small, w, 1.0) * (1 - ratio / 3 + ratio.square() / 5 - ratio.square() * ratio / 7)
    return v * torch.where(small, series, 2 * torch.atan2(length, w) / length)


def matrix_to_rot6d(matrix: Matrix) -> Rot6d:
    """The first two columns, one after the other (Zhou et al. 2019).

    Args:
        matrix: Rotation matrices.

    Returns:
        Six numbers, free of jumps.
    """
    return matrix[..., :2].mT.flatten(-2)


def rot6d_to_matrix(rot6d: Rot6d) -> Matrix:
    """Makes two columns orthonormal and adds the third (Gram-Schmidt, Zhou et al. 2019).

    Args:
        rot6d: Two columns of three, any length, not parallel.

    Returns:
        Rotation matrices, float32 or better.
    """
    first, second = torch.unflatten(_full(rot6d), -1, (2, 3)).unbind(-2)
    x = F.normalize(first, dim=-1)
    y = F.normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack((x, y, torch.linalg.cross(x, y)), -1)


def compose(a: Float[Tensor, "*#b 3 3"], b: Float[Tensor, "*#b 3 3"]) -> Float[Tensor, "... 3 3"]:
    """The product `a @ b`, never rounded by autocast.

    Args:
        a: Applied second.
        b: Applied first.

    Returns:
        Rotation matrices.
    """
    return (_full(a).unsqueeze(-1) * _full(b).unsqueeze(-3)).sum(-2)


def interpolate(a: Matrix, b: Matrix, t: float | Float[Tensor, "*#b"]) -> Matrix:
    """Spherical linear interpolation along the shortest turn.

    Args:
        a: Where t is 0.
        b: Where t is 1.
        t: Position, usually between 0 and 1.

    Returns:
        Rotation matrices.
    """
    turn = matrix_to_axis_angle(compose(a.mT, b))
    return compose(a, axis_angle_to_matrix(turn * (t[..., None] if isinstance(t, Tensor) else t)))


def mirror_rotations(matrix: Matrix) -> Matrix:
    """The same rotations seen in a mirror at x = 0: (x, y, z) becomes (x, -y, -z) as axis-angle. Swaps left and right.

    Args:
        matrix: Rotation matrices.

    Returns:
        Rotation matrices.
    """
    sign = matrix.new_tensor([-1.0, 1.0, 1.0])
    return matrix * sign * sign[:, None]


def random_rotations(
    n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "n 3 3"]:
    """Uniformly distributed rotations (Shoemake 1992), on the generator's device.

    Args:
        n: How many.
        generator: Source of randomness.
        dtype: Of the result.

    Returns:
        Rotation matrices.
    """
    device = generator.device if generator is not None else None
    return quaternion_to_matrix(torch.randn(n, 4, generator=generator, device=device, dtype=dtype))


def _full(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
