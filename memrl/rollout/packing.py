"""Repack a minibatch of few long rows into many short rows, one for each episode."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from memrl.memory.state import map_state
from memrl.rollout.storage import Chunk

# The overhead of a step (Python, launching operations), in rows that cost as much. Measured for
# LSTM-128 on a CPU; it affects only speed.
OVERHEAD_ROWS: Final = 64


def by_episode(chunk: Chunk) -> Chunk:
    """The same steps, split at episode starts; padding is marked invalid.

    A core forgets at a start, so a row with starts inside is equivalent to a batch of its episodes.
    The batch has fewer steps, each with more rows. If that is not faster (there are many rows
    already, or one episode is long), the chunk is returned unchanged. Synchronises with the device
    once.
    """
    L, M = chunk.start.shape
    begins = chunk.start.clone()
    begins[0] = True
    first = begins.t().reshape(-1).nonzero().squeeze(1)  # [S], in steps counted row by row
    length = torch.cat([first[1:], first.new_tensor([L * M])]) - first
    S, longest = len(first), int(length.max())
    if longest * (OVERHEAD_ROWS + S) >= L * (OVERHEAD_ROWS + M):
        return chunk
    offset = torch.arange(longest, device=first.device).unsqueeze(1)
    there = offset < length  # [longest, S]
    step = torch.where(there, first + offset, first)
    t, b = step % L, step // L

    def cut(x: Tensor) -> Tensor:
        return x[t, b]

    return Chunk(
        obs={key: cut(value) for key, value in chunk.obs.items()},
        start=cut(chunk.start) & there,
        action=cut(chunk.action),
        log_prob=cut(chunk.log_prob),
        value=cut(chunk.value),
        advantage=cut(chunk.advantage),
        target=cut(chunk.target),
        valid=cut(chunk.valid) & there,
        state=map_state(lambda leaf: leaf[b[0]], chunk.state),
        taught={name: cut(value) for name, value in chunk.taught.items()},
    )
