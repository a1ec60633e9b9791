"""InterHand2.6M's three averages in plain loops over lists, written from the protocols' descriptions.

Joints (n, 2, 21, 3) by side, left first, SNAP-21; meshes (n, 2, 778, 3); metres in, millimetres out.
"""

import numpy as np

LEFT, RIGHT, WRIST, KNUCKLE = 0, 1, 0, 9


def norm(vector):
    return float(np.sqrt((np.asarray(vector, np.float64) ** 2).sum()))


def joint_lists(predicted, target, valid, interacting):
    lists = {"single": [[] for _ in range(42)], "interacting": [[] for _ in range(42)]}
    for i in range(len(predicted)):
        kind = "interacting" if interacting[i] else "single"
        for side in (LEFT, RIGHT):
            for j in range(21):
                if valid[i, side, j] and valid[i, side, WRIST]:
                    p = predicted[i, side, j] - predicted[i, side, WRIST]
                    t = target[i, side, j] - target[i, side, WRIST]
                    lists[kind][21 * side + j].append(norm(p - t))
    return lists


def mean_of_means(lists):
    means = [np.mean(values) for values in lists if values]
    return 1000 * np.mean(means) if means else None


def mpjpe(predicted, target, valid, interacting, pooled):
    lists = joint_lists(predicted, target, valid, interacting)
    together = (
        [a + b for a, b in zip(*lists.values(), strict=True)] if pooled else [*lists["single"], *lists["interacting"]]
    )
    return {name: mean_of_means(values) for name, values in {**lists, "all": together}.items()}


def mpvpe(predicted, target, wrists, true_wrists, valid, interacting):
    lists = {"single": [], "interacting": []}
    for i in range(len(predicted)):
        for side in (LEFT, RIGHT):
            if valid[i, side]:
                p, t = predicted[i, side] - wrists[i, side], target[i, side] - true_wrists[i, side]
                lists["interacting" if interacting[i] else "single"].append(np.mean([norm(v) for v in p - t]))
    return {
        name: 1000 * np.mean(v) if v else None
        for name, v in {**lists, "all": [*lists["single"], *lists["interacting"]]}.items()
    }


def rrve(predicted, target, wrists, true_wrists, way, true_way, valid):
    errors = []
    for i in range(len(predicted)):
        if valid[i]:
            both = []
            for mesh, wrist, moved in ((predicted, wrists, way), (target, true_wrists, true_way)):
                both.append(
                    np.concatenate([mesh[i, RIGHT] - wrist[i, RIGHT], mesh[i, LEFT] - wrist[i, LEFT] + moved[i]])
                )
            errors.append(np.mean([norm(v) for v in both[0] - both[1]]))
    return 1000 * np.mean(errors)


def middle_bone(predicted, target, joints, true_joints, valid):
    sides = []
    for side in (LEFT, RIGHT):
        errors = []
        for i in range(len(predicted)):
            if valid[i, side]:
                bone = norm(joints[i, side, KNUCKLE] - joints[i, side, WRIST])
                true_bone = norm(true_joints[i, side, KNUCKLE] - true_joints[i, side, WRIST])
                p = (predicted[i, side] - joints[i, side, KNUCKLE]) * true_bone / bone
                errors += [norm(v) for v in p - (target[i, side] - true_joints[i, side, KNUCKLE])]
        sides.append(1000 * np.mean(errors))
    return {"left": sides[0], "right": sides[1], "mean": np.mean(sides)}
