"""Table 1: hands from nothing and hands with a part missing, against a PCA prior."""

from typing import Any

import torch
from torch import Tensor

from zoo.batch import Given
from zoo.commands.suite_hands import HeldOut, sampled, two_fingers, without_fingers
from zoo.commands.suite_progress import Progress
from zoo.commands.suite_table import Interval, Table, difference, interval, of_paper, pair_means, pairs_interval, paper
from zoo.commands.tasks.generate import patient
from zoo.guidance import Guidance, KnownPart
from zoo.hands.model import HandModel
from zoo.hands.pca import PCAPrior
from zoo.hands.pca_inpainting import complete
from zoo.hands.skeleton import WRIST
from zoo.metrics.geometry import MILLIMETRES
from zoo.metrics.intersection import self_intersections
from zoo.models.hhmr import HHMR

COMPLETIONS = 8
BLEND = 4  # rings of vertices over which the seam of the known part fades, as in `sample --task inpaint`
PALM = [0, 5, 9, 13, 17]  # wrist and the four knuckles at the bases of the fingers
FINGER_PARTS = ((13, 14, 15), (1, 2, 3), (4, 5, 6), (10, 11, 12), (7, 8, 9))  # thumb to little, in MANO's joints
SHOWN = 24  # hands in a picture


def generation(method: HHMR, hands: HeldOut, progress: Progress, seed: int = 0) -> Table:
    """APD and SI of generated hands and of completions.

    Args:
        method: With its weights.
        hands: Held-out ones: as many are generated, and a quarter of them is completed.
        progress: Told of every hand.
        seed: Of the noise.
    """
    free, free_data = _generated(method, hands, progress, seed)
    done, done_data = _completed(method, hands.first(max(4, len(hands) // 4)), progress, seed)
    columns = ("task", "method", "APD, mm", "SI, %", "known part, mm", "paper")
    notes = [
        f"{len(hands)} generated hands; {done_data['hands']} held-out hands with two fingers missing, {COMPLETIONS} "
        "completions each. APD: mean distance of corresponding vertices over pairs of hands whose palms were laid on "
        "each other (generation; a PCA of finger poses has no orientation of its own) or as they are (inpainting, "
        "within each hand, known part included). Ours completes as `sample --task inpaint` does: the joints that are "
        "left as the condition, known vertices kept at every step. Known part: how far it is off. "
        "Generated as `sample --task generate` does, in 100 steps or more, completed in the model's own. SI: faces "
        "that pass through a face with which they share no vertex. The PCA prior has the mean and the deviations of "
        "the data's own poses, so that its APD "
        "is theirs by construction, and more than the held-out hands' is no merit. Paper: APD / SI; it gives no unit "
        "for APD."
    ]
    return Table(
        1, "Generation and inpainting", columns, free + done, notes, len(hands), {**free_data, **done_data}
    )  # fmt: skip


def _generated(
    method: HHMR, hands: HeldOut, progress: Progress, seed: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    figures = paper()["generation"]["generation"]
    prior = PCAPrior(method.hand)
    generator = torch.Generator().manual_seed(seed)
    usual, method.sampler = method.sampler, patient(method.sampler)  # as `sample --task generate`
    bar = progress.bar("table 1, generation", len(hands) * method_steps(method))
    ours = sampled(method, hands, (), seed=seed, bar=bar, given=lambda _: {})["vertices"][:, 0]
    bar.close()
    method.sampler = usual
    sets = {"PCA prior": prior.sample(len(hands), generator), "ours": ours, "held-out hands": hands.vertices}
    apart = {name: distances_between(palms_together(x, method.hand)) for name, x in sets.items()}
    crossing = {name: crossing_percent(x, method.hand) for name, x in sets.items()}
    rows: list[dict[str, Any]] = [
        {
            "task": "generation",
            "method": name,
            "APD, mm": pairs_interval(apart[name]),
            "SI, %": interval(crossing[name]),
            "paper": of_paper(figures.get({"PCA prior": "pca", "ours": "ours"}.get(name, ""))),
        }
        for name in sets
    ]
    more = difference(
        rows[1]["APD, mm"].mean - rows[0]["APD, mm"].mean,
        pair_means(apart["ours"], 1) - pair_means(apart["PCA prior"], 2),
    )
    less = _apart(crossing["ours"], crossing["PCA prior"])
    rows.append({"task": "generation", "method": "ours - PCA", "APD, mm": more, "SI, %": less})
    return rows, {"generated": {name: x[:SHOWN].tolist() for name, x in sets.items()}}


def _completed(
    method: HHMR, hands: HeldOut, progress: Progress, seed: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    figures = paper()["generation"]["inpainting"]
    hidden = two_fingers(hands)
    known = known_vertices(hidden, method.hand)
    bar = progress.bar("table 1, inpainting", len(hands) * COMPLETIONS * method_steps(method))
    start = int(hands.batch["index"][0])

    def visible(part: HeldOut) -> Given:
        if "skeleton3d" not in method.conditioner.names:
            return Given()
        return without_fingers(part.given("skeleton3d"), two_fingers(part))

    def keep(part: HeldOut) -> list[Guidance]:
        row = int(part.batch["index"][0]) - start
        mask = known[row : row + len(part)]
        return [KnownPart(part.vertices, mask, method.scale, BLEND, method.hand.faces)]

    ours = sampled(method, hands, (), COMPLETIONS, guide=keep, seed=seed, bar=bar, given=visible)["vertices"]
    bar.close()
    prior = PCAPrior(method.hand)
    generator = torch.Generator().manual_seed(seed)
    sets = {"PCA prior": complete(prior, hands.vertices, known, COMPLETIONS, generator), "ours": ours}
    diverse = {name: torch.stack([_mean_pair(distances_between(x)) for x in found]) for name, found in sets.items()}
    crossing = {
        name: crossing_percent(x.flatten(0, 1), method.hand).view(x.shape[:2]).mean(1) for name, x in sets.items()
    }
    rows: list[dict[str, Any]] = [
        {
            "task": "inpainting",
            "method": name,
            "APD, mm": interval(diverse[name]),
            "SI, %": interval(crossing[name]),
            "known part, mm": _off(found, hands, known),
            "paper": of_paper(figures["pca" if name == "PCA prior" else "ours"]),
        }
        for name, found in sets.items()
    ]
    rows.append(
        {
            "task": "inpainting",
            "method": "ours - PCA",
            "APD, mm": interval(diverse["ours"] - diverse["PCA prior"]),
            "SI, %": interval(crossing["ours"] - crossing["PCA prior"]),
        }
    )
    shown = {name: found[: SHOWN // 4, :4].flatten(0, 1).tolist() for name, found in sets.items()}
    return rows, {"completed": shown, "hands": len(hands)}


def method_steps(method: HHMR) -> int:
    """Network calls a sample."""
    return int(getattr(method.sampler, "steps", None) or method.schedule.steps)


def known_vertices(hidden: Tensor, hand: HandModel) -> Tensor:
    """(b, 778) the vertices of no hidden finger.

    Args:
        hidden: (b, 5) thumb to little finger.
        hand: Knows which joint a vertex moves with.
    """
    finger = torch.stack([torch.isin(hand.parts, hand.parts.new_tensor(parts)) for parts in FINGER_PARTS])
    return ~(hidden[:, :, None] & finger.to(hidden.device)).any(1)


def palms_together(vertices: Tensor, hand: HandModel) -> Tensor:
    """Hands turned and moved, not scaled, so that their palms lie on the resting hand's; wrists at the origin."""
    points = hand.regress(vertices)
    points = points[:, PALM] - points[:, [WRIST]]
    rest = hand.regress(hand.template[None])[:, PALM]
    rest = (rest - rest[:, :1]).to(points)
    u, _, vh = torch.linalg.svd(points.double().mT @ rest.double())
    sign = torch.linalg.det(u @ vh).sign()
    middle = torch.diag_embed(torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign], -1))
    turn = (u @ middle @ vh).to(points.dtype)
    return (vertices - hand.regress(vertices)[:, [WRIST]]) @ turn


def distances_between(vertices: Tensor) -> Tensor:
    """(b, b) mean distance of corresponding vertices, millimetres."""
    return MILLIMETRES * torch.stack([(vertices - one).norm(dim=-1).mean(-1) for one in vertices])


def crossing_percent(vertices: Tensor, hand: HandModel) -> Tensor:
    """(b,) percentage of faces that pass through others; NaN for hands that are not finite."""
    sound = vertices.isfinite().flatten(1).all(1)
    found = self_intersections(torch.where(sound[:, None, None], vertices, 0.0), hand.faces)
    return torch.where(sound.cpu(), 100 * found.float().mean(-1), torch.nan)


def _off(found: Tensor, hands: HeldOut, known: Tensor) -> float:
    apart = (found - hands.vertices[:, None]).norm(dim=-1)
    each = (apart * known[:, None]).sum(-1) / known.sum(-1)[:, None]
    return MILLIMETRES * float(each.nanmean())


def _mean_pair(apart: Tensor) -> Tensor:
    return apart.sum() / (len(apart) * (len(apart) - 1))


def _apart(a: Tensor, b: Tensor) -> Interval:
    """The difference of the means of two unpaired sets."""
    from zoo.commands.suite_table import drawn

    a, b = (x[x.isfinite()].double().cpu() for x in (a, b))
    return difference(float(a.mean() - b.mean()), a[drawn(len(a), 1)].mean(-1) - b[drawn(len(b), 2)].mean(-1))
