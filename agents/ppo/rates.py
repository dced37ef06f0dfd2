"""What PPO's schedules set before an iteration."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Rates(NamedTuple):
    """The values that schedules may change from iteration to iteration; tensors [] in a graph."""

    lr: float | None  # None: the optimiser's groups keep theirs
    entropy: float | Tensor
    clip: float | Tensor
    value_clip: float | Tensor | None
    max_kl: float | None = None  # nats; a minibatch beyond it ends the iteration before its step
