"""At which earlier steps a memory looks, worked out from its weights over slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from memrl.memory.core import MemoryCore
from memrl.memory.parts.window import WindowMemory


def attended_steps(core: MemoryCore[Any], seen: Sequence[Mapping[str, Tensor]]) -> Tensor | None:
    """How much each step reads of what earlier steps wrote, [T, T]; None: that is not known.

    The mean over read heads, or over hops. A slot holds of step s what the write weights gave it
    and later ones left: c_t[n, s] = c_{t−1}[n, s] (1 − w_t[n]), and c_t[n, t] = w_t[n], with w the
    sum over write heads, at most 1. Where a core ``reads_first``, step t sees c_{t−1}, else c_t. A
    memory of the last N inputs has a slot for each of them.

    Args:
        core: the memory.
        seen: its diagnostics at each step, of which the first row is read.
    """
    if "read_weights" not in seen[0]:
        return None
    reads = torch.stack([step["read_weights"][0] for step in seen])  # [T, N] or [T, R, N]
    reads = reads.flatten(1, -2).mean(1) if reads.dim() > 2 else reads
    if "write_weights" in seen[0]:
        writes = torch.stack([step["write_weights"][0] for step in seen])
        writes = writes.sum(1).clamp(max=1.0) if writes.dim() > 2 else writes
        return _through_slots(reads, writes, reads_first=core.reads_first)
    if isinstance(core, WindowMemory):
        return _through_window(reads)
    return None


def _through_slots(reads: Tensor, writes: Tensor, *, reads_first: bool) -> Tensor:
    """Read and write weights [T, N] as attention to steps [T, T]."""
    held = reads.new_zeros(reads.shape[1], len(reads))  # c [N, T]
    attended = reads.new_zeros(len(reads), len(reads))
    for t, (read, written) in enumerate(zip(reads, writes, strict=True)):
        before = held
        held = held * (1 - written).unsqueeze(1)
        held[:, t] = written
        attended[t] = read @ (before if reads_first else held)
    return attended


def _through_window(reads: Tensor) -> Tensor:
    """Weights [T, N] over the N inputs before each step, oldest first, as attention [T, T]."""
    steps, slots = reads.shape
    attended = reads.new_zeros(steps, steps)
    for t in range(steps):
        known = min(t, slots)
        attended[t, t - known : t] = reads[t, slots - known :]
    return attended
