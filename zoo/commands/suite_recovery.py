"""Tables 3 and 4: hands recovered from conditions, the best of several hypotheses."""

from typing import Any

from zoo.commands.suite_generation import method_steps
from zoo.commands.suite_hands import Errors, HeldOut, errors, sampled
from zoo.commands.suite_progress import Progress
from zoo.commands.suite_table import Table, interval, of_paper, paper
from zoo.models.hhmr import HHMR

CALLED = {"image": "image", "skeleton2d": "2D joints", "skeleton3d": "3D joints"}
COUNTS = (1, 8, 16)
STEPS, MOST = (10, 25, 50), (8, 16, 32)
ABSENT = "no image branch"  # in these weights


def reconstruction(method: HHMR, hands: HeldOut, progress: Progress, seed: int = 0) -> Table:
    """Table 3: errors of the best of 1, 8 and 16 hypotheses.

    Args:
        method: With its weights.
        hands: Held-out ones.
        progress: Told of every hand.
        seed: Of the noise.
    """
    figures = paper()["hypotheses"]
    rows: list[dict[str, Any]] = []
    for name, called in CALLED.items():
        if name not in method.conditioner.names:
            rows += [
                {"given": called, "best of": n, "PA-MPJPE, mm": ABSENT, "paper": of_paper(figures[n])} for n in COUNTS
            ]
            continue
        bar = progress.bar(f"table 3, {called}", len(hands) * max(COUNTS) * method_steps(method))
        found = errors(sampled(method, hands, (name,), max(COUNTS), seed=seed, bar=bar), hands)
        bar.close()
        for n in COUNTS:
            joints, vertices = found.best(n)
            rows.append(
                {
                    "given": called,
                    "best of": n,
                    "PA-MPJPE, mm": interval(joints),
                    "PA-MPVPE, mm": interval(vertices),
                    "mean of all": interval(found.vertices[:, :n].mean(1)) if n > 1 else None,
                    "paper": of_paper(figures[n]) if name == "image" else None,
                }
            )
    columns = ("given", "best of", "PA-MPJPE, mm", "PA-MPVPE, mm", "mean of all", "paper")
    notes = [
        f"{len(hands)} hands of {hands.name}, {method_steps(method)} steps. Each hypothesis is aligned by a similarity "
        "(FreiHAND's, reflections allowed); of n, the one nearest to the truth counts, joints and vertices each for "
        "themselves. 'Mean of all': PA-MPVPE of a hypothesis that is picked blindly. Paper: MPJPE / MPVPE on FreiHAND."
    ]
    return Table(3, "Recovery: the best of n hypotheses", columns, rows, notes, len(hands))


def hypotheses(method: HHMR, hands: HeldOut, progress: Progress, seed: int = 0) -> Table:
    """Table 4: errors by steps and hypotheses, from the image, or from 2D joints where there is no image branch.

    Args:
        method: With its weights.
        hands: Held-out ones; a quarter of them is taken, for each is sampled 96 times.
        progress: Told of every hand.
        seed: Of the noise.
    """
    name = "image" if "image" in method.conditioner.names else "skeleton2d"
    hands, figures = hands.first(max(4, len(hands) // 4)), paper()["steps"]
    rows: list[dict[str, Any]] = []
    found: dict[int, Errors] = {}
    bar = progress.bar("table 4", len(hands) * max(MOST) * sum(STEPS))
    for steps in STEPS:
        found[steps] = errors(sampled(method, hands, (name,), max(MOST), steps=steps, seed=seed, bar=bar), hands)
    bar.close()
    first = found[STEPS[0]].best(MOST[0])[1]
    curves: dict[str, list[float]] = {}
    for steps in STEPS:
        for n in MOST:
            joints, vertices = found[steps].best(n)
            row: dict[str, Any] = {
                "steps": steps, "best of": n, "PA-MPJPE, mm": interval(joints), "PA-MPVPE, mm": interval(vertices),
                "change of PA-MPVPE": None if (steps, n) == (STEPS[0], MOST[0]) else interval(vertices - first),
                "paper": of_paper(figures[steps][n]),
            }  # fmt: skip
            rows.append(row)
            curves.setdefault(str(steps), []).append(row["PA-MPVPE, mm"].mean)
    spread = {s: float(e.vertices.std(1).nanmean()) for s, e in found.items()}
    columns = ("steps", "best of", "PA-MPJPE, mm", "PA-MPVPE, mm", "change of PA-MPVPE", "paper")
    notes = [
        f"{len(hands)} hands of {hands.name}, given {CALLED[name]}"
        + ("" if name == "image" else " (these weights have no image branch)")
        + f". Change: against {STEPS[0]} steps and {MOST[0]} hypotheses, on the same hands. Paper: MPJPE / MPVPE on "
        "FreiHAND, from the image. Spread of a hand's hypotheses (standard deviation of their PA-MPVPE): "
        + ", ".join(f"{value:.2f} mm at {steps} steps" for steps, value in spread.items())
        + "."
    ]
    data = {"n": list(MOST), "curves": curves, "paper": {str(s): [figures[s][n][1] for n in MOST] for s in STEPS}}
    return Table(4, "Steps and hypotheses", columns, rows, notes, len(hands), data)
