"""Average precision of hands by object keypoint similarity (OKS), as COCO-WholeBody scores them.

Jin et al. 2020, after COCO's keypoint evaluation: in every image, hands that were found are matched to labelled ones,
the surest first; a match counts when its similarity reaches a threshold. What is matched to an ignored hand (a crowd,
a person without labels of this hand, a person of another size) counts neither way.
"""

from dataclasses import dataclass
from typing import Final, no_type_check

import numpy as np
from numba import njit
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

# Spread of people's labels, a part of the square root of the person's area, in SNAP-21 order.
SIGMAS: Final = (
    np.array([29, 22, 35, 37, 47, 26, 25, 24, 35, 18, 24, 22, 26, 17, 21, 21, 32, 20, 19, 22, 31], np.float64) / 1000
)
THRESHOLDS: Final = np.linspace(0.5, 0.95, 10)
RECALLS: Final = np.linspace(0, 1, 101)
MOST = 20  # hands an image that count, the surest
AREAS: Final = {"": (0.0, 1e10), "_medium": (32.0**2, 96.0**2), "_large": (96.0**2, 1e10)}  # pixels, of the person
_SOME = 1 << 15  # pairs compared at once


@dataclass(frozen=True)
class LabelledHands:
    """Hands of one side; one row a person, labelled or not.

    Args:
        image: (n,) number of the image.
        keypoints: (n, 21, 3) x, y in pixels and visibility; any positive visibility is a label.
        area: (n,) of the person, square pixels.
        box: (n, 4) left, top, width, height of the person, pixels.
        crowd: (n,) whether the row is a crowd, which anything may be matched to.
    """

    image: Integers
    keypoints: Numbers
    area: Numbers
    box: Numbers
    crowd: Flags


@dataclass(frozen=True)
class FoundHands:
    """Predicted hands of the same side.

    Args:
        image: (m,) number of the image.
        keypoints: (m, 21, 3) x, y in pixels and confidence; a row without a positive confidence is no hand.
        score: (m,) the higher, the surer.
        area: (m,) of the person, square pixels; NaN where unknown: then a wrong hand counts for people of every size.
    """

    image: Integers
    keypoints: Numbers
    score: Numbers
    area: Numbers


def similarity(found: Numbers, labelled: Numbers, area: Numbers, box: Numbers) -> Numbers:
    """OKS: the mean over labelled keypoints of exp(-d^2 / (2 (2 sigma)^2 area)).

    Of a person without labels of this hand, d is how far a point is outside of the box, doubled to each side.

    Args:
        found: (n, 21, 2) pixels.
        labelled: (n, 21, 3) x, y in pixels and visibility.
        area: (n,) of the person, square pixels.
        box: (n, 4) left, top, width, height of the person, pixels.

    Returns:
        (n,) from 0 to 1.
    """
    visible = labelled[..., 2] > 0
    known = np.asarray(visible.any(-1))[:, None]
    low, high = (box[:, :2] - box[:, 2:])[:, None], (box[:, :2] + 2 * box[:, 2:])[:, None]
    outside = np.maximum(low - found, 0) + np.maximum(found - high, 0)
    offset = np.where(known[..., None], found - labelled[..., :2], outside)
    error = np.square(offset).sum(-1) / np.square(2 * SIGMAS) / (area[:, None] + np.spacing(1)) / 2
    counted = visible | ~known
    return (np.exp(-error) * counted).sum(-1) / counted.sum(-1)


def hand_precision(labelled: LabelledHands, found: FoundHands) -> dict[str, float]:
    """Average precision and recall of one side, from 0 to 1.

    Args:
        labelled: Every person of the images.
        found: The predicted hands; at most 20 an image count. Images that no person is labelled in count too.

    Returns:
        `ap` and `ar`, means over the thresholds 0.5, 0.55 ... 0.95; at one of them `ap50`, `ap75`, `ar50`, `ar75`; of
        people of 32^2 to 96^2 pixels `ap_medium`, `ar_medium`, and of larger ones `ap_large`, `ar_large`. NaN where no
        hand is labelled.
    """
    real = (found.keypoints[..., 2] > 0).any(-1)
    kept = np.flatnonzero(real)[np.lexsort((-found.score[real], found.image[real]))]
    starts = np.searchsorted(found.image[kept], found.image[kept])
    kept = kept[np.arange(len(kept)) - starts < MOST]
    people = np.argsort(labelled.image, kind="stable")
    pairs = _Pairs(labelled, found, people, kept)
    unlabelled = ~(labelled.keypoints[people, :, 2] > 0).any(-1)
    scores: dict[str, float] = {}
    for name, (least, most) in AREAS.items():
        area = labelled.area[people]
        ignored = labelled.crowd[people] | unlabelled | (area < least) | (area > most)
        matched, excused = pairs.match(ignored, labelled.crowd[people])
        beyond = (found.area[kept] < least) | (found.area[kept] > most)
        excused |= ~matched & beyond
        surest = np.argsort(-found.score[kept], kind="stable")
        precision, recall = _curves(matched[:, surest], excused[:, surest], int((~ignored).sum()))
        scores |= {f"ap{name}": float(precision.mean()), f"ar{name}": float(recall.mean())}
        if not name:
            for percent, row in ((50, 0), (75, 5)):
                scores |= {f"ap{percent}": float(precision[row]), f"ar{percent}": float(recall[row])}
    return scores


class _Pairs:
    """Every found with every labelled hand of its image, and how similar they are."""

    def __init__(self, labelled: LabelledHands, found: FoundHands, people: Integers, kept: Integers) -> None:
        self.images = labelled.image[people]
        self.first = np.searchsorted(self.images, found.image[kept])  # of the people in the image of each found hand
        self.counts = np.searchsorted(self.images, found.image[kept], "right") - self.first
        self.places = np.concatenate(([0], np.cumsum(self.counts)))
        hand = np.repeat(np.arange(len(kept)), self.counts)
        person = np.arange(len(hand)) - self.places[hand] + self.first[hand]
        self.similar = np.empty(len(hand))
        for start in range(0, len(hand), _SOME):
            some = slice(start, start + _SOME)
            rows = people[person[some]]
            self.similar[some] = similarity(
                found.keypoints[kept[hand[some]], :, :2],
                labelled.keypoints[rows],
                labelled.area[rows],
                labelled.box[rows],
            )

    def match(self, ignored: Flags, crowd: Flags) -> tuple[Flags, Flags]:
        """(thresholds, found) whether a hand is matched, and whether to an ignored one."""
        order = np.lexsort((ignored, self.images))  # those that count come first, each image by itself
        matched = np.zeros((len(THRESHOLDS), len(self.first)), np.bool_)
        excused = np.zeros_like(matched)
        _match(self.similar, self.places, self.first, self.counts, order, ignored, crowd, THRESHOLDS, matched, excused)
        return matched, excused


@njit(cache=True, nogil=True)
@no_type_check
def _match(similar, places, first, counts, order, ignored, crowd, thresholds, matched, excused):
    for t in range(len(thresholds)):
        taken = np.zeros(len(order), np.bool_)
        for hand in range(len(first)):
            best, partner = min(thresholds[t], 1 - 1e-10), -1
            for place in range(first[hand], first[hand] + counts[hand]):
                person = order[place]
                if taken[person] and not crowd[person]:
                    continue
                if partner >= 0 and not ignored[partner] and ignored[person]:
                    break  # a match that counts is not given up for one that does not
                value = similar[places[hand] + person - first[hand]]
                if value >= best:
                    best, partner = value, person
            if partner >= 0:
                matched[t, hand], excused[t, hand], taken[partner] = True, ignored[partner], True


def _curves(matched: Flags, excused: Flags, total: int) -> tuple[Numbers, Numbers]:
    """Precision, averaged over 101 recalls, and the recall that is reached, each (thresholds,)."""
    if not total:
        return np.full(len(matched), np.nan), np.full(len(matched), np.nan)
    right, wrong = (matched & ~excused).cumsum(1), (~matched & ~excused).cumsum(1)
    recall = right / total
    precision = right / (right + wrong + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    envelope = np.concatenate((envelope, np.zeros((len(matched), 1))), axis=1)  # recalls that are not reached
    reached = [row[np.searchsorted(rises, RECALLS)].mean() for row, rises in zip(envelope, recall, strict=True)]
    return np.array(reached), recall[:, -1] if recall.shape[1] else np.zeros(len(matched))
