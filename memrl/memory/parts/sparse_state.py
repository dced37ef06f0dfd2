"""What a sparse memory carries from step to step, and what passes between the parts of a step."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from memrl.memory.ops.sparse_linkage import Entries, Links
from memrl.memory.parts.controlled import ControllerState


class SparseState(NamedTuple):
    """What a sparse memory carries from step to step.

    At a start the few numbers below ``oldest`` become zero and nothing else changes: a word is
    read only when its number is below ``written``, and the first N slots are taken in order.
    """

    memory: Tensor  # [B, N, W]
    links: Links | tuple[()]  # [B, N, L]  SDNC's
    last_access: Tensor  # int [B, N]  clock at the last access
    oldest: Tensor  # int [B, G]  the least of each of about √N blocks of ``last_access``
    clock: Tensor  # int [B]  env steps since the start
    used: Tensor  # int [B]  the first slots, which were all accessed since the start
    written: Tensor  # int [B]  the first slots, which were all written since the start
    slots: Tensor  # int [B, R, K]  where each head looked last
    weights: Tensor  # [B, R, K]  w̃^R_{t-1}; rows sum to 1, at a start to 0
    reads: Tensor  # [B, R, W]
    precedence: Entries | tuple[()]  # [B, L]  SDNC's p_t: what was written last
    controller: ControllerState


LARGE = ("memory", "links", "last_access", "oldest")  # edited in place, and left alone by a reset


class Ask(NamedTuple):
    """What the controller asks of the memory at one step."""

    keys: Tensor  # [B, R, W]  q
    add: Tensor  # [B, R, W]  a
    strengths: Tensor  # [B, R, 1]  β ≥ 1
    write_gates: Tensor  # [B, R, 1]  α
    interpolation_gates: Tensor  # [B, R, 1]  γ
    rest: Tensor  # [B, R, ·]  what a subclass asks beyond it


class Written(NamedTuple):
    """Where a step wrote, over all heads."""

    slots: Tensor  # [B, R K + 1]  where the heads looked last, then the least recently accessed
    weights: Tensor  # [B, R K + 1]  w^W
    fresh: Tensor  # bool [B]  the last one was not written before in this episode
