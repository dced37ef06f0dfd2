"""The state of a sparse memory, its interface vector, and its writes."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from memrl.memory.ops.sparse_linkage import Entries, Links
from memrl.memory.parts.controlled import ControllerState


class SparseState(NamedTuple):
    """State of a sparse memory.

    A start sets the leaves below ``oldest`` to zero and changes nothing else. A word is read only
    if its slot is below ``written``, and the first N slots are taken in order.
    """

    memory: Tensor  # [B, N, W]
    links: Links | tuple[()]  # [B, N, L]  SDNC only
    last_access: Tensor  # int [B, N]  clock at the last access
    oldest: Tensor  # int [B, G]  the minimum of each of about √N blocks of ``last_access``
    clock: Tensor  # int [B]  env steps since the start
    used: Tensor  # int [B]  how many of the first slots were accessed since the start
    written: Tensor  # int [B]  how many of the first slots were written since the start
    slots: Tensor  # int [B, R, K]  the slots that each head read last
    weights: Tensor  # [B, R, K]  w̃^R_{t-1}; rows sum to 1, at a start to 0
    reads: Tensor  # [B, R, W]
    precedence: Entries | tuple[()]  # [B, L]  p_t: what was written last; SDNC only
    controller: ControllerState


class Interface(NamedTuple):
    """The parts of the interface vector at one step."""

    keys: Tensor  # [B, R, W]  q
    add: Tensor  # [B, R, W]  a
    strengths: Tensor  # [B, R, 1]  β ≥ 1
    write_gates: Tensor  # [B, R, 1]  α
    interpolation_gates: Tensor  # [B, R, 1]  γ
    rest: Tensor  # [B, R, ·]  additional parts of a subclass


class Written(NamedTuple):
    """The writes of a step, over all heads."""

    slots: Tensor  # [B, R K + 1]  the slots read last, then the least recently accessed one
    weights: Tensor  # [B, R K + 1]  w^W
    fresh: Tensor  # bool [B]  the last slot is written for the first time in this episode
