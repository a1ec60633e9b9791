"""An HHMR small enough to sample in milliseconds."""

YAML = """class_path: zoo.models.HHMR
init_args:
  conditioner:
    class_path: zoo.encoders.HandConditioner
    init_args:
      skeleton2d: {class_path: Skeleton2D, init_args: {dim: 8, hidden: 16}}
      skeleton3d: {class_path: Skeleton3D, init_args: {dim: 8, hidden: 16}}
  denoiser:
    class_path: MeshUNet
    init_args:
      {sizes: [24], widths: [4, 8], blocks: 1, heads: 1, self_attention: [1], cross_attention: [1],
       condition: 8, time: 8}
  sampler: {class_path: DDIM, init_args: {steps: 2}}
"""
