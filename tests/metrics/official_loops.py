"""FreiHAND's and HO3D's scores in plain numpy loops, written from the protocols' descriptions."""

import numpy as np
from freihand_formula import freihand as align


def errors(predicted, target):
    return np.array(
        [[np.sqrt(((p - t) ** 2).sum()) for p, t in zip(*pair, strict=True)] for pair in pairs(predicted, target)]
    )


def pairs(predicted, target):
    return [(np.asarray(p, np.float64), np.asarray(t, np.float64)) for p, t in zip(predicted, target, strict=True)]


def mean3d(error):
    return 100 * np.mean([np.mean(error[:, k]) for k in range(error.shape[1])])


def auc3d(error):
    thresholds = np.linspace(0, 0.05, 100)
    whole = np.trapezoid(np.ones_like(thresholds), thresholds)
    areas = []
    for k in range(error.shape[1]):
        correct = [np.mean(error[:, k] <= t) for t in thresholds]
        areas.append(np.trapezoid(correct, thresholds) / whole)
    return np.mean(areas)


def f_score(predicted, target, threshold):
    scores = []
    for p, t in pairs(predicted, target):
        apart = np.linalg.norm(p[:, None] - t[None], axis=-1)
        precision, recall = np.mean(apart.min(1) < threshold), np.mean(apart.min(0) < threshold)
        scores.append(2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0)
    return np.mean(scores)


def by_bone(predicted, target, root=0, end=4):
    moved = []
    for p, t in pairs(predicted, target):
        scaled = p * np.linalg.norm(t[end] - t[root]) / np.linalg.norm(p[end] - p[root])
        moved.append(scaled + t[root] - scaled[root])
    return np.array(moved)


def scores(joints, vertices, true_joints, true_vertices, ho3d=False):
    aligned_joints = np.array([align(t, p) for p, t in pairs(joints, true_joints)])
    aligned = np.array([align(t, p) for p, t in pairs(vertices, true_vertices)])
    named = {"xyz": (joints, true_joints), "mesh": (vertices, true_vertices), "mesh_al": (aligned, true_vertices)}
    named["xyz_procrustes_al" if ho3d else "xyz_al"] = (aligned_joints, true_joints)
    if ho3d:
        named["xyz_scale_trans_al"] = (by_bone(joints, true_joints), true_joints)
    found = {}
    for name, pair in named.items():
        found[f"{name}_mean3d"], found[f"{name}_auc3d"] = mean3d(errors(*pair)), auc3d(errors(*pair))
    for mm in (5, 15):
        found[f"f_score_{mm}"] = f_score(vertices, true_vertices, mm / 1000)
        found[f"f_al_score_{mm}"] = f_score(aligned, true_vertices, mm / 1000)
    return found
