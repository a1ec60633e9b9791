"""FreiHAND's alignment in numpy and scipy, to hold ours against."""

import numpy as np
from scipy.linalg import orthogonal_procrustes


def freihand(target, predicted):
    """FreiHAND's alignment (Zimmermann et al. 2019), written from its description."""
    mean = target.mean(0)
    a, b = target - mean, predicted - predicted.mean(0)
    size_a, size_b = np.linalg.norm(a) + 1e-8, np.linalg.norm(b) + 1e-8
    rotation, scale = orthogonal_procrustes(a / size_a, b / size_b)
    return (b / size_b) @ rotation.T * scale * size_a + mean
