"""PPO's minibatch as a CUDA graph: its chunks, losses, gradients and step in fixed tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, final, runtime_checkable

import torch
from torch import Tensor
from torch.optim import Optimizer

from memrl.agents.gradient_step import name_non_finite
from memrl.agents.ppo.rates import Rates
from memrl.agents.training_metrics import Averages
from memrl.losses.ppo import Moments, moments
from memrl.rollout.capture import Replayed
from memrl.rollout.minibatches import spans_of_shares
from memrl.rollout.storage import Chunk, Rollout, Spans


@runtime_checkable  # so that annotations can be checked while tests run
class Learns(Protocol):
    """One optimiser step on a chunk: see ``Learner.minibatch``."""

    def __call__(
        self, chunk: Chunk, of_all: Moments, rates: Rates, failed: Tensor
    ) -> tuple[dict[str, Tensor], bool]: ...


@final
class CapturedMinibatch:
    """Minibatches of one rollout, by replaying a graph; no call but ``check`` reads on the host.

    All minibatches have the same shape: as many chunks as the largest has, each as long as the
    longest. What a smaller one lacks is not valid, and so has no loss.

    The graph refers to the parameters, the optimiser's state and its learning rates, which become
    tensors. Whoever replaces one of them makes a new ``CapturedMinibatch``.

    Args:
        minibatch: what is done with a chunk.
        optimizer: a fused one, that ``minibatch`` steps.
        rollout: filled again and again.
        count: minibatches of an epoch.
        value_clip: whether the rates have one.
    """

    def __init__(
        self,
        minibatch: Learns,
        optimizer: Optimizer,
        rollout: Rollout,
        count: int,
        *,
        value_clip: bool,
    ) -> None:
        self._minibatch, self._optimizer, self._rollout = minibatch, optimizer, rollout
        self._count, self._device = count, rollout.start.device
        for group in optimizer.param_groups:
            group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=self._device)
        size = -(-rollout.num_chunks() // count)
        self._spans = torch.zeros(5, size, dtype=torch.int64, device=self._device)
        self._moments = torch.zeros(3, dtype=torch.float64, device=self._device)
        # Clips in double precision: they are rounded where they are used, as Python's numbers are.
        clip, other = torch.zeros(2, dtype=torch.float64, device=self._device).unbind()
        self._rates = Rates(
            lr=None,
            entropy=rollout.value.new_zeros(()),
            clip=clip,
            value_clip=other if value_clip else None,
        )
        self._failed = torch.zeros((), dtype=torch.bool, device=self._device)
        self._names: tuple[str, ...] = ()
        self._values = torch.zeros(0)
        self._replayed = Replayed(self._body, self._device)

    def set_rates(self, rates: Rates) -> None:
        """Use these rates, but for the learning rate, which is the optimiser's."""
        for fixed, value in zip(self._rates, rates, strict=True):
            if isinstance(fixed, Tensor) and value is not None:
                fixed.fill_(value)

    def epoch(self, shuffler: torch.Generator) -> Iterator[tuple[dict[str, Tensor], bool]]:
        """One step a minibatch; yields what ``minibatch`` returns."""
        spans = spans_of_shares(self._rollout, self._count, shuffler)
        if self._device.type == "cuda":
            spans = spans.pin_memory()  # else the copy would wait for the device
        shares, steps = spans.to(self._device, non_blocking=True), self._rollout.bptt
        of_all = moments([self._rollout.advantages(Spans(*each), steps) for each in shares])
        for share, each in zip(shares, of_all, strict=True):
            self._spans.copy_(share)
            self._moments.copy_(torch.stack(each))
            self._replayed()
            # A copy: the next replay overwrites the values.
            yield dict(zip(self._names, self._values.clone().unbind(), strict=True)), True

    def check(self, averages: Averages) -> None:
        """Wait for the device and check that every loss and gradient was finite.

        Raises:
            FloatingPointError: one was not. Neither that step nor a later one changed anything.
        """
        if not self._failed:
            return
        self._failed.fill_(False)
        means = averages.means()
        losses, norms = (
            {
                name.removeprefix(prefix): value
                for name, value in means.items()
                if name.startswith(prefix)
            }
            for prefix in ("train/", "grad_norm/")
        )
        norms.pop("all", None)
        raise FloatingPointError(name_non_finite(losses, norms))

    def _body(self) -> None:
        chunk = self._rollout.gather(Spans(*self._spans.unbind()), self._rollout.bptt)
        already = self._failed.clone()
        recording = self._device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        with _capturable(self._optimizer, recording):
            of_all = Moments(*self._moments.unbind())
            metrics, _ = self._minibatch(chunk, of_all, self._rates, self._failed)
        self._names = tuple(metrics)
        # Zeros after a failure: means then show what the failed step computed.
        self._values = torch.where(already, 0.0, torch.stack(list(metrics.values())))


@contextmanager
def _capturable(optimizer: Optimizer, recording: bool) -> Iterator[None]:
    """Tell the optimiser whether a graph records: torch refuses or warns if it is not told."""
    for group in optimizer.param_groups:
        group["capturable"] = recording
    try:
        yield
    finally:
        for group in optimizer.param_groups:
            group["capturable"] = False
