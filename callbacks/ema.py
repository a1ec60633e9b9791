"""A moving average of the weights: what validation, samples and released weights use."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypedDict

import lightning as L
import torch
from torch import Tensor, nn


class EMAState(TypedDict):
    """What a checkpoint holds under the key `ema`."""

    weights: dict[str, Tensor]  # float32, by the parameter names of `state_dict`
    updates: int  # optimizer steps averaged so far


class EMA(L.Callback):
    """Exponential moving average of the trainable parameters, in float32.

    The decay grows as (1 + n) / (10 + n) with the n-th optimizer step until it reaches `decay`, so that short runs
    forget their random start. Validation, test and prediction run with the average and give the trained weights back
    bit for bit. Checkpoints keep the trained weights in `state_dict` and the average in `ema`; a checkpoint loaded to
    validate, test or predict brings its average along. Buffers are not averaged.

    Lightning's own EMAWeightAveraging has no warm-up, averages in the precision of the weights, and saves the two sets
    exchanged when a run is interrupted while validating.

    Args:
        decay: Share of the average kept at every step, once warmed up.
    """

    def __init__(self, decay: float = 0.9999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"EMA(decay={decay}): the decay is a share in [0, 1). Try 0.999 for short runs.")
        self.decay = decay
        self.updates = 0
        self.average: dict[str, Tensor] = {}
        self._trained: dict[str, Tensor] = {}  # the trained weights while the average is in their place
        self._step = 0

    @torch.no_grad()
    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._step = trainer.global_step
        for name, weight in module.named_parameters():
            if not weight.requires_grad and name in self.average:  # frozen since: what learns shall meet what is kept
                weight.copy_(self.average.pop(name))
        for name, weight in _trainable(module):
            if name not in self.average:
                self.average[name] = weight.detach().clone().float()
            self.average[name] = self.average[name].to(weight.device)

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, index: int) -> None:
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        if trainer.global_step > self._step:  # not while gradients accumulate
            self._step = trainer.global_step
            self.update(module)

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Moves the average towards the module's present weights by one step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        weights = dict(_trainable(module))
        for name in weights.keys() - self.average.keys():  # unfrozen since
            self.average[name] = weights[name].detach().clone().float()
        averages = [self.average[name] for name in weights]
        torch._foreach_lerp_(averages, [weight.detach().float() for weight in weights.values()], 1 - decay)
        self.updates += 1

    @contextmanager
    def averaged(self, module: nn.Module) -> Iterator[None]:
        """Within it the module has the average for weights: for samples after or outside a run."""
        self._put_in(module)
        try:
            yield
        finally:
            self._take_out(module)

    @torch.no_grad()
    def _put_in(self, module: nn.Module) -> None:
        if self._trained:
            return
        for name, weight in module.named_parameters():
            if name in self.average:
                self._trained[name] = weight.detach().clone()
                weight.copy_(self.average[name])

    @torch.no_grad()
    def _take_out(self, module: nn.Module) -> None:
        for name, weight in module.named_parameters():
            if name in self._trained:
                weight.copy_(self._trained[name])
        self._trained = {}

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._put_in(module)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._take_out(module)

    def on_test_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._put_in(module)

    def on_test_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._take_out(module)

    def on_predict_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._put_in(module)

    def on_predict_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._take_out(module)

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        self._take_out(module)

    def on_save_checkpoint(self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        if not self.average:
            return
        if self._trained:  # saved in the middle of a validation
            checkpoint["state_dict"] = {**checkpoint["state_dict"], **self._trained}
        checkpoint["ema"] = EMAState(weights=dict(self.average), updates=self.updates)

    def on_load_checkpoint(self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        state: EMAState | None = checkpoint.get("ema")
        if state is None:  # trained without: the average begins at the loaded weights
            self.average, self.updates = {}, 0
        else:
            self.average = {name: weight.clone() for name, weight in state["weights"].items()}
            self.updates = state["updates"]


def _trainable(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, weight) for name, weight in module.named_parameters() if weight.requires_grad)
