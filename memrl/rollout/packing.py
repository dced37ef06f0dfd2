"""A minibatch of few long rows as one of many short rows, an episode in each."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from memrl.memory.state import map_state
from memrl.rollout.storage import Chunk

# A step of a core costs as much for this many rows as it does for none: below that, what Python and
# the launching of operations cost. Measured for LSTM-128 on a CPU; only speed depends on it.
FREE_ROWS: Final = 64


def by_episode(chunk: Chunk) -> Chunk:
    """The same steps, cut at episode starts; padding is invalid, so that losses do not see it.

    A core forgets at a start, so that a row with starts inside and a batch of its episodes mean the
    same. The batch takes fewer steps, each of more rows. Where that would not pay (rows are many
    already, or one episode is long), the chunk is returned as it is. Waits for the device once.
    """
    L, M = chunk.start.shape
    begins = chunk.start.clone()
    begins[0] = True
    first = begins.t().reshape(-1).nonzero().squeeze(1)  # [S], in steps counted row by row
    length = torch.cat([first[1:], first.new_tensor([L * M])]) - first
    S, longest = len(first), int(length.max())
    if longest * (FREE_ROWS + S) >= L * (FREE_ROWS + M):
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
    )
