"""FID and KID of pictures, and of the hands in them: how far made pictures are from real ones as a set.

Heusel et al. 2017 (FID), Bińkowski et al. 2018 (KID). The numbers are torchmetrics' to rounding; the statistics are our
own because those need a network that downloads its weights, and keep every feature of every picture for KID.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

from zoo.metrics.extractors import Extractor
from zoo.metrics.hand_crops import Boxes, HandCrops
from zoo.shapes import Images, Scalar

Features = Float[Tensor, "b d"]
WHOLE = "whole pictures"


class SetDistance(Metric, ABC):
    """How far a set of made pictures is from a set of real ones, in the eyes of an extractor.

    Args:
        extractor: Pictures to features. Its name belongs to the number.
    """

    higher_is_better = False
    is_differentiable = False
    real_count: Tensor
    made_count: Tensor

    def __init__(self, extractor: Extractor) -> None:
        super().__init__(compute_with_cache=False)  # `add` does not empty the cache
        self.extractor = extractor

    @abstractmethod
    def add(self, features: Features, real: bool) -> None:
        """Takes features that are there already, so that several numbers cost one look at the pictures."""

    @property
    @abstractmethod
    def rule(self) -> str:
        """How the number came about: what was cut out, the extractor, how many pictures. Stands with it."""

    def looked(self, real: bool, images: Images) -> None:
        """Extracts and adds. A batch without pictures is fine: processes may have nothing."""
        if len(images):
            self.add(self.extractor(images), real)

    def counts(self) -> tuple[int, int]:
        """Real and made pictures or crops so far, of all processes where they are joined."""
        return int(self.real_count.sum()), int(self.made_count.sum())

    def _said(self, what: str) -> str:
        real, made = self.counts()
        return f"{what}; {real} real, {made} made; {self.extractor.about.rstrip('.')}"


class Frechet(SetDistance, ABC):
    """Fréchet distance of two Gaussians: |m_r - m_g|² + tr(S_r + S_g - 2 (S_r S_g)^½)."""

    full_state_update = False
    real_sum: Tensor
    real_outer: Tensor
    made_sum: Tensor
    made_outer: Tensor

    def __init__(self, extractor: Extractor) -> None:
        super().__init__(extractor)
        d = extractor.num_features
        for name in ("real", "made"):
            self.add_state(f"{name}_sum", torch.zeros(d, dtype=torch.double), dist_reduce_fx="sum")
            self.add_state(f"{name}_outer", torch.zeros(d, d, dtype=torch.double), dist_reduce_fx="sum")
            self.add_state(f"{name}_count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def add(self, features: Features, real: bool) -> None:
        rows = features.double()
        if real:
            self.real_sum += rows.sum(0)
            self.real_outer += rows.mT @ rows
            self.real_count += len(rows)
        else:
            self.made_sum += rows.sum(0)
            self.made_outer += rows.mT @ rows
            self.made_count += len(rows)

    def compute(self) -> Scalar:
        """NaN with fewer than two pictures of a kind."""
        if min(self.counts()) < 2:
            return self.real_sum.new_tensor(torch.nan)
        real_mean, real = gaussian(self.real_sum, self.real_outer, self.real_count)
        made_mean, made = gaussian(self.made_sum, self.made_outer, self.made_count)
        return frechet(real_mean, real, made_mean, made)

    def _frechet_rule(self, what: str) -> str:
        few = min(self.counts())
        d = self.extractor.num_features
        warned = f"; fewer than the {d} features, so the number is far too large and fits none of another count"
        return self._said(what) + (warned if few <= d else "")


class FID(Frechet):
    """Fréchet distance of whole pictures."""

    def update(self, images: Images, real: bool) -> None:
        self.looked(real, images)

    @property
    def rule(self) -> str:
        return self._frechet_rule(WHOLE)


class FIDH(Frechet):
    """Fréchet distance of the hands that are cut out of pictures: FID-H.

    Args:
        extractor: Crops to features.
        crops: How they are cut.
    """

    def __init__(self, extractor: Extractor, crops: HandCrops = HandCrops()) -> None:  # noqa: B008 - frozen
        super().__init__(extractor)
        self.crops = crops

    def update(self, images: Images, real: bool, boxes: Sequence[Boxes]) -> None:
        self.looked(real, self.crops(images, boxes, self.extractor.side))

    @property
    def rule(self) -> str:
        return self._frechet_rule(self.crops.rule)


class KernelDistance(NamedTuple):
    """Mean and standard deviation over subsets."""

    mean: Scalar
    std: Scalar


class Kernel(SetDistance, ABC):
    """Unbiased squared maximum mean discrepancy under (x·y/d + 1)³, mean over random subsets.

    Args:
        extractor: Pictures to features.
        subsets: How many are drawn; always the same ones for the same features.
        size: Pictures of a subset. With fewer pictures of a kind it is half of them, and the rule says so.
        limit: Features kept of a kind in every process: a fair draw (reservoir) of all that come.
    """

    full_state_update = True  # what is kept of a batch is not what could be added to the others
    real_kept: Tensor
    made_kept: Tensor

    def __init__(self, extractor: Extractor, subsets: int = 100, size: int = 1000, limit: int = 10_000) -> None:
        super().__init__(extractor)
        if subsets < 1 or size < 2 or limit < 2:
            raise ValueError(
                f"KID got subsets={subsets}, size={size}, limit={limit}. A subset needs two pictures: give at least "
                "subsets=1, size=2, limit=2."
            )
        self.subsets, self.size, self.limit = subsets, size, limit
        for name in ("real", "made"):
            # Buffers of fixed size, so that processes with fewer pictures, or with none, can gather too.
            self.add_state(f"{name}_kept", torch.zeros(limit, extractor.num_features), dist_reduce_fx=None)
            self.add_state(f"{name}_count", torch.zeros((), dtype=torch.long), dist_reduce_fx=None)

    def add(self, features: Features, real: bool) -> None:
        kept, count = (self.real_kept, self.real_count) if real else (self.made_kept, self.made_count)
        start = int(count)
        direct = min(len(features), max(0, self.limit - start))
        kept[start : start + direct] = features[:direct].float()
        if direct < len(features):  # Vitter's algorithm R: picture i replaces a kept one with chance limit / (i + 1)
            places = {}
            for row in range(direct, len(features)):
                number = start + row
                place = int(np.random.default_rng(number).integers(number + 1))  # the same in batches of any size
                if place < self.limit:
                    places[place] = row  # of two in one batch the later one stays, as it would one by one
            if places:
                kept[list(places)] = features[list(places.values())].float()
        count += len(features)

    def compute(self) -> KernelDistance:
        """NaN with fewer than two pictures of a kind."""
        real, made = self._gathered(self.real_kept, self.real_count), self._gathered(self.made_kept, self.made_count)
        size = subset_size(self.size, len(real), len(made))
        if not size:
            nan = self.real_kept.new_tensor(torch.nan)
            return KernelDistance(nan, nan)
        generator = torch.Generator().manual_seed(0)
        found = []
        for _ in range(self.subsets):
            one, other = (
                rows[torch.randperm(len(rows), generator=generator)[:size].to(rows.device)] for rows in (real, made)
            )
            found.append(squared_mmd(one, other))
        values = torch.stack(found)
        return KernelDistance(values.mean(), values.std(correction=0))

    def _gathered(self, kept: Tensor, count: Tensor) -> Features:
        buffers = kept.view(-1, self.limit, kept.shape[-1])
        return torch.cat([rows[:n] for rows, n in zip(buffers, count.view(-1).tolist(), strict=True)])

    def _kernel_rule(self, what: str) -> str:
        real, made = self.counts()
        size = subset_size(self.size, real, made)
        said = f"; unbiased, mean of {self.subsets} subsets of {size}"
        if size != self.size:
            said += f" instead of {self.size}, for there are only {min(real, made)}"
        if max(real, made) > self.limit:
            said += f", drawn from {self.limit} of them kept in every process"
        return self._said(what) + said


class KID(Kernel):
    """Kernel distance of whole pictures."""

    def update(self, images: Images, real: bool) -> None:
        self.looked(real, images)

    @property
    def rule(self) -> str:
        return self._kernel_rule(WHOLE)


class KIDH(Kernel):
    """Kernel distance of the hands that are cut out of pictures: KID-H.

    Args:
        extractor: Crops to features.
        crops: How they are cut.
        subsets: As for `Kernel`.
        size: As for `Kernel`.
        limit: As for `Kernel`.
    """

    def __init__(
        self,
        extractor: Extractor,
        crops: HandCrops = HandCrops(),  # noqa: B008 - frozen
        subsets: int = 100,
        size: int = 1000,
        limit: int = 10_000,
    ) -> None:
        super().__init__(extractor, subsets, size, limit)
        self.crops = crops

    def update(self, images: Images, real: bool, boxes: Sequence[Boxes]) -> None:
        self.looked(real, self.crops(images, boxes, self.extractor.side))

    @property
    def rule(self) -> str:
        return self._kernel_rule(self.crops.rule)


def gaussian(total: Tensor, outer: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d) from sums over at least two rows."""
    mean = total / count
    return mean, (outer - count * torch.outer(mean, mean)) / (count - 1)


def frechet(
    mean_a: Float[Tensor, " d"], cov_a: Float[Tensor, "d d"], mean_b: Float[Tensor, " d"], cov_b: Float[Tensor, "d d"]
) -> Scalar:
    """Squared Fréchet distance of two Gaussians.

    (A B)^½ has the trace of (A^½ B A^½)^½, which is symmetric: faster than the eigenvalues of A B, and never complex.
    """
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.mT
    middle = root @ cov_b @ root
    shared = torch.linalg.eigvalsh((middle + middle.mT) / 2).clamp_min(0).sqrt().sum()
    distance = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * shared
    return distance.clamp_min(0)  # below it only by rounding


def squared_mmd(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> Scalar:
    """Unbiased squared maximum mean discrepancy of two sets of the same size under (x·y/d + 1)³."""
    n = len(a)

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return ((x @ y.mT).double() / x.shape[1] + 1) ** 3

    within = [(k.sum() - k.trace()) / (n * (n - 1)) for k in (kernel(a, a), kernel(b, b))]
    return (within[0] + within[1] - 2 * kernel(a, b).mean()).float()


def subset_size(wanted: int, real: int, made: int) -> int:
    """Pictures of a subset: those wanted, or half of those there are; 0 where there are fewer than two."""
    few = min(real, made)
    return 0 if few < 2 else wanted if few >= wanted else max(2, few // 2)
